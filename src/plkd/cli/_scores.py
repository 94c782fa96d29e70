"""Scores, and tables of them as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def score(truth: Any, called: Any) -> tuple[float, float]:
    """Return accuracy and macro-F1 over the labels that occur."""
    from sklearn.metrics import accuracy_score, f1_score

    truth, called = np.asarray(truth, dtype=str), np.asarray(called, dtype=str)
    return float(accuracy_score(truth, called)), float(f1_score(truth, called, average="macro"))


def score_table(scores: Mapping[str, np.ndarray]) -> str:
    """Return lines of text, one per method.

    Parameters
    ----------
    scores
        By method an array ``(n_splits, 2)`` of accuracies and macro-F1s; with several splits mean and standard
        deviation are shown.
    """
    lines = [f"{'':22}{'accuracy':>16}{'macro-F1':>16}"]
    for name, values in scores.items():
        mean, several = values.mean(axis=0), len(values) > 1
        spread = [f" ± {value:.3f}" for value in values.std(axis=0, ddof=1)] if several else ["", ""]
        cells = [f"{value:.3f}{around}" for value, around in zip(mean, spread, strict=True)]
        lines.append(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)
