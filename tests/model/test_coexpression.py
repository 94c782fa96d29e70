"""What a model keeps of how its reference's genes go together, and what a query that lacks genes gains by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from plkd import PLKD, datasets, presets

NAMES = ("mean", "loadings", "noise")


def kept(model) -> dict[str, np.ndarray]:
    return {name: getattr(model.module.scaling["rna"], name).numpy().copy() for name in NAMES}


def log_values(adata) -> np.ndarray:
    counts = adata.X.toarray().astype(np.float64)
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


def assert_that_of(found: dict[str, np.ndarray], x: np.ndarray) -> None:
    """With as many directions as genes, but one, nearly the whole covariance is kept."""
    np.testing.assert_allclose(found["mean"], x.mean(axis=0), atol=1e-4)
    covariance = found["loadings"].astype(np.float64) @ found["loadings"].T
    np.testing.assert_allclose(covariance, np.cov(x.T), atol=0.1)
    np.testing.assert_allclose(np.diag(covariance) + found["noise"], x.var(axis=0), rtol=0.05, atol=1e-2)


def test_it_is_that_of_the_cells_that_train_labelled_or_not(make_adata, make_model, train):
    adata = make_adata(150)
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(object)
    adata.obs.loc[adata.obs_names[:30], "cell_type"] = np.nan
    train_cells, validation, test = np.arange(30, 110), np.arange(110, 130), np.arange(130, 150)
    # What is held out, and other data sets, would show: they have counts of another order of genes.
    others = make_adata(60, seed=3)
    others.X = others.X[:, ::-1].tocsr()
    odd = adata.copy()
    odd.X = sparse.vstack([adata.X[:110], adata.X[110:, ::-1]], format="csr")
    split = {"external_indexing": [train_cells, validation, test]}
    uncalibrated = presets.default.replace(confidence={"n_folds": 0})  # so that no label is doubted
    model = train(make_model(odd, preset=uncalibrated), 1, datasplitter_kwargs=split, unlabeled=others, earlier=others)
    assert_that_of(kept(model), log_values(adata[:110]))


def test_training_on_growing_and_files_keep_it(make_adata, make_model, train, tmp_path):
    model = train(make_model(), 1)
    before = kept(model)
    train(model, 1)
    model.save(tmp_path / "model")
    second = make_adata(90, seed=5)[:, :40].copy()
    grown = train(PLKD.load_query_data(second, model), 1)
    annotator = model.export_student(tmp_path / "annotator")
    for name, values in before.items():
        for other in (model, PLKD.load(tmp_path / "model", accelerator="cpu"), grown):
            np.testing.assert_array_equal(kept(other)[name], values)
        np.testing.assert_array_equal(getattr(annotator._scaling["rna"], name), values)
    query = make_adata(40, seed=6)[:, 10:50].copy()
    pd.testing.assert_frame_equal(annotator.predict(query, soft=True), model.predict(query, soft=True))


def test_a_file_with_fewer_directions_answers_as_before_and_grows(make_adata, make_model, train, tmp_path, monkeypatch):
    monkeypatch.setattr("plkd.nn._scaling.N_AXES", 7)
    monkeypatch.setattr("plkd.train._coexpression.N_AXES", 7)
    model = train(make_model(), 1)
    query = make_adata(40, seed=6)[:, 10:50].copy()
    before = model.predict(query, soft=True)
    model.save(tmp_path / "model")
    model.export_student(tmp_path / "annotator")
    monkeypatch.undo()
    again = PLKD.load(tmp_path / "model", accelerator="cpu")
    assert kept(again)["loadings"].shape == (60, 7)
    pd.testing.assert_frame_equal(again.predict(query, soft=True), before)
    grown = PLKD.load_query_data(make_adata(90, seed=5), again)
    assert kept(grown)["loadings"].shape == (60, 7)


@pytest.mark.parametrize("n_kept", [120, 200])
def test_a_query_that_lacks_most_genes_gains_by_it(train, n_kept):
    mdata = datasets.simulate(900, n_labels=8, n_genes=600, modalities="rna", label_strength=0.6, seed=2)
    adata = mdata["rna"].copy()
    adata.obs = mdata.obs.loc[adata.obs_names, ["label", "batch"]].rename(columns={"label": "cell_type"})
    is_query = np.arange(900) % 3 == 0
    reference, query = adata[~is_query].copy(), adata[is_query].copy()
    PLKD.setup_anndata(reference, "cell_type", batch_key="batch")
    torch.manual_seed(0)
    model = PLKD(reference, student_kwargs={"n_hidden": (64, 32)})
    train(model, 30, plan_kwargs={"student": {"kd_weight": 0.0, "lr": 5e-3}}, batch_size=64)
    rng = np.random.default_rng(0)
    part = query[:, np.sort(rng.permutation(600)[:n_kept])].copy()

    def accuracy() -> float:
        return float((model.predict(part) == query.obs["cell_type"].astype(str)).mean())

    expected = accuracy()
    scaling = model.module.scaling["rna"]
    scaling.loadings.zero_()
    scaling.mean.zero_()
    with_zeros = accuracy()
    assert expected > with_zeros + 0.05, (expected, with_zeros)
