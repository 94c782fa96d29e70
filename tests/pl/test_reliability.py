from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from plkd import metrics, pl


@pytest.fixture
def calls() -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.full(4, 0.5), 150)
    frame = pd.DataFrame(values, columns=list("abcd"))
    return np.array(list("abcd"))[(values.cumsum(axis=1) > rng.random((150, 1))).argmax(axis=1)], frame


def points(ax):
    return [container.lines[0].get_xydata() for container in ax.containers]


def test_points_and_bars_are_the_bins_and_their_intervals(calls):
    ax = pl.reliability(*calls, n_bins=6)
    table = metrics.reliability(*calls, n_bins=6)
    np.testing.assert_allclose(points(ax)[0], table[["confidence", "accuracy"]])
    bars = ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], table[["accuracy_low", "accuracy_high"]])


def test_histogram_counts_the_cells_once(calls):
    histogram = pl.reliability(*calls).child_axes[0]
    counts = histogram.patches[-1].get_data().values
    assert counts.sum() == 150
    np.testing.assert_array_equal(counts, np.histogram(calls[1].max(axis=1), np.linspace(0, 1, 21))[0])


def test_several_frames_are_told_apart_and_named_with_their_error(calls):
    truth, frame = calls
    sharper = (frame**4).div((frame**4).sum(axis=1), axis=0)
    ax = pl.reliability(truth, {"calibrated": frame, "uncalibrated": sharper})
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == [
        f"calibrated: calibration error {metrics.calibration_error(truth, frame):.3f}",
        f"uncalibrated: calibration error {metrics.calibration_error(truth, sharper):.3f}",
    ]
    first, second = (container.lines[0] for container in ax.containers)
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def test_everything_drawn_lies_within_the_axes(calls):
    ax = pl.reliability(*calls)
    low, high = ax.get_xlim()
    assert (points(ax)[0] >= low).all()
    assert (points(ax)[0] <= high).all()
    assert ax.get_xlim() == ax.get_ylim()


def test_cells_that_are_all_certain_can_be_drawn():
    ax = pl.reliability(["B", "B"], pd.DataFrame({"B": [1.0, 1.0]}))
    np.testing.assert_allclose(points(ax)[0], [[1, 1]])


def test_draws_where_it_is_told(calls):
    _, ax = plt.subplots()
    assert pl.reliability(*calls, ax=ax) is ax


@pytest.mark.parametrize("n", [0, 5])
def test_none_or_too_many_frames_are_refused(calls, n):
    with pytest.raises(ValueError, match=f"holds {n} frames"):
        pl.reliability(calls[0], {str(i): calls[1] for i in range(n)})
