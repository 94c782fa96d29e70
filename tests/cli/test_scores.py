"""Scores and their table."""

from __future__ import annotations

import numpy as np
import pytest

from plkd.cli._scores import score, score_table


def test_accuracy_and_macro_f1_of_a_case_worked_by_hand():
    # a: precision 1, recall 1/2; b: precision 1/2, recall 1.
    assert score(["a", "a", "b"], ["a", "b", "b"]) == pytest.approx((2 / 3, 2 / 3))


def test_one_split_is_shown_without_a_spread():
    assert score_table({"Student": np.array([[0.5, 0.25]])}).splitlines()[1].split() == ["Student", "0.500", "0.250"]


def test_several_splits_are_shown_with_mean_and_spread():
    table = score_table({"Student": np.array([[0.4, 0.2], [0.6, 0.2]])})
    assert table.splitlines()[1].split() == ["Student", "0.500", "±", "0.141", "0.200", "±", "0.000"]
