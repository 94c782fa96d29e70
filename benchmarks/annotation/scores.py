"""Scores from confusion matrices, and calibration."""

from __future__ import annotations

import numpy as np


def confusion(truth: np.ndarray, predicted: np.ndarray, n_labels: int) -> np.ndarray:
    """Count cells by true (rows) and predicted (columns) label code."""
    return np.bincount(truth * n_labels + predicted, minlength=n_labels**2).reshape(n_labels, n_labels)


def f1_per_label(matrix: np.ndarray) -> np.ndarray:
    """F1 of each label; 0 where it is neither present nor predicted."""
    total = matrix.sum(axis=0) + matrix.sum(axis=1)
    return 2 * matrix.diagonal() / np.maximum(total, 1)


def accuracy(matrix: np.ndarray) -> float:
    """Share of cells on the diagonal."""
    return float(matrix.trace() / matrix.sum())


def macro_f1(matrix: np.ndarray, among: np.ndarray | None = None) -> float:
    """Mean F1 over the labels present in the query, or over those of them that are True in ``among``; NaN for none."""
    present = matrix.sum(axis=1) > 0
    chosen = present if among is None else present & among
    return float(f1_per_label(matrix)[chosen].mean()) if chosen.any() else float("nan")


def weighted_f1(matrix: np.ndarray) -> float:
    """Mean F1 over labels, weighted by their number of cells."""
    support = matrix.sum(axis=1)
    return float((f1_per_label(matrix) * support).sum() / support.sum())


def calibration_error(confidence: np.ndarray, correct: np.ndarray, n_bins: int = 15) -> float:
    """Expected calibration error of the predicted label's probability, over bins of equal width."""
    bins = np.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    size = np.bincount(bins, minlength=n_bins)
    gap = np.bincount(bins, weights=confidence - correct, minlength=n_bins)
    return float(np.abs(gap).sum() / size.sum())
