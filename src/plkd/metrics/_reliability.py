"""`reliability`: confidence and accuracy side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from plkd.metrics._bins import equal_mass_bins
from plkd.metrics._calls import check_calls


def reliability(
    truth: Sequence[str] | np.ndarray | pd.Series, probabilities: pd.DataFrame, *, n_bins: int = 15
) -> pd.DataFrame:
    """Return how often calls are right, by how confident they are.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``; a Series needs the index of ``probabilities``. Cells where it is
        missing are left out. Calls of cells whose label has no column are wrong.
    probabilities
        Cells x labels, rows summing to 1.
    n_bins
        Number of bins, each with equally many cells; cells of the same confidence share one, so that there may be fewer.

    Returns
    -------
    One row per bin, from the least confident: ``n_cells``, ``confidence`` (mean probability of the called label),
    ``accuracy`` (share of cells called right), ``accuracy_low`` and ``accuracy_high`` (its 95 % interval
    :cite:p:`Wilson27`). Of calibrated probabilities about 95 % of the intervals hold the confidence.

    Raises
    ------
    TypeError
        If ``probabilities`` is no frame.
    ValueError
        If they are no probabilities, the cells differ, no cell has a true label, or ``n_bins`` is below 1.

    Examples
    --------
    >>> report = model.report()
    >>> table = plkd.metrics.reliability(report.truth, report.probabilities, n_bins=5)
    >>> list(table)
    ['n_cells', 'confidence', 'accuracy', 'accuracy_low', 'accuracy_high']
    """
    calls = check_calls(truth, probabilities)
    bins = equal_mass_bins(calls.confidence, n_bins)
    n_cells, n_right = np.bincount(bins), np.bincount(bins, calls.right).astype(int)
    intervals = [
        binomtest(int(k), int(n)).proportion_ci(method="wilson") for k, n in zip(n_right, n_cells, strict=True)
    ]
    return pd.DataFrame(
        {
            "n_cells": n_cells,
            "confidence": np.bincount(bins, calls.confidence) / n_cells,
            "accuracy": n_right / n_cells,
            "accuracy_low": [interval.low for interval in intervals],
            "accuracy_high": [interval.high for interval in intervals],
        },
        index=pd.RangeIndex(len(n_cells), name="bin"),
    )
