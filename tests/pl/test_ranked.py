from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from plkd import pl


@pytest.fixture
def table():
    """Effects of three patterns in two labels; b is first by category."""
    rows = [("b", "p", 0.5, 0.5), ("b", "q", -6.0, 0.01), ("b", "r", 2.0, 0.05), ("a", "p", 1.0, 0.04)]
    rows += [("a", "q", 3.0, 0.2), ("a", "r", 0.1, 0.9)]
    found = pd.DataFrame(rows, columns=["group", "names", "scores", "pvals_adj"])
    return found.assign(group=pd.Categorical(found["group"], ["b", "a", "unused"]))


def texts(labels):
    return [text.get_text() for text in labels]


def test_effects_by_label_in_the_order_of_categories_patterns_by_their_best_label(table):
    ax = pl.ranked_patterns(table)
    assert texts(ax.get_xticklabels()) == ["b", "a"]
    assert texts(ax.get_yticklabels()) == ["r", "q", "p"]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[2, 0.1], [-6, 3], [0.5, 1]])
    assert ax.images[0].get_clim() == (-4, 4)


def test_dots_mark_what_passes_the_false_discovery_rate(table):
    def dots(ax):
        return sorted(map(tuple, ax.collections[0].get_offsets().tolist()))

    assert dots(pl.ranked_patterns(table)) == [(0, 0), (0, 1), (1, 2)]
    assert dots(pl.ranked_patterns(table, max_fdr=0.01)) == [(0, 1)]


def test_each_label_has_its_own_pattern_before_any_has_many(table):
    ax = pl.ranked_patterns(table, n_patterns=2)
    assert texts(ax.get_yticklabels()) == ["r", "q"]
    assert ax.get_title().startswith("2 of 3 patterns")


def test_draws_where_told(table):
    _, ax = plt.subplots()
    assert pl.ranked_patterns(table, ax=ax) is ax


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda table: table.drop(columns="pvals_adj"), "no column 'pvals_adj'"),
        (lambda table: pd.concat([table, table]), "one row for each"),
        (lambda table: table.iloc[:0], "no rows"),
    ],
)
def test_other_tables_are_refused(table, spoil, told):
    with pytest.raises(ValueError, match=told):
        pl.ranked_patterns(spoil(table))
