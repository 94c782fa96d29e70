from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from plkd import PLKD, metrics


def test_scores_are_those_of_the_cells_held_out(trained):
    report, held_out = trained.report(), trained.validation_indices_
    truth = trained.adata.obs["cell_type"].to_numpy()[held_out]
    called, soft = trained.predict(indices=held_out), trained.predict(indices=held_out, soft=True)
    assert report.overall["n_cells"] == len(held_out)
    assert report.overall["accuracy"] == pytest.approx(accuracy_score(truth, called))
    assert report.overall["macro_f1"] == pytest.approx(f1_score(truth, called, average="macro"))
    assert report.overall["brier_score"] == metrics.brier_score(truth, soft)
    assert report.labels.index.tolist() == trained.labels


def test_says_what_the_model_comes_from(make_model, make_adata, train):
    adata = make_adata(n_obs=60)
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories(["Unknown", "rare"])
    adata.obs.loc[adata.obs_names[:5], "cell_type"] = "Unknown"
    adata.obs.loc[adata.obs_names[5:9], "cell_type"] = "rare"
    sets = {"big": list(adata.var_names[:20]), "tiny": ["GENE000", "nowhere"]}
    model = train(make_model(adata, patterns=sets, pattern_kwargs={"learned": False}), 2)
    about = model.report().about
    assert about["reference"] == {
        "cells": 60,
        "features": {"rna": 60},
        "labels": 4,
        "labels of fewer than 10 cells": {"rare": 4},
        "batches": 2,
        "patterns": 1,
    }
    assert about["training"]["epochs"] == {"teacher": 2, "student": 2}
    assert about["dropped"]["cells without a label"] == 5
    assert about["dropped"]["patterns"] == {"too small": 1}
    assert list(about["dropped"].values())[-1] == tuple(adata.var_names[20:])
    assert about["versions"]["scvi-tools"] == version("scvi-tools")


def test_a_saved_model_reports_the_same(trained, tmp_path):
    trained.save(tmp_path / "m")
    loaded = PLKD.load(tmp_path / "m", adata=trained.adata.copy())
    pd.testing.assert_series_equal(loaded.report().overall, trained.report().overall, rtol=1e-5)


def test_what_cannot_be_reported_is_said(make_model, train, trained, tmp_path):
    model = make_model()
    with pytest.raises(RuntimeError, match=r"model\.train\(\)"):
        model.report()
    train(model, 1, train_size=1.0)
    with pytest.raises(ValueError, match="No cells were held out"):
        model.report()
    trained.save(tmp_path / "m")
    with pytest.raises(ValueError, match="adata=ref"):
        PLKD.load(tmp_path / "m").report()
    other = trained.adata[np.arange(20)].copy()
    with pytest.raises(ValueError, match="not the reference"):
        PLKD.load(tmp_path / "m", adata=other).report()
