from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import plkd


def report(n_labels: int, about=None, *, name="type") -> plkd.Report:
    rng = np.random.default_rng(0)
    labels = [f"{name} {i:02}" for i in range(n_labels)]
    truth = np.arange(10 * n_labels) % n_labels
    logits = rng.normal(size=(len(truth), n_labels))
    logits[np.arange(len(truth)), truth] += 3
    values = np.exp(logits)
    frame = pd.DataFrame(values / values.sum(axis=1, keepdims=True), columns=labels)
    return plkd.Report(np.array(labels)[truth], frame, about=about or {})


def test_holds_the_scores_and_every_label_where_there_are_few():
    made = report(3)
    text = str(made)
    assert f"Macro-F1{made.overall['macro_f1']:>19.3f}" in text
    line = next(line for line in text.splitlines() if line.startswith("  type 01"))
    row = made.labels.loc["type 01"]
    assert line.split()[2:6] == ["10", *(f"{row[name]:.2f}" for name in ("precision", "recall", "f1"))]
    assert "more: report.labels" not in text
    assert repr(made) == text


@pytest.mark.parametrize("name", ["type", "a very long name of a cell type, of the kind that ontologies like"])
def test_fits_a_terminal_with_63_labels_and_lists_those_called_worst(name):
    made = report(63, {"dropped": {"features": [f"GENE{i}" for i in range(500)]}}, name=name)
    lines = str(made).splitlines()
    assert max(map(len, lines)) <= 88
    assert len(lines) <= 60
    assert "  and 43 more: report.labels" in lines
    start = next(i for i, line in enumerate(lines) if "precision" in line) + 1
    shown = [float(line.split("  ")[-2] if "(" in line else line.split()[-1]) for line in lines[start : start + 20]]
    np.testing.assert_allclose(shown, np.sort(made.labels["f1"])[:20], atol=0.005)


def test_sections_are_told_in_words():
    text = str(
        report(
            2,
            {
                "calibration": "cells of donor 3, held out whole",
                "training": {"seconds": {"teacher": 312.4, "student": 4.26}, "early_stopping": False},
                "dropped": {"patterns": {"too small": 1234}, "labels": [], "features": list("abcdefghijk")},
                "versions": {"plkd": "0.1.0"},
            },
        )
    )
    for line in (
        "Calibration\n  cells of donor 3, held out whole",
        "Training\n  time: teacher 5 min 12 s, student 4.3 s\n  early stopping: no",
        "Dropped\n  patterns: too small 1,234\n  labels: none\n  features: a, b, c, d, e, f, g, h, and 3 more",
        "Versions\n  plkd: 0.1.0",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3599.7, "1 h 0 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_times(seconds, said):
    assert f"  time: {said}\n" in str(report(2, {"training": {"seconds": seconds, "device": "cpu"}}))


def test_nothing_reaches_the_terminal_that_it_would_act_on_or_cannot_show():
    frame = pd.DataFrame({"\x1b[31mred": [0.9, 0.2], "two\nlines": [0.1, 0.7], "\ud800": [0.0, 0.1]})
    text = str(plkd.Report(["two\nlines", "\ud800"], frame, about={"dropped": {"labels": ["a\x07\nb"]}}))
    assert "?[31mred" in text
    assert "\n  two lines " in text
    assert "labels: a? b" in text
    text.encode("utf-8")
    assert text.replace("\n", "").isprintable()
