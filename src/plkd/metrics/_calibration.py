"""`calibration_error`: whether a confidence of 0.8 is right 8 times of 10."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plkd.metrics._bins import equal_mass_bins
from plkd.metrics._calls import check_calls


def calibration_error(
    truth: Sequence[str] | np.ndarray | pd.Series,
    probabilities: pd.DataFrame,
    *,
    n_bins: int = 15,
    n_resamples: int = 100,
    seed: int = 0,
) -> float:
    """Return the calibration error of the most probable label, less what chance alone gives.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``; a Series needs the index of ``probabilities``. Cells where it is
        missing are left out. Calls of cells whose label has no column are wrong.
    probabilities
        Cells x labels, rows summing to 1.
    n_bins
        Number of bins, each with equally many cells; cells of the same confidence share one.
    n_resamples
        How often labels are drawn from the probabilities. 0 takes nothing off.
    seed
        Of those draws.

    Returns
    -------
    Difference between mean confidence and accuracy in a bin, without its sign, mean over cells :cite:p:`Guo17`, minus
    the mean of the same error where true labels are drawn from the probabilities :cite:p:`Vaicenavicius19`. In bins of
    few cells even perfect probabilities miss the accuracy; with that taken off they score 0 on average, and a single
    value may lie slightly below 0: read it as 0. It is not cut off, so that means over data sets stay unbiased.

    Raises
    ------
    TypeError
        If ``probabilities`` is no frame.
    ValueError
        If they are no probabilities, the cells differ, no cell has a true label, or a number is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from plkd import metrics
    >>> probabilities = pd.DataFrame({"B": [0.75] * 4, "T": [0.25] * 4})
    >>> metrics.calibration_error(["B", "B", "T", "T"], probabilities, n_resamples=0)
    0.25
    """
    if n_resamples < 0:
        raise ValueError(f"n_resamples={n_resamples}; expected 0 or more.")
    calls = check_calls(truth, probabilities)
    confidence = calls.confidence
    bins = equal_mass_bins(confidence, n_bins)
    error = _error(confidence, calls.right, bins)
    rng = np.random.default_rng(seed)
    # A label drawn from a cell's probabilities is the most probable one with that one's probability.
    chance = [_error(confidence, rng.random(len(confidence)) < confidence, bins) for _ in range(n_resamples)]
    return float(error - np.mean(chance)) if chance else float(error)


def _error(confidence: np.ndarray, right: np.ndarray, bins: np.ndarray) -> float:
    return float(np.abs(np.bincount(bins, confidence - right)).sum() / len(bins))
