"""Calibrated probabilities of the cells that the calibration was fitted to."""

from __future__ import annotations

import numpy as np

from plkd.confidence._calibration import fit_calibration

_PARTS = 5
_SEED = 0


def crossed_probabilities(logits: np.ndarray, codes: np.ndarray, *, allowance: float) -> np.ndarray:
    """Return label probabilities of held-out cells, each from a calibration fitted to other cells.

    Those of the calibration fitted to all of them would look better than they are: an isotonic regression has no error
    left on its own cells.

    Parameters
    ----------
    logits
        Of cells that took no part in training, shape ``(n_obs, n_labels)``.
    codes
        Their labels as columns of ``logits``, shape ``(n_obs,)``.
    allowance
        As of :class:`~plkd.confidence.Calibration`.

    Returns
    -------
    Shape ``(n_obs, n_labels)``, rows summing to 1.
    """
    part = np.random.default_rng(_SEED).permutation(len(codes)) % _PARTS
    found = np.empty(logits.shape)
    for number in np.unique(part):
        rest = part != number
        found[~rest] = fit_calibration(logits[rest], codes[rest], allowance=allowance).probabilities(logits[~rest])
    return found
