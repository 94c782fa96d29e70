from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from sklearn.neighbors import NearestNeighbors

from plkd import pl
from plkd.pl._style import point_styles


@pytest.fixture
def cells(make_adata):
    adata = make_adata(n_obs=40)
    adata.obsm["X_plkd"] = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    adata.obs["score"] = np.linspace(0, 1, 40)
    return adata


def places(ax):
    found = np.vstack([points.get_offsets() for points in ax.collections if len(points.get_offsets())])
    return found[np.lexsort(found.T)]


def test_panels_share_the_map_and_the_callers_object_is_unchanged(cells):
    before = cells.copy()
    labels, batch, score = pl.umap(cells, ["cell_type", "batch", "score"])
    np.testing.assert_array_equal(places(labels), places(batch))
    np.testing.assert_array_equal(places(labels), places(score))
    assert list(cells.obsm) == list(before.obsm)
    assert list(cells.uns) == list(before.uns)
    assert list(cells.obs) == list(before.obs)


def test_same_seed_draws_the_same_map_and_every_label_is_in_the_legend(cells):
    first, second = pl.umap(cells, "cell_type"), pl.umap(cells, "cell_type")
    np.testing.assert_array_equal(places(first), places(second))
    legend = [text.get_text() for text in first.get_legend().get_texts()]
    assert legend == ["1  type_0", "2  type_1", "3  type_2"]
    assert [text.get_text() for text in first.texts] == ["1", "2", "3"]


def test_cells_without_a_label_are_drawn_without_a_number(cells):
    cells.obs["cell_type"] = cells.obs["cell_type"].where(cells.obs["cell_type"] != "type_0")
    _, ax = plt.subplots()
    assert pl.umap(cells, "cell_type", ax=ax) is ax
    assert len(places(ax)) == 40
    assert [text.get_text() for text in ax.texts] == ["1", "2"]


def test_number_of_torch_threads_is_left_as_it_was(cells):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        pl.umap(cells, "batch")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_styles_of_many_labels_differ():
    assert len(set(point_styles(63))) == 63


@pytest.mark.parametrize(
    ("color", "use_rep", "named"), [("no", "X_plkd", "color='no'"), ("batch", "X_no", "get_latent_representation")]
)
def test_missing_key_is_named(cells, color, use_rep, named):
    with pytest.raises(KeyError, match=named):
        pl.umap(cells, color, use_rep=use_rep)


def test_too_few_cells_are_refused(cells):
    with pytest.raises(ValueError, match="too few"):
        pl.umap(cells[:4], "batch")


def legend_of(panel):
    """Return colours by label, and the labels as they stand in the legend; nothing where there is none."""
    legend = panel.get_legend()
    if legend is None:
        return {}, []
    texts = [text.get_text() for text in legend.get_texts()]
    handles = [tuple(handle.get_facecolor()[0]) for handle in legend.legend_handles]
    return {text.split("  ")[1]: colour for text, colour in zip(texts, handles, strict=True)}, texts


def test_columns_of_other_labels_have_a_legend_each(cells):
    cells.obs["batch"] = cells.obs["batch"].astype(str).str.replace("batch", "a")
    axes = pl.umap(cells, ["cell_type", "batch"])
    (types, first), (batches, second) = map(legend_of, axes)
    assert (first, second) == (["1  type_0", "2  type_1", "3  type_2"], ["1  a_0", "2  a_1"])
    assert types["type_0"] == batches["a_0"]


def test_columns_that_share_labels_share_styles_and_a_legend(cells):
    cells.obs["again"] = cells.obs["cell_type"].astype(str).where(np.arange(40) > 5, "type_9")
    axes = pl.umap(cells, ["cell_type", "again", "batch"])
    first, (together, texts), (batches, _) = map(legend_of, axes)
    assert first == ({}, [])
    assert texts == ["1  type_0", "2  type_1", "3  type_2", "4  type_9"]
    assert len(set(together.values())) == 4
    assert list(batches) == ["batch_0", "batch_1"]


def test_a_column_that_shares_labels_with_two_others_joins_them(cells):
    cells.obs["a"], cells.obs["b"], cells.obs["both"] = "a", "b", ["a", "b"] * 20
    first, second, both = pl.umap(cells, ["a", "b", "both"])
    assert legend_of(first)[1] == legend_of(second)[1] == []
    assert legend_of(both)[1] == ["1  a", "2  b"]
    for panel, label in ((first, "a"), (second, "b")):
        assert tuple(panel.collections[0].get_facecolor()[0]) == legend_of(both)[0][label]


def test_cells_of_a_mudata_are_drawn_by_its_own_columns(cells):
    mdata = MuData({"rna": cells.copy(), "prot": cells[:, :5].copy()})
    mdata.obs["type"] = cells.obs["cell_type"].astype(str)
    mdata.obsm["X_plkd"] = cells.obsm["X_plkd"]
    drawn, expected = pl.umap(mdata, "type"), pl.umap(cells, "cell_type")
    for ours, theirs in zip(drawn.collections, expected.collections, strict=True):
        np.testing.assert_array_equal(ours.get_offsets(), theirs.get_offsets())


@pytest.mark.slow
def test_neighbours_of_many_cells_are_found(monkeypatch):
    """From 8,192 cells on scanpy has pynndescent search, with whose release 0.7.0 it fails."""
    import scanpy as sc

    graphs = []

    def draw(cells, **_):
        graphs.append(cells.obsp["connectivities"].tocsr())
        cells.obsm["X_umap"] = np.zeros((cells.n_obs, 2))

    monkeypatch.setattr(sc.tl, "umap", draw)
    latent = np.random.default_rng(0).normal(size=(8192, 5)).astype("float32")
    cells = AnnData(np.ones((8192, 1), dtype="float32"), obsm={"X_plkd": latent})
    cells.obs["label"] = "a"
    pl.umap(cells, "label")
    nearest = NearestNeighbors(n_neighbors=6).fit(latent).kneighbors(return_distance=False)
    assert np.mean([np.isin(own, graphs[0][i].indices).mean() for i, own in enumerate(nearest)]) > 0.95
