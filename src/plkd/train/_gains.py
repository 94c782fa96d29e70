"""How much each modality counts beside the others: decided on held-out cells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor

logger = logging.getLogger("plkd")

_CANDIDATES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_ROUNDS = 2
#: With fewer held-out cells of several modalities nothing is decided.
_LEAST_CELLS = 20
#: Cells looked at; more decide alike and cost time.
_MOST_CELLS = 1000


def set_gains(
    gain: Tensor,
    logits_of: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    measured: np.ndarray,
    held_out: np.ndarray,
    names: Sequence[str] = (),
) -> None:
    """Set a network's gains to those with least cross-entropy on held-out cells that have several modalities.

    All gains stay 1 unless others are better by more than two standard errors, one modality changed at a time. A network may
    fit a modality of many noisy features too well on its training cells and trust it too much; cells that did not train
    show it. A cell weighs by the inverse root of its label's number of cells, between a vote per cell and a vote per label.

    Parameters
    ----------
    gain
        The network's buffer, shape ``(n_modalities,)``; changed in place.
    logits_of
        Gives the network's logits for cell numbers.
    labels
        Label codes of all cells.
    measured
        Whether each cell was measured in each modality, shape ``(n_obs, n_modalities)``.
    held_out
        Cell numbers.
    names
        The modalities, for the log; none: nothing is said.
    """
    cells = held_out[measured[held_out].sum(axis=1) > 1]
    if len(gain) < 2 or len(cells) < _LEAST_CELLS:
        return
    cells = cells[:: -(-len(cells) // _MOST_CELLS)]

    weights = np.bincount(labels[cells])[labels[cells]] ** -0.5
    weights /= weights.sum()

    def losses(gains: np.ndarray) -> np.ndarray:
        gain.copy_(torch.as_tensor(gains / gains.max(), dtype=gain.dtype))
        chances = log_softmax(logits_of(cells).astype(np.float64), axis=1)
        return -chances[np.arange(len(cells)), labels[cells]]

    best = np.ones(len(gain))
    least = losses(best)
    for _ in range(_ROUNDS):
        before = best.copy()
        for i in range(len(gain)):
            trials = [np.where(np.arange(len(gain)) == i, value, best) for value in _CANDIDATES if value != best[i]]
            tried = [(trial, losses(trial)) for trial in trials if trial.max() > 0]
            trial, found = min(tried, key=lambda one: float(weights @ one[1]))
            gained = weights @ (least - found)
            # Not by chance: two standard errors of the difference between the same cells.
            if gained > 2 * np.sqrt(weights**2 @ (least - found - gained) ** 2):
                best, least = trial, found
        if np.array_equal(before, best):
            break
    best = best / best.max()
    gain.copy_(torch.as_tensor(best, dtype=gain.dtype))
    if names and (best < 1).any():
        said = ", ".join(f"{name} {value:g}" for name, value in zip(names, best, strict=True))
        logger.info("Modalities count, by held-out cells: %s", said)
