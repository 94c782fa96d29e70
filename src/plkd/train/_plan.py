"""What the Teacher's and the Student's training have in common: optimiser, schedule, validation."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F

from plkd.inference import to_device
from plkd.module import PLKDModule
from plkd.nn import Values
from plkd.train._augment import hide_features

#: Share of the steps that the one-cycle schedule spends on the way up.
WARMUP_SHARE = 0.2
#: Share of the steps over which the parts of a loss that :meth:`PhasePlan.set_in` weighs come in.
SET_IN_SHARE = 0.05
#: Optimiser steps that a phase aims at where max_epochs is None, and the bounds of the epochs that gives.
_STEPS = {"teacher": 600, "student": 400, "distillation": 800}
_EPOCHS = {"teacher": (10, 100), "student": (10, 100), "distillation": (20, 200)}
#: Where ``batch_size`` is None: fewest and most cells of a mini-batch, and mini-batches that an epoch may then have.
_BATCH, _LARGEST_BATCH, _STEPS_OF_EPOCH = 128, 1024, 400
#: Mixtures of labelled cells that the Teacher answers before the same come again, and fewest epochs of them: an epoch draws some
#: cells twice and others not at all. And how often an unlabelled cell comes before, on average.
_MIXTURES, _FEWEST_ROUNDS, _TIMES = 16_384, 4, 3
#: Name (after the phase) of the macro-F1 of held-out cells, averaged over the last validations. A single epoch's F1 on few
#: cells is noise whose maximum comes early; cross-entropy rises once a network is sure, long before labels get worse.
SCORE = "score_validation"
SMOOTHED = 10


class PhasePlan(pl.LightningModule):
    """One phase of training: updates one network of the module and reports on the held-out cells.

    Parameters
    ----------
    module
        The whole module; scvi-tools' callbacks look for it under this name.
    network
        The part of it that learns in this phase.
    n_steps
        Optimiser steps in the whole phase, for the schedule.
    lr, weight_decay
        Learning rate at its highest, and weight decay.
    optimizer
        ``"adamw"``, ``"adam"`` or ``"sgd"`` (momentum 0.9).
    schedule
        ``"one_cycle"``: up over the first fifth, then a cosine to zero; ``"cosine"``: down to 1 % of ``lr``;
        ``"constant"``.
    hide_rate
        Mean share of the features hidden from each training cell.
    first_epoch, first_step
        Epochs and steps done before, in a resumed run.
    """

    phase: str

    def __init__(
        self,
        module: PLKDModule,
        network: nn.Module,
        *,
        n_steps: int,
        lr: float,
        weight_decay: float,
        optimizer: Literal["adamw", "adam", "sgd"],
        schedule: Literal["one_cycle", "cosine", "constant"],
        hide_rate: float,
        first_epoch: int = 0,
        first_step: int = 0,
    ):
        super().__init__()
        self.first_epoch, self.first_step = first_epoch, first_step
        #: Macro-F1 of the last validations.
        self.recent: list[float] = []
        #: Sums of the parts of the loss over the cells of the epoch so far, and how many those are.
        self._sums: dict[str, tuple[Tensor | float, int]] = {}
        self.module, self.network = module, network
        self.n_steps, self.lr, self.weight_decay = n_steps, lr, weight_decay
        self.optimizer_name, self.schedule = optimizer, schedule
        self.hide_rate = hide_rate
        macro = {"num_classes": max(module.n_labels, 2), "average": "macro"}
        self.f1 = torchmetrics.classification.MulticlassF1Score(**macro)
        self.accuracy = torchmetrics.classification.MulticlassAccuracy(
            num_classes=macro["num_classes"], average="micro"
        )

    def view(self, batch: dict[str, Any]) -> dict[str, Values]:
        """Return the scaled values of a mini-batch, some features hidden."""
        return hide_features(self.module.scale(batch), self.hide_rate)

    @abstractmethod
    def outputs(self, batch: dict[str, Any]) -> tuple[Tensor, ...]:
        """Return logits of a training mini-batch, and what else its loss needs."""

    @abstractmethod
    def training_loss(self, batch: dict[str, Any], logits: Tensor, *others: Tensor) -> dict[str, Tensor]:
        """Return the parts of the loss of a mini-batch; ``loss`` is what is minimised."""

    @abstractmethod
    def validation_logits(self, batch: dict[str, Any]) -> Tensor:
        """Return logits of a mini-batch of held-out cells, shape ``(n_obs, n_labels)``."""

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a mini-batch but for its cells' numbers; Lightning's own looks into every part of it."""
        # What is mixed follows from the numbers, and to read them off a GPU would wait for all that it has to do.
        return {**to_device(batch, device), "index": batch["index"]}

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the parts of the loss of a mini-batch; ``loss`` is what is minimised."""
        outputs = self.outputs(batch)
        # Losses in single precision, whatever the networks run in.
        with torch.autocast(device_type=batch["labels"].device.type, enabled=False):
            return self.training_loss(batch, outputs[0].float(), *outputs[1:])

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Run one step and add every part of the loss to the epoch's."""
        parts, n_obs = self.losses(batch), len(batch["labels"])
        for name, value in parts.items():
            total, n_seen = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value.detach() * n_obs, n_seen + n_obs
        return parts["loss"]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the losses with the last step of an epoch: all of them in every step would cost as much as small steps do.

        Callbacks read them before the module's own end of the epoch, of one that is cut short too.
        """
        trainer = self.trainer
        if trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps:
            self._log_losses()

    def on_train_epoch_end(self) -> None:
        """Log what is left."""
        self._log_losses()

    def _log_losses(self) -> None:
        """Log the means over the cells since the last time; of several processes the mean."""
        how = {"on_step": False, "on_epoch": True, "sync_dist": True}
        # Every process in the same order.
        for name, (total, n_seen) in sorted(self._sums.items()):
            self.log(f"{self.phase}_{name}_train", total / n_seen, batch_size=n_seen, **how)
            if name == "loss":
                # The name scvi-tools' progress bar and checkpoints look for.
                self.log("train_loss", total / n_seen, batch_size=n_seen, prog_bar=True, **how)
        self._sums = {}

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score held-out cells."""
        logits, labels = self.validation_logits(batch).float(), batch["labels"]
        loss = F.cross_entropy(logits, labels)
        n_obs = len(labels)
        predicted = logits.argmax(dim=-1)
        self.f1.update(predicted, labels)
        self.accuracy.update(predicted, labels)
        how = {"on_step": False, "on_epoch": True, "batch_size": n_obs, "sync_dist": True}
        for name, value in (("ce_loss", loss), ("macro_f1", self.f1), ("accuracy", self.accuracy)):
            self.log(f"{self.phase}_{name}_validation", value, **how)
        self.log("validation_loss", loss, prog_bar=True, **how)

    def on_validation_epoch_end(self) -> None:
        """Log the score that early stopping and the choice of the best epoch go by."""
        self.recent = [*self.recent, float(self.f1.compute())][-SMOOTHED:]
        self.log(f"{self.phase}_{SCORE}", sum(self.recent) / len(self.recent), sync_dist=True)

    def _learning(self) -> Iterable[nn.Parameter]:
        return self.network.parameters()

    def make_optimizer(self, *, fused: bool) -> torch.optim.Optimizer:
        """Return the optimiser; ``fused``: with one kernel for all of AdamW's step."""
        # Biases, norms and the class token are not shrunk.
        decayed = [p for p in self._learning() if p.ndim == 2]
        kept = [p for p in self._learning() if p.ndim != 2]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        if self.optimizer_name == "sgd":
            # The released form shrinks every parameter.
            return torch.optim.SGD(self._learning(), self.lr, momentum=0.9, weight_decay=self.weight_decay)
        if self.optimizer_name == "adam":
            return torch.optim.Adam(self._learning(), self.lr, weight_decay=self.weight_decay)
        return torch.optim.AdamW(groups, self.lr, fused=fused)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule, stepped every mini-batch."""
        # A fused step unscales half-precision gradients itself, after they would be clipped.
        optimizer = self.make_optimizer(fused=self.trainer.precision in ("32-true", "bf16-mixed", "bf16-true"))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm; Lightning's own refuses fused optimisers in mixed precision, bfloat16 included."""
        if gradient_clip_val and str(gradient_clip_algorithm or "norm").endswith("value"):
            torch.nn.utils.clip_grad_value_(self.network.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def set_in(self) -> float:
        """Return how far losses that follow others have set in, in [0, 1]; 1 where ``schedule`` isn't ``"one_cycle"``, and outside of a run."""
        if self.schedule != "one_cycle" or self._trainer is None:
            return 1.0
        return min((self.first_step + self._trainer.global_step) / max(SET_IN_SHARE * self.n_steps, 1), 1.0)

    def lr_share(self, step: int) -> float:
        """Return the share of ``lr`` in force at a step of this phase."""
        done = min((self.first_step + step) / max(self.n_steps, 1), 1.0)
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "cosine":
            return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
        if done < WARMUP_SHARE:
            return 0.04 + 0.96 * done / WARMUP_SHARE
        return (1 + math.cos(math.pi * (done - WARMUP_SHARE) / (1 - WARMUP_SHARE))) / 2


def mini_batch_size(asked: int | None, n_train: int) -> int:
    """Return the cells of a mini-batch; None chooses by the number of training cells.

    128, and more from 51,200 cells on, where an epoch has 400 mini-batches; at most 1,024. Ten epochs are then several times the
    steps of a small reference.
    """
    return asked or min(max(n_train // _STEPS_OF_EPOCH, _BATCH), _LARGEST_BATCH)


def phase_length(max_epochs: int | None, phase: str, steps_per_epoch: int) -> tuple[int, int]:
    """Return epochs and optimiser steps of a phase; None chooses by the steps of an epoch.

    ``phase`` is ``"teacher"``, ``"student"`` (on labels or on the Teacher's answers to the cells) or ``"distillation"`` (on its
    answers to mixtures of them, which need more patience).
    """
    least, most = _EPOCHS[phase]
    chosen = min(max(math.ceil(_STEPS[phase] / steps_per_epoch), least), most)
    epochs = int(max_epochs) if max_epochs else chosen
    return epochs, epochs * steps_per_epoch


def n_rounds(n_train: int, n_unlabeled: int, ratio: float) -> int:
    """Return how many epochs of mixtures differ before the same come again.

    Parameters
    ----------
    n_train, n_unlabeled
        Labelled and unlabelled cells.
    ratio
        Unlabelled cells that join a mini-batch for each labelled one.
    """
    of_unlabeled = _TIMES * n_unlabeled / (ratio * n_train) if ratio > 0 else 0
    return max(_FEWEST_ROUNDS, math.ceil(_MIXTURES / n_train), math.ceil(of_unlabeled))


def plan_arguments(plan: type[PhasePlan], settings: Any, **instead: Any) -> dict[str, Any]:
    """Return the arguments of a plan that are settings of its phase, by name.

    Parameters
    ----------
    plan
        Class of the plan.
    settings
        The phase's part of a preset; what the plan does not take is of the loader or the trainer.
    **instead
        Arguments that are no settings, or not as asked for.
    """
    taken = {
        name
        for cls in plan.__mro__
        if issubclass(cls, PhasePlan)
        for name in inspect.signature(cls.__init__).parameters
    }
    return {name: value for name, value in vars(settings).items() if name in taken} | instead
