"""Labels that cells of the same label contradict."""

from __future__ import annotations

import numpy as np

from plkd.confidence._calibration import fit_calibration

#: A label keeps this share of its cells and this many; where fewer would be left, the label is hard rather than wrong.
KEPT_SHARE = 0.2
KEPT_CELLS = 3
#: The label that a doubted cell is called is at least this many times as probable as its own.
ODDS = 3.0
_ROUNDING = 1e-9


def doubtful_labels(logits: np.ndarray, codes: np.ndarray, *, trains: np.ndarray | None = None) -> np.ndarray:
    """Return which held-out cells are called otherwise, and surely, by networks that did not see them.

    Parameters
    ----------
    logits
        Of networks that did not see the cells, shape ``(n_obs, n_labels)``.
    codes
        The cells' labels, shape ``(n_obs,)``.
    trains
        Whether each cell is to train, bool, shape ``(n_obs,)``: only these are doubted, and enough of these are left of each
        label. None: all.

    Returns
    -------
    Bool, shape ``(n_obs,)``.

    Notes
    -----
    Confident learning (Northcutt et al. 2021, section 3.1): a cell is doubted if the most probable label is not its own, and
    at least as probable as that label is on average in cells that have it; here also three times as probable as its own, so that
    networks that learned little doubt nothing. The labels of rare and hard types are spared: none
    is doubted where under a fifth of a label's cells, or fewer than three, would be left.
    """
    probabilities = fit_calibration(logits, codes, allowance=0.0).probabilities(logits)
    n_labels = probabilities.shape[1]
    own = probabilities[np.arange(len(codes)), codes]
    trains = np.ones(len(codes), dtype=bool) if trains is None else trains
    counts = np.bincount(codes, minlength=n_labels)
    usual = np.where(counts > 0, np.bincount(codes, weights=own, minlength=n_labels) / np.maximum(counts, 1), 1.0)
    called, most = probabilities.argmax(axis=1), probabilities.max(axis=1)
    # Most cells of a label share one probability, the highest level of the calibration: their mean may lie above it by rounding.
    doubted = trains & (called != codes) & (most >= usual[called] - _ROUNDING) & (most >= ODDS * own)
    counts = np.bincount(codes[trains], minlength=n_labels)
    left = counts - np.bincount(codes[doubted], minlength=n_labels)
    return doubted & (left >= np.maximum(KEPT_SHARE * counts, KEPT_CELLS))[codes]
