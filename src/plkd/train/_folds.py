"""Folds of the reference, each of which is once kept from training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: With fewer batches one left out says little about the next.
LEAST_BATCHES = 3
#: Whole batches are left out only if this share of the cells has its label in a batch that stays.
KNOWN_SHARE = 0.9


@dataclass(frozen=True)
class Folds:
    """Which cells are left out together.

    Attributes
    ----------
    fold
        For each cell of the data its fold, ``-1`` for cells that take no part.
    scored
        Whether the cell is scored in its fold; not where its label, or what it was measured in, is unknown to those that
        stay.
    note
        How the folds were made, for the log and the report.
    """

    fold: np.ndarray
    scored: np.ndarray
    note: str

    def __len__(self) -> int:
        return int(self.fold.max(initial=-1)) + 1

    def split(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells that train while a fold is left out, and the cells of the fold that are scored."""
        trains = (self.fold >= 0) & (self.fold != number)
        return np.flatnonzero(trains), np.flatnonzero(self.scored & (self.fold == number))


def make_folds(
    labels: np.ndarray,
    batch: np.ndarray,
    cells: np.ndarray,
    rng: np.random.Generator,
    *,
    n_folds: int,
    measured: np.ndarray | None = None,
) -> Folds:
    """Leave out whole batches if there are at least three and labels and modalities occur in several, else parts of labels.

    Parameters
    ----------
    labels
        Label codes, shape ``(n_obs,)``.
    batch
        Batch codes, shape ``(n_obs,)``.
    cells
        Numbers of the labelled cells that take part.
    rng
        Draws the cells.
    n_folds
        Most folds; batches are put together where there are more, so that folds have about the same size.
    measured
        Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``; None: every cell in every one.
    """
    own_labels, own_batch = labels[cells], batch[cells]
    modalities = [] if measured is None else list(measured[cells].T)
    n_batches = len(np.unique(own_batch))
    if n_batches >= LEAST_BATCHES:
        own = _by_batch(own_batch, n_folds)
        known = _known_elsewhere(own_labels, own)
        if known.mean() >= KNOWN_SHARE and all(_known_elsewhere(there, own)[there].all() for there in modalities):
            note = f"whole batches left out in turn ({n_batches} batches in {own.max() + 1} folds)"
            return _spread(own, known, cells, len(labels), note)
    own = np.empty(len(cells), dtype=np.int64)
    first = 0
    for label in np.unique(own_labels):
        members = rng.permutation(np.flatnonzero(own_labels == label))
        # Going on where the label before stopped keeps the folds alike in size.
        own[members] = (first + np.arange(len(members))) % n_folds
        first += len(members)
    own = np.unique(own, return_inverse=True)[1]
    known = _known_elsewhere(own_labels, own)
    for there in modalities:
        known &= ~there | _known_elsewhere(there, own)
    why = "fewer than three batches" if n_batches < LEAST_BATCHES else "labels or modalities lie in single batches"
    note = f"{own.max(initial=0) + 1} folds stratified by label, each left out in turn ({why})"
    return _spread(own, known, cells, len(labels), note)


def _by_batch(batch: np.ndarray, n_folds: int) -> np.ndarray:
    """Return folds of whole batches, the largest batches dealt out first."""
    _, which, counts = np.unique(batch, return_inverse=True, return_counts=True)
    size = np.zeros(min(n_folds, len(counts)), dtype=np.int64)
    fold_of = np.empty(len(counts), dtype=np.int64)
    for i in np.argsort(-counts, kind="stable"):
        fold_of[i] = size.argmin()
        size[fold_of[i]] += counts[i]
    return fold_of[which]


def _known_elsewhere(values: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Whether each cell's value occurs in another fold."""
    _, which = np.unique(values, return_inverse=True)
    pairs = np.unique(np.stack([which, fold], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=1)[which] > 1


def _spread(own: np.ndarray, scored: np.ndarray, cells: np.ndarray, n_obs: int, note: str) -> Folds:
    fold, is_scored = np.full(n_obs, -1, dtype=np.int64), np.zeros(n_obs, dtype=bool)
    fold[cells], is_scored[cells] = own, scored
    return Folds(fold, is_scored, note)
