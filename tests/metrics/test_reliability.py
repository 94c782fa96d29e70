from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import metrics


@pytest.fixture
def calls() -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.linspace(0.51, 1, 103))
    right = rng.random(103) < confidence
    return np.where(right, "B", "T"), pd.DataFrame({"B": confidence, "T": 1 - confidence})


def test_hand_numbers():
    frame = pd.DataFrame({"B": [0.6, 0.4, 0.9, 0.2], "T": [0.4, 0.6, 0.1, 0.8]})
    table = metrics.reliability(["B", "B", "B", "T"], frame, n_bins=2)
    assert table["n_cells"].tolist() == [2, 2]
    np.testing.assert_allclose(table["confidence"], [0.6, 0.85])
    np.testing.assert_allclose(table["accuracy"], [0.5, 1])


def test_bins_hold_equally_many_cells_and_rise_in_confidence(calls):
    table = metrics.reliability(*calls)
    assert table["n_cells"].sum() == 103
    assert set(table["n_cells"]) == {6, 7}
    assert table["confidence"].is_monotonic_increasing


def test_intervals_are_those_of_wilson(calls):
    table = metrics.reliability(*calls, n_bins=5)
    n, p, z = table["n_cells"], table["accuracy"], 1.959963984540054
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(table["accuracy_low"], middle - half, atol=1e-9)
    np.testing.assert_allclose(table["accuracy_high"], middle + half, atol=1e-9)


def test_gaps_weighted_by_cells_are_the_plain_calibration_error(calls):
    table = metrics.reliability(*calls, n_bins=7)
    gap = np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["n_cells"])
    assert gap == pytest.approx(metrics.calibration_error(*calls, n_bins=7, n_resamples=0))


def test_equal_confidences_share_a_bin():
    frame = pd.DataFrame({"B": [1.0] * 50 + [0.6] * 10, "T": [0.0] * 50 + [0.4] * 10})
    table = metrics.reliability(["B"] * 60, frame)
    assert table["n_cells"].tolist() == [10, 50]
    assert table.index.tolist() == [0, 1]
