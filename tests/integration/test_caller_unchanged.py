"""The caller's object is never changed, save for the documented keys of setup and load."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from plkd import PLKD


@pytest.fixture
def rich(make_adata):
    def make(fmt: str = "csr", seed: int = 0) -> AnnData:
        adata = make_adata(60, fmt=fmt, seed=seed)
        adata.layers["counts"] = adata.X.copy()
        adata.obs["score"] = np.arange(60.0)
        adata.obsm["X_pca"] = np.ones((60, 2))
        adata.varm["loadings"] = np.ones((60, 2))
        adata.obsp["near"] = sparse.eye(60, format="csr")
        adata.uns["made"] = {"by": ["hand", 1], "on": np.arange(3)}
        adata.raw = adata
        return adata

    return make


def assert_equal_matrix(a, b):
    assert type(a) is type(b)
    assert a.dtype == b.dtype
    if sparse.issparse(a):
        assert a.has_sorted_indices == b.has_sorted_indices
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    else:
        assert a.flags.c_contiguous == b.flags.c_contiguous
        np.testing.assert_array_equal(a, b)


def assert_unchanged(after: AnnData, before: AnnData, *, obs=(), uns=()):
    """Compare everything but the named new columns of ``obs`` and keys of ``uns``."""
    assert set(after.obs) == set(before.obs) | set(obs)
    pd.testing.assert_frame_equal(after.obs[list(before.obs)], before.obs)
    pd.testing.assert_frame_equal(after.var, before.var)
    assert_equal_matrix(after.X, before.X)
    for part in ("layers", "obsm", "varm", "obsp"):
        assert set(getattr(after, part).keys()) == set(getattr(before, part).keys())
        for key in getattr(before, part).keys():
            assert_equal_matrix(getattr(after, part)[key], getattr(before, part)[key])
    assert_equal_matrix(after.raw.X, before.raw.X)
    assert set(after.uns) == set(before.uns) | set(uns)
    assert after.uns["made"]["by"] == before.uns["made"]["by"]
    np.testing.assert_array_equal(after.uns["made"]["on"], before.uns["made"]["on"])


SETUP = {"obs": ("_scvi_labels", "_scvi_batch"), "uns": ("_scvi_uuid", "_scvi_manager_uuid")}


@pytest.mark.parametrize("fmt", ["csr", "csc", "dense"])
@pytest.mark.parametrize("layer", [None, "counts"])
def test_reference_gets_its_documented_keys_and_nothing_else(rich, train, tmp_path, fmt, layer):
    adata, before = rich(fmt), rich(fmt)
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch", layer=layer)
    assert_unchanged(adata, before, **SETUP)
    model = train(PLKD(adata, student_kwargs={"n_hidden": (8,)}), 1)
    model.annotate()
    model.get_pattern_attention(groupby="cell_type")
    model.save(tmp_path / "m")
    assert_unchanged(adata, before, **SETUP)
    assert adata.obs["_scvi_labels"].dtype.kind == "i"


@pytest.mark.parametrize("fmt", ["csr", "csc", "dense"])
def test_query_is_not_changed_at_all(rich, trained, tmp_path, fmt):
    query, before = rich(fmt, 3), rich(fmt, 3)
    annotator = trained.export_student(tmp_path / "a")
    for model in (trained, annotator):
        model.predict(query)
        model.predict(query, soft=True, indices=[1, 2])
        model.annotate(query)
        model.get_latent_representation(query)
        model.get_pattern_attribution(query)
    trained.get_pattern_attention(query, groupby="batch")
    trained.predict(query, model="teacher")
    assert_unchanged(query, before)


def test_view_stays_a_view_and_its_parent_as_it_was(rich, trained):
    parent, before = rich(seed=3), rich(seed=3)
    view = parent[10:40, ::-1]
    found = trained.predict(view, soft=True)
    trained.annotate(view)
    trained.get_pattern_attention(view, groupby="cell_type")
    assert view.is_view
    assert not parent.is_view
    assert_unchanged(parent, before)
    np.testing.assert_allclose(found, trained.predict(view.copy(), soft=True), atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels_key": "nope"},
        {"labels_key": "cell_type", "batch_key": "nope"},
        {"labels_key": "cell_type", "layer": "nope"},
    ],
)
def test_refused_reference_is_not_changed(rich, wrong):
    adata, before = rich(), rich()
    with pytest.raises(KeyError, match="nope"):
        PLKD.setup_anndata(adata, **wrong)
    assert_unchanged(adata, before)


def test_loading_gives_attached_data_the_same_keys_and_nothing_else(rich, trained, tmp_path):
    trained.save(tmp_path / "m")
    adata, before = rich(seed=3), rich(seed=3)
    PLKD.load(tmp_path / "m", adata=adata).predict()
    assert_unchanged(adata, before, **SETUP)


def test_arguments_are_not_changed(make_adata, train, marker_sets):
    adata = make_adata(60)
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    init = {"teacher_kwargs": {"width": 8, "n_heads": 2}, "pattern_kwargs": {"min_size": 3}, "patterns": marker_sets}
    fit = {"plan_kwargs": {"teacher": {"lr": 1e-2}}, "callbacks": [], "trainer_config": {"early_stopping": False}}
    kept = copy.deepcopy((init, fit))
    train(PLKD(adata, **init), 1, **fit)
    assert (init, fit) == kept
