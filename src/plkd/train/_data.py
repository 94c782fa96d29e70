"""The reference as Lightning sees it: one loader for training, one for validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch

from plkd.data import Cells, lying_on
from plkd.inference import batch_size_for
from plkd.presets import StudentTraining, TeacherTraining
from plkd.train._plan import mini_batch_size, n_rounds
from plkd.train._sampler import AnySampler, BalancedSampler, DividedSampler, JoinedSampler, RepeatedSampler, n_processes
from plkd.train._split import Split

#: Most cells of a validation mini-batch; fewer where there are many features.
_VALIDATION_BATCH = 1024


class ReferenceData(pl.LightningDataModule):
    """Mini-batches of the reference.

    Parameters
    ----------
    cells
        The reference, and unlabelled cells; those of the latter that have a label were called.
    split
        Which cells train and which validate.
    batch_size
        Cells per training mini-batch.
    balance
        Class balance of the training mini-batches (:class:`~plkd.train._sampler.BalancedSampler`).
    unlabeled_ratio
        Unlabelled cells that join a training mini-batch for each labelled one.
    """

    def __init__(self, cells: Cells, split: Split, *, batch_size: int, balance: float, unlabeled_ratio: float = 0.0):
        super().__init__()
        self.cells, self.split, self.unlabeled_ratio = cells, split, unlabeled_ratio
        self.sampler: AnySampler = BalancedSampler(
            split.train, cells.labels[split.train], batch_size=batch_size, balance=balance
        )
        if unlabeled_ratio > 0 and len(split.unlabeled):
            called = cells.labels[split.unlabeled]
            self.sampler = JoinedSampler(self.sampler, split.unlabeled, ratio=unlabeled_ratio, called=called)
        # The names scvi-tools' TrainRunner reads.
        self.train_idx, self.val_idx, self.test_idx = split.train, split.validation, split.test
        self.n_train, self.n_val = len(split.train), len(split.validation)

    @classmethod
    def of(cls, settings: TeacherTraining | StudentTraining, cells: Cells, split: Split) -> ReferenceData:
        """Return the mini-batches that a phase's settings ask for."""
        size = mini_batch_size(settings.batch_size, len(split.train))
        return cls(cells, split, batch_size=size, balance=settings.balance, unlabeled_ratio=settings.unlabeled_ratio)

    def repeat(self, seed: int, first_epoch: int) -> None:
        """Let mini-batches come again once the cells have come often enough (:func:`~plkd.train._plan.n_rounds`)."""
        rounds = n_rounds(self.n_train, len(self.split.unlabeled), self.unlabeled_ratio)
        self.sampler = RepeatedSampler(self.sampler, n_rounds=rounds, seed=seed, first_epoch=first_epoch)

    @contextmanager
    def lying_on(self, device: torch.device | None) -> Iterator[None]:
        """Make mini-batches on a device of counts that lie there; None: where they are."""
        home = self.cells
        with lying_on(home, device) as self.cells:
            try:
                yield
            finally:
                self.cells = home

    def train_dataloader(self) -> Any:
        """Shuffled, class-balanced mini-batches, unlabelled cells added; each divided between processes."""
        sampler = self.sampler if n_processes() == 1 else DividedSampler(self.sampler)
        return torch.utils.data.DataLoader(self.cells, sampler=sampler, batch_size=None, collate_fn=_as_is)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        """Held-out cells in order; nothing is dropped. Each of several processes scores them all, so that all stop together."""
        size = min(_VALIDATION_BATCH, batch_size_for(self.cells, None))
        batches = [self.val_idx[i : i + size] for i in range(0, self.n_val, size)]
        return torch.utils.data.DataLoader(self.cells, sampler=batches, batch_size=None, collate_fn=_as_is)  # type: ignore[arg-type]


def _as_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch
