from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import zscore

from plkd import pl


@pytest.fixture
def frame() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(4, 12))
    return pd.DataFrame(values, index=list("ABCD"), columns=[f"HALLMARK_SET_{i}" for i in range(12)])


def rows(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_colours_are_z_scores_over_labels_centred_at_zero(frame):
    ax = pl.pattern_heatmap(frame)
    drawn = pd.DataFrame(np.asarray(ax.images[0].get_array()), index=rows(ax))
    expected = zscore(frame.to_numpy(), axis=0).T
    np.testing.assert_allclose(drawn.loc[[f"SET {i}" for i in range(12)]], expected)
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_each_label_shows_its_highest_pattern_before_any_shows_many():
    frame = pd.DataFrame({"a1": [9.0, 0, 0], "a2": [8.0, 0, 0], "a3": [7.0, 0, 0], "b": [0, 2.0, 0], "c": [0, 0, 1.0]})
    assert rows(pl.pattern_heatmap(frame, n_patterns=3)) == ["a1", "b", "c"]


def test_labels_stand_in_the_order_of_the_frame(frame):
    ax = pl.pattern_heatmap(frame.loc[list("DBAC")])
    assert [text.get_text() for text in ax.get_xticklabels()] == list("DBAC")


def test_pattern_that_does_not_vary_is_neutral(frame):
    frame["HALLMARK_FLAT"] = 1.0
    ax = pl.pattern_heatmap(frame)
    assert (ax.images[0].get_array()[rows(ax).index("FLAT")] == 0).all()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["HALLMARK_E2F_TARGETS", "HALLMARK_E2F_OTHER"], ["E2F TARGETS", "E2F OTHER"]),
        (["B_cell", "T_cell"], ["B cell", "T cell"]),
        (["module_01:CFD+FTL"], ["module 01: CFD, FTL"]),
    ],
)
def test_pattern_names_are_made_readable(names, shown):
    frame = pd.DataFrame(np.eye(2)[:, : len(names)], columns=names)
    assert rows(pl.pattern_heatmap(frame)) == shown


def test_long_names_keep_both_ends():
    frame = pd.DataFrame({"REACTOME_" + "VERY_" * 20 + "END": [0.0, 1.0]})
    (name,) = rows(pl.pattern_heatmap(frame))
    assert len(name) <= 34
    assert name.startswith("REACTOME")
    assert name.endswith("END")


@pytest.mark.parametrize("n_rows", [1, 500])
def test_frame_that_is_not_one_row_per_label_is_refused(n_rows):
    with pytest.raises(ValueError, match="groupby"):
        pl.pattern_heatmap(pd.DataFrame(np.zeros((n_rows, 2))))


def test_values_that_are_not_finite_are_refused(frame):
    frame.iloc[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        pl.pattern_heatmap(frame)
