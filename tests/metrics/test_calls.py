"""What every metric refuses, and which cells it counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import metrics

PROBABILITIES = pd.DataFrame({"B": [0.9, 0.2], "T": [0.1, 0.8]}, index=["c1", "c2"])
SETS = PROBABILITIES > 0.5
EVERY = [
    (metrics.brier_score, PROBABILITIES),
    (metrics.calibration_error, PROBABILITIES),
    (metrics.reliability, PROBABILITIES),
    (metrics.coverage, SETS),
]


@pytest.mark.parametrize(("metric", "frame"), EVERY)
@pytest.mark.parametrize(
    ("truth", "named"),
    [
        (["B"], "1 labels"),
        ([None, np.nan], "None of the 2 cells"),
        (pd.Series(["B", "T"], index=["c2", "c1"]), r"truth\.loc"),
        (pd.Series(["B", "T"]), "different cells"),
    ],
)
def test_labels_that_do_not_fit_are_refused(metric, frame, truth, named):
    with pytest.raises(ValueError, match=named):
        metric(truth, frame)


@pytest.mark.parametrize(("metric", "frame"), EVERY)
def test_what_is_no_frame_of_one_column_per_label_is_refused(metric, frame):
    with pytest.raises(TypeError, match="DataFrame"):
        metric(["B", "T"], frame.to_numpy())
    with pytest.raises(ValueError, match="one column per label"):
        metric(["B", "T"], frame.set_axis(["B", "B"], axis=1))
    with pytest.raises(ValueError, match="one column per label"):
        metric(["B", "T"], frame[[]])


@pytest.mark.parametrize(("metric", "frame"), EVERY)
def test_cells_without_a_true_label_do_not_count(metric, frame):
    longer = pd.concat([frame, frame.set_axis(["c3", "c4"]).iloc[::-1]])
    expected = metric(["B", "T"], frame)
    found = metric(pd.Categorical(["B", "T", None, np.nan]), longer)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize(("metric", "frame"), EVERY[:3])
@pytest.mark.parametrize(
    ("row", "named"),
    [([0.5, 0.6], "'c1' sums to 1.1"), ([1.5, -0.5], "c1"), ([np.nan, 1], "nan"), (["x", "y"], "no numbers")],
)
def test_values_that_are_no_probabilities_are_refused(metric, frame, row, named):
    frame = frame.astype(object)
    frame.loc["c1"] = row
    with pytest.raises(ValueError, match=named):
        metric(["B", "T"], frame)


def test_sets_that_are_not_boolean_are_refused():
    with pytest.raises(ValueError, match="boolean"):
        metrics.coverage(["B", "T"], PROBABILITIES)


def test_labels_that_are_numbers_are_compared_as_text():
    frame = PROBABILITIES.set_axis([1, 2], axis=1)
    assert metrics.brier_score(["1", "2"], frame) == metrics.brier_score([1, 2], frame) == pytest.approx(0.05)


@pytest.mark.parametrize("metric", [metrics.calibration_error, metrics.reliability])
def test_no_bins_are_refused(metric):
    with pytest.raises(ValueError, match="n_bins=0"):
        metric(["B", "T"], PROBABILITIES, n_bins=0)
