"""Keep the weights of the epoch that did best on the held-out cells."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import Callback


class KeepBest(Callback):
    """Remember the learning network's weights at the best validation epoch and put them back at the end.

    Parameters
    ----------
    monitor
        Logged name of a share in [0, 1], the higher the better. An epoch that did not log it is passed over.
    n_obs
        Number of held-out cells: after a whole run the last weights stay unless their score is more than one standard
        error below the best.

    Notes
    -----
    The one-standard-error rule of Breiman et al. 1984: among epochs that few cells cannot tell apart, the last, whose
    learning rate has come down, is the better guess.
    """

    def __init__(self, monitor: str, n_obs: int):
        self.monitor, self.n_obs = monitor, n_obs
        self.best_score = -float("inf")
        self.last_score = -float("inf")
        self.best_weights: dict[str, torch.Tensor] | None = None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Compare this epoch with the best so far; ties go to the later, better trained one."""
        score = trainer.callback_metrics.get(self.monitor)
        if trainer.sanity_checking or score is None or not torch.isfinite(score):
            return
        self.last_score = float(score)
        if self.last_score < self.best_score:
            return
        self.best_score = self.last_score
        self.best_weights = {k: v.detach().cpu().clone() for k, v in pl_module.network.state_dict().items()}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the best weights back, unless the last are as good as them after a whole run."""
        tolerance = 0.0 if trainer.should_stop else self.tolerance
        if self.best_weights is not None and self.best_score - self.last_score > tolerance:
            pl_module.network.load_state_dict(self.best_weights)

    @property
    def tolerance(self) -> float:
        """Standard error of the best score."""
        return (max(self.best_score * (1 - self.best_score), 0.0) / self.n_obs) ** 0.5
