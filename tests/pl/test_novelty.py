from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import pl


@pytest.fixture
def table():
    return pd.DataFrame(
        {"novelty": [0.01, 0.02, 0.5, 0.97, 0.98, 0.99, np.nan], "rejected": [False] * 4 + [True] * 2 + [False]}
    )


def test_bars_hold_the_cells_and_rejected_ones_stand_on_top(table):
    ax = pl.novelty_histogram(table)
    kept, rejected = (patch.get_data() for patch in ax.patches)
    assert kept.values[[0, 10, 19]].tolist() == [2, 1, 1]
    assert kept.values.sum() == 4
    assert (rejected.values - rejected.baseline).sum() == 2
    assert (rejected.baseline[19], rejected.values[19]) == (1, 3)


def test_line_is_what_evenly_spread_cells_would_show(table):
    (line,) = pl.novelty_histogram(table).lines
    np.testing.assert_allclose(line.get_ydata(), 6 / 20)


def test_without_rejection_there_is_one_kind_of_bar(table):
    assert len(pl.novelty_histogram(table.assign(rejected=False)).patches) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop(columns="novelty"), "no column 'novelty'"),
        (lambda t: t.assign(novelty=np.nan), "not calibrated"),
        (lambda t: t.assign(novelty=2.0), "outside 0 and 1"),
    ],
)
def test_other_tables_are_refused(table, change, told):
    with pytest.raises(ValueError, match=told):
        pl.novelty_histogram(change(table))
