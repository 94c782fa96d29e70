"""Sets of labels that hold the right one with a stated probability."""

from __future__ import annotations

import numpy as np


def set_thresholds(own: np.ndarray, codes: np.ndarray, n_labels: int, coverage: float) -> np.ndarray:
    """Return for each label the least probability with which it belongs into a cell's set.

    Parameters
    ----------
    own
        Probability of the true label of each held-out cell, shape ``(n_held_out,)``.
    codes
        Its label, shape ``(n_held_out,)``.
    n_labels
        Number of labels.
    coverage
        Wanted share of the cells of each label whose set holds it, in (0, 1).

    Returns
    -------
    Shape ``(n_labels,)``.

    Notes
    -----
    Split conformal prediction by class (Vovk 2012): of a label's n held-out cells the k-th largest probability of that
    label, k = ceil((n + 1) coverage). A label with too few held-out cells for that (n < k) takes the threshold of all cells
    together: by itself it would belong into every set, which says nothing.
    """
    together = _kth_largest(own, coverage) or 0.0
    found = [_kth_largest(own[codes == label], coverage) for label in range(n_labels)]
    return np.array([together if threshold is None else threshold for threshold in found])


def _kth_largest(values: np.ndarray, coverage: float) -> float | None:
    k = int(np.ceil((len(values) + 1) * coverage))
    return float(np.sort(values)[len(values) - k]) if k <= len(values) else None


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return which labels belong into each cell's set, bool, shape ``(n_obs, n_labels)``; the most probable always does.

    Parameters
    ----------
    probabilities
        Shape ``(n_obs, n_labels)``.
    thresholds
        Of :func:`set_thresholds`, shape ``(n_labels,)``.
    """
    chosen = probabilities >= thresholds
    chosen[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return chosen
