from __future__ import annotations

import pandas as pd
import pytest

from plkd import metrics


def test_hand_numbers_by_label_in_the_order_of_the_columns():
    sets = pd.DataFrame({"T": [True, False, True, True, False], "B": [False, True, True, False, False]})
    table = metrics.coverage(["T", "T", "B", "new", "B"], sets)
    assert table.index.tolist() == ["T", "B", "new"]
    assert table["n_cells"].tolist() == [2, 2, 1]
    assert table["coverage"].tolist() == [0.5, 0.5, 0]
    assert table["set_size"].tolist() == [1, 1, 1]


def test_sets_cut_at_a_probability_cover_what_lies_above_it():
    frame = pd.DataFrame({"B": [0.7, 0.5, 0.1], "T": [0.3, 0.5, 0.9]})
    table = metrics.coverage(["B", "B", "B"], frame >= 0.4)
    assert table.loc["B", "coverage"] == pytest.approx(2 / 3)
    assert table.loc["B", "set_size"] == pytest.approx(4 / 3)
