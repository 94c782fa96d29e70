"""Scores by the names that people read."""

from __future__ import annotations

from plkd.report._report import Report

_NAMES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "weighted_f1": "Weighted F1",
    "brier_score": "Brier score",
    "calibration_error": "Calibration error",
}


def named_scores(report: Report) -> list[tuple[str, str, str]]:
    """Return name, value and, where it is known, the value before calibration."""
    scores = report.overall
    return [
        (name, f"{scores[key]:.3f}", f"{scores[before]:.3f}" if (before := f"{key}_uncalibrated") in scores else "")
        for key, name in _NAMES.items()
    ]


def number(value: float, form: str = ".2f") -> str:
    """Return a number as text, a dash where there is none."""
    return "–" if value != value else format(value, form)
