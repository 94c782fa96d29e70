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
        Logged name of the metric; higher is better. An epoch that did not log it is passed over.
    """

    def __init__(self, monitor: str, mode: str = "max"):
        self.monitor = monitor
        self.sign = 1 if mode == "max" else -1
        self.best_score = -float("inf")
        self.best_epoch: int | None = None
        self.best_weights: dict[str, torch.Tensor] | None = None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Compare this epoch with the best so far; ties go to the later, better trained one."""
        score = trainer.callback_metrics.get(self.monitor)
        if (
            trainer.sanity_checking
            or score is None
            or not torch.isfinite(score)
            or self.sign * float(score) < self.best_score
        ):
            return
        self.best_score, self.best_epoch = self.sign * float(score), trainer.current_epoch
        self.best_weights = {k: v.detach().cpu().clone() for k, v in pl_module.network.state_dict().items()}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the best weights back."""
        if self.best_weights is not None:
            pl_module.network.load_state_dict(self.best_weights)
