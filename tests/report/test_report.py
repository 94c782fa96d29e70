from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

import plkd
from plkd import metrics

LABELS = list("abcde")


@pytest.fixture(scope="module")
def calls() -> tuple[np.ndarray, pd.DataFrame]:
    """Give 200 cells of 5 labels, of which ``e`` is never called, and a label that has no column."""
    rng = np.random.default_rng(0)
    truth = rng.choice(LABELS, 200)
    logits = rng.normal(size=(200, 5)) + 2 * (truth[:, None] == np.array(LABELS))
    logits[:, 4] -= 20
    values = np.exp(logits)
    truth = truth.astype(object)
    truth[:7] = "new"
    return truth, pd.DataFrame(values / values.sum(axis=1, keepdims=True), columns=LABELS)


@pytest.fixture(scope="module")
def report(calls) -> plkd.Report:
    return plkd.Report(*calls)


def test_overall_scores_are_those_of_sklearn(report, calls):
    truth, frame = calls
    called = frame.idxmax(axis=1)
    assert report.overall["n_cells"] == 200
    assert report.overall["accuracy"] == pytest.approx(accuracy_score(truth, called))
    assert report.overall["macro_f1"] == pytest.approx(f1_score(truth, called, average="macro"))
    assert report.overall["weighted_f1"] == pytest.approx(f1_score(truth, called, average="weighted"))


def test_overall_scores_of_probabilities_are_those_of_the_metrics(calls):
    truth, frame = calls
    sharper = (frame**3).div((frame**3).sum(axis=1), axis=0)
    scores = plkd.Report(truth, frame, uncalibrated=sharper).overall
    assert scores["brier_score"] == metrics.brier_score(truth, frame)
    assert scores["calibration_error"] == metrics.calibration_error(truth, frame)
    assert scores["brier_score_uncalibrated"] == metrics.brier_score(truth, sharper)
    assert scores["calibration_error_uncalibrated"] == metrics.calibration_error(truth, sharper)
    assert not any("uncalibrated" in name for name in plkd.Report(truth, frame).overall.index)


def test_scores_of_labels_are_those_of_sklearn(report, calls):
    truth, frame = calls
    called = frame.idxmax(axis=1)
    order = [*LABELS, "new"]
    assert report.labels.index.tolist() == order
    expected = precision_recall_fscore_support(truth, called, labels=order, zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "n_cells"), expected, strict=True):
        np.testing.assert_allclose(report.labels[name], values)
    assert np.isnan(report.labels.loc["e", "precision"])
    mean = frame.max(axis=1).groupby(called).mean()
    np.testing.assert_allclose(report.labels["confidence"], mean.reindex(order))


def test_confusion_is_that_of_sklearn(report, calls):
    truth, frame = calls
    order = [*LABELS, "new"]
    expected = confusion_matrix(truth, frame.idxmax(axis=1), labels=order)
    np.testing.assert_array_equal(report.confusion, expected[:, :5])
    assert report.confusion.index.tolist() == order
    assert report.confusion.columns.tolist() == LABELS


def test_label_that_takes_most_of_anothers_cells_is_named():
    frame = pd.DataFrame(np.eye(3)[[0, 1, 1, 2, 1, 2]], columns=["a", "b", "c"])
    labels = plkd.Report(["a", "a", "a", "a", "b", "c"], frame).labels
    assert labels["confused_with"].tolist() == ["b", "", ""]
    assert labels["n_confused"].tolist() == [2, 0, 0]


def test_label_that_is_neither_true_nor_called_has_no_scores_and_does_not_count():
    frame = pd.DataFrame({"a": [0.9, 0.2], "b": [0.1, 0.8], "c": [0.0, 0.0]})
    report = plkd.Report(["a", "b"], frame)
    assert report.labels.loc["c", ["precision", "recall", "f1", "confidence"]].isna().all()
    assert report.overall["macro_f1"] == 1
    assert report.overall["weighted_f1"] == 1


def test_reliability_is_that_of_the_metrics(report, calls):
    pd.testing.assert_frame_equal(report.reliability, metrics.reliability(*calls))


def test_cells_without_a_true_label_are_left_out(calls):
    truth, frame = calls
    longer = plkd.Report([*truth, None, np.nan], pd.concat([frame, frame.iloc[:2]]))
    pd.testing.assert_series_equal(longer.overall, plkd.Report(*calls).overall)
    pd.testing.assert_frame_equal(longer.labels, plkd.Report(*calls).labels)


def test_to_dict_survives_json(calls):
    about = {"training": {"seconds": np.float32(1.5), "device": None}, "dropped": {"features": pd.Index(["g1", "g2"])}}
    told = plkd.Report(*calls, about=about).to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["overall"]["n_cells"] == 200
    assert told["labels"]["e"]["precision"] is None
    assert told["about"] == {"training": {"seconds": 1.5, "device": None}, "dropped": {"features": ["g1", "g2"]}}


def test_what_is_given_is_not_changed(calls):
    truth, frame = calls[0].copy(), calls[1].copy()
    report = plkd.Report(truth, frame, uncalibrated=frame)
    _ = report.overall, report.labels, report.confusion, str(report), report.to_dict()
    np.testing.assert_array_equal(truth, calls[0])
    pd.testing.assert_frame_equal(frame, calls[1])


def test_what_does_not_fit_is_refused_at_once(calls):
    truth, frame = calls
    with pytest.raises(ValueError, match="one label per cell"):
        plkd.Report(truth[:5], frame)
    with pytest.raises(ValueError, match="same labels in order"):
        plkd.Report(truth, frame, uncalibrated=frame[LABELS[::-1]])
    with pytest.raises(TypeError, match="about is a str"):
        plkd.Report(truth, frame, about="cells of donor 3")
