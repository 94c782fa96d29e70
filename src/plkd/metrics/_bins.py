"""Bins of equal mass."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from plkd._arguments import check_whole


def equal_mass_bins(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the number of each value's bin, from 0 without gaps; bins hold equally many values.

    Equal values share a bin, that of their middle rank, so that the order of the cells does not matter; bins then
    differ in size, and there may be fewer.

    Raises
    ------
    ValueError
        If there is no bin.
    """
    check_whole("n_bins", n_bins, 1)
    bins = (rankdata(values) - 0.5) * n_bins // len(values)
    return np.unique(bins, return_inverse=True)[1]
