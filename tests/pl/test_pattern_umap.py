from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import pl


@pytest.fixture
def cells(make_adata):
    adata = make_adata(n_obs=40)
    adata.obsm["X_plkd"] = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    return adata


@pytest.fixture
def scores(cells):
    return pd.DataFrame(np.random.default_rng(1).normal(size=(40, 6)), cells.obs_names, [f"SET_{i}" for i in range(6)])


def drawn(ax):
    return ax.collections[0].get_array(), ax.collections[0].get_offsets()


def test_panels_hold_each_patterns_scores_on_the_map_of_umap(cells, scores):
    cells.obs["SET_0"] = scores["SET_0"]
    own = drawn(pl.umap(cells, "SET_0"))
    before = cells.copy()
    first, second = pl.pattern_umap(cells, scores, ["SET_0", "SET_3"])
    for found, expected in zip(drawn(first), own, strict=True):
        np.testing.assert_array_equal(found, expected[::-1])  # that draws the lowest on top
    np.testing.assert_array_equal(np.sort(drawn(second)[0]), np.sort(scores["SET_3"]))
    assert [first.get_title(), second.get_title()] == ["0", "3"]
    assert list(cells.obs) == list(before.obs)


def test_high_scores_are_on_top(cells, scores):
    values, _ = drawn(pl.pattern_umap(cells, scores, "SET_1"))
    assert (np.diff(values) >= 0).all()


def test_one_pattern_gives_axes_and_many_four_in_a_row(cells, scores):
    assert pl.pattern_umap(cells, scores, "SET_2").get_title() == "SET 2"
    axes = pl.pattern_umap(cells, scores, list(scores))
    rows = {round(ax.get_subplotspec().rowspan.start) for ax in axes}
    assert (len(axes), rows) == (6, {0, 1})


def test_wrong_arguments_are_refused_by_name(cells, scores):
    with pytest.raises(KeyError, match="patterns='SET_9'"):
        pl.pattern_umap(cells, scores, "SET_9")
    with pytest.raises(KeyError, match="get_latent_representation"):
        pl.pattern_umap(cells, scores, "SET_1", use_rep="X_no")
    with pytest.raises(ValueError, match="not the 40 cells"):
        pl.pattern_umap(cells, scores.iloc[:5], "SET_1")
    with pytest.raises(ValueError, match="each once"):
        pl.pattern_umap(cells, scores, ["SET_1", "SET_1"])
