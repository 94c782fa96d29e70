"""Training that ends in numbers that are none, or in one answer to everything."""

from __future__ import annotations

import logging

import numpy as np
from torch import nn

logger = logging.getLogger("plkd")


def check_converged(network: nn.Module, logits: np.ndarray, phase: str) -> None:
    """Refuse a network whose weights or answers are not finite.

    Parameters
    ----------
    network
        After training.
    logits
        What it says of some of its training cells.
    phase
        ``"teacher"`` or ``"student"``, for the message.

    Raises
    ------
    RuntimeError
        If a weight or a logit is infinite or NaN.
    """
    if np.isfinite(logits).all() and all(bool(weight.isfinite().all()) for weight in network.parameters()):
        return
    raise RuntimeError(
        f"Training of the {phase} diverged: what it says is no number any more. Fix: train a new model, `PLKD(adata)`, with a "
        f'lower learning rate, e.g. `train(plan_kwargs={{"{phase}": {{"lr": 1e-3}}}})`.'
    )


def warn_of_one_answer(logits: np.ndarray, codes: np.ndarray, phase: str) -> None:
    """Warn of a network that calls all cells by one label.

    Parameters
    ----------
    logits
        What it says of some of its training cells, shape ``(n_obs, n_labels)``.
    codes
        Their labels, shape ``(n_obs,)``; nothing is said where these are all the same.
    phase
        ``"teacher"`` or ``"student"``, for the message.
    """
    if len(np.unique(codes)) < 2 or len(np.unique(logits.argmax(axis=1))) > 1:
        return
    logger.warning(
        "The %s calls all of %d training cells of %d labels by one label: it has learned nothing. Fix: train a new model, "
        '`PLKD(adata)`, with `train(plan_kwargs={"teacher": {"alignment_weight": 0}})` or more epochs.',
        phase,
        len(codes),
        len(np.unique(codes)),
    )
