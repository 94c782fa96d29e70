from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import metrics
from plkd.confidence import crossed_probabilities, fit_calibration


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, np.ndarray]:
    """Give logits and labels drawn from their softmax."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(400, 4))
    soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits, (soft.cumsum(axis=1) > rng.random((400, 1))).argmax(axis=1)


def test_rows_sum_to_1_and_calls_stay(held_out):
    logits, codes = held_out
    found = crossed_probabilities(logits, codes, allowance=0.0)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.argmax(axis=1), logits.argmax(axis=1))


def test_label_of_a_cell_has_no_part_in_its_probabilities(held_out):
    logits, codes = held_out
    before = crossed_probabilities(logits, codes, allowance=0.0)
    for cell in (0, 57, 399):
        changed = codes.copy()
        changed[cell] = (codes[cell] + 1) % 4
        after = crossed_probabilities(logits, changed, allowance=0.0)
        np.testing.assert_array_equal(after[cell], before[cell])
        assert (after != before).any()


def test_error_is_not_hidden_as_on_the_cells_that_were_fitted_to(held_out):
    logits, codes = held_out
    own = fit_calibration(logits, codes, allowance=0.0).probabilities(logits)
    scores = [
        metrics.calibration_error(codes, pd.DataFrame(values))
        for values in (own, crossed_probabilities(logits, codes, allowance=0.0))
    ]
    assert scores[0] < scores[1]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_cells_still_have_probabilities(held_out, n):
    logits, codes = held_out
    found = crossed_probabilities(logits[:n], codes[:n], allowance=0.04)
    np.testing.assert_allclose(found.sum(axis=1), 1)
