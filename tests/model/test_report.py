from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from plkd import PLKD, metrics, presets
from plkd.confidence import crossed_probabilities


@pytest.fixture(scope="module")
def report(trained):
    return trained.report()


def test_scores_are_those_of_cells_called_by_students_that_did_not_see_them(trained, report):
    held_out = trained.held_out_
    truth = trained.adata.obs["cell_type"].to_numpy()[held_out["cells"]]
    called = np.array(trained.labels)[held_out["logits"].argmax(axis=1)]
    assert report.overall["n_cells"] == len(truth)
    assert report.overall["accuracy"] == pytest.approx(accuracy_score(truth, called))
    assert report.overall["macro_f1"] == pytest.approx(f1_score(truth, called, average="macro"))
    assert report.labels.index.tolist() == trained.labels
    plain = np.exp(held_out["logits"] - held_out["logits"].max(axis=1, keepdims=True))
    plain = pd.DataFrame(plain / plain.sum(axis=1, keepdims=True), columns=trained.labels)
    assert report.overall["brier_score_uncalibrated"] == pytest.approx(metrics.brier_score(truth, plain))


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
    assert list(about["training"]["seconds"]) == ["confidence", "teacher", "student"]
    assert min(about["training"]["seconds"].values()) > 0
    assert about["training"]["device"] == "cpu"
    assert about["calibration"]["held-out cells"] == model.confidence_["note"]
    assert (
        about["calibration"]["temperature of the Student that answers"]
        == model._confidence.parts[("rna",)].calibration.temperature
    )
    assert about["dropped"] == {
        "cells without a label": 5,
        "cells with a doubtful label": len(model.doubtful_indices),
        "patterns": {"too small": 1},
        "features in no pattern": tuple(adata.var_names[20:]),
    }
    assert about["versions"]["scvi-tools"] == version("scvi-tools")


def test_temperature_is_told_for_every_set_of_modalities(joint):
    report = joint.report()
    assert list(report.about["calibration"]["temperature of the Student that answers"])[-1] == "rna + prot + atac"
    assert set(report.about["reference"]["features"].values()) == {40, 12, 60}


def test_cells_measured_alike_are_calibrated_together(make_joint_model, make_mdata, train):
    mdata = make_mdata(n_obs=150, modalities=("rna", "prot"), mosaic=True)
    model = train(make_joint_model(mdata), 3)
    held_out, report = model.held_out_, model.report()
    for pattern in ([True, True], [True, False], [False, True]):
        own = (held_out["measured"] == pattern).all(axis=1)
        assert own.sum() >= 20
        alone = crossed_probabilities(held_out["logits"][own], held_out["codes"][own], allowance=0.0)
        np.testing.assert_array_equal(report.probabilities[own], alone)
    in_rna = mdata.obs_names[held_out["cells"]].isin(mdata["rna"].obs_names)
    np.testing.assert_array_equal(held_out["measured"][:, 0], in_rna)


def test_few_cells_measured_alike_are_calibrated_with_all_others(make_joint_model, make_mdata, train):
    mdata = make_mdata(n_obs=150, modalities=("rna", "prot"))
    few = mdata.obs_names[:12]
    mdata.mod["prot"] = mdata["prot"][~mdata["prot"].obs_names.isin(few)].copy()
    mdata.update()
    model = train(make_joint_model(mdata), 3)
    held_out, report = model.held_out_, model.report()
    own = ~held_out["measured"].all(axis=1)
    assert 0 < own.sum() < 20
    # Not by the temperature of the Student that answers, which is another one than theirs.
    everyone = crossed_probabilities(held_out["logits"], held_out["codes"], allowance=0.0)
    np.testing.assert_array_equal(report.probabilities[own], everyone[own])


def test_a_saved_model_reports_the_same_without_its_reference(trained, report, tmp_path):
    trained.save(tmp_path / "m")
    loaded = PLKD.load(tmp_path / "m").report()
    pd.testing.assert_series_equal(loaded.overall, report.overall)
    assert loaded.about == report.about


def test_model_of_the_time_before_training_was_kept_is_reported(trained, report, monkeypatch):
    monkeypatch.setattr(trained, "training_", None)
    old = trained.report()
    pd.testing.assert_series_equal(old.overall, report.overall)
    assert "seconds" not in old.about["training"]
    assert "Labels" in str(old)


def test_model_that_was_not_calibrated_is_scored_on_its_validation_cells(make_model, train, tmp_path):
    preset = presets.default.replace(confidence={"n_folds": 0})
    model = train(make_model(preset=preset), 2)
    report, held_out = model.report(), model.validation_indices_
    truth = model.adata.obs["cell_type"].to_numpy()[held_out]
    assert report.overall["n_cells"] == len(held_out)
    assert report.overall["accuracy"] == pytest.approx(accuracy_score(truth, model.predict(indices=held_out)))
    assert report.overall["brier_score"] == metrics.brier_score(truth, model.predict(indices=held_out, soft=True))
    assert "softmax" in report.about["calibration"]
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="adata=ref"):
        PLKD.load(tmp_path / "m").report()
    other = model.adata[np.arange(3)].copy()
    with pytest.raises(ValueError, match="not the reference"):
        PLKD.load(tmp_path / "m", adata=other).report()


def test_what_cannot_be_reported_is_said(make_model, train):
    model = make_model(preset=presets.default.replace(confidence={"n_folds": 0}))
    with pytest.raises(RuntimeError, match=r"model\.train\(\)"):
        model.report()
    train(model, 1, train_size=1.0)
    with pytest.raises(ValueError, match="No cells were held out"):
        model.report()
