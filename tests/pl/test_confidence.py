from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from plkd import pl

FRAME = pd.DataFrame({"B": [0.97, 0.72, 0.62, 0.31, 0.62], "T": [0.03, 0.28, 0.38, 0.69, 0.38]})
TRUTH = ["B", "T", "new", "T", None]


def counts(ax):
    drawn = {patch.get_label(): patch.get_data() for patch in ax.patches}
    return {
        label.split(":")[0]: {round(float(data.edges[i]), 2): int(data.values[i]) for i in np.flatnonzero(data.values)}
        for label, data in drawn.items()
    }


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_right_and_wrong_calls_are_counted_by_confidence():
    ax = pl.confidence_histogram(TRUTH, FRAME)
    assert counts(ax) == {"right": {0.65: 1, 0.95: 1}, "wrong": {0.6: 1, 0.7: 1}}
    assert legend(ax) == ["right: 2 (50.0%)", "wrong: 2 (50.0%)"]


def test_rejected_cells_count_neither_as_right_nor_as_wrong():
    ax = pl.confidence_histogram(TRUTH, FRAME, rejected=[False, False, True, True, True])
    assert counts(ax) == {"right": {0.95: 1}, "wrong": {0.7: 1}, "rejected": {0.6: 1, 0.65: 1}}
    assert legend(ax)[2] == "rejected: 2 (50.0%)"


def test_certain_calls_are_counted():
    assert counts(pl.confidence_histogram(["B"], pd.DataFrame({"B": [1.0]})))["right"] == {0.95: 1}


def test_draws_where_it_is_told():
    _, ax = plt.subplots()
    assert pl.confidence_histogram(TRUTH, FRAME, ax=ax) is ax


@pytest.mark.parametrize("rejected", [[True], [0, 1, 0, 1, 0]])
def test_rejected_that_does_not_fit_is_refused(rejected):
    with pytest.raises(ValueError, match="True or False for each of the 5 cells"):
        pl.confidence_histogram(TRUTH, FRAME, rejected=rejected)
