"""Training that ends in numbers that are none."""

from __future__ import annotations

import numpy as np
from torch import nn


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
