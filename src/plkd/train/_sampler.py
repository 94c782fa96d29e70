"""Which cells make up each training mini-batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from plkd.train._seeded import seeded


class BalancedSampler(torch.utils.data.Sampler[np.ndarray]):
    """Yield mini-batches of cell numbers, rare labels drawn more often.

    A label with n of N cells is drawn with a weight proportional to n^(1 - balance): 0 leaves the labels' shares as they
    are (each cell once an epoch), 1 draws every label equally often. Only training mini-batches are drawn so; no cell
    is copied and none is seen by validation.

    Parameters
    ----------
    cells
        Cell numbers to draw from.
    labels
        Their label codes; unlabelled cells (``-1``) are drawn as often as in the data.
    batch_size
        Cells per mini-batch; the last may be smaller.
    balance
        In [0, 1].
    """

    def __init__(self, cells: np.ndarray, labels: np.ndarray, *, batch_size: int, balance: float):
        self.cells = torch.as_tensor(cells, dtype=torch.int64)
        self.batch_size, self.balance = batch_size, balance
        codes = np.where(labels < 0, labels.max(initial=0) + 1, labels)
        counts = np.bincount(codes)
        weights = counts[codes] ** -float(balance)
        weights[labels < 0] = 1.0 if balance == 0 else weights[labels >= 0].mean() if (labels >= 0).any() else 1.0
        self.weights = torch.as_tensor(weights / weights.sum(), dtype=torch.float64)

    def __len__(self) -> int:
        return -(-len(self.cells) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        n = len(self.cells)
        drawn = torch.randperm(n) if self.balance == 0 else torch.multinomial(self.weights, n, replacement=True)
        order = self.cells[drawn].numpy()
        for start in range(0, n, self.batch_size):
            yield order[start : start + self.batch_size]


class JoinedSampler(torch.utils.data.Sampler[np.ndarray]):
    """Add unlabelled cells to each mini-batch of labelled ones.

    Unlabelled cells come in random order, each once before any comes again; where some are called, called labels that are
    rare come more often, as :class:`BalancedSampler` draws labels.

    Parameters
    ----------
    labelled
        Draws the labelled cells.
    unlabeled
        Cell numbers.
    ratio
        Unlabelled cells for each labelled one of a mini-batch, rounded; at most all of them.
    called
        Codes of the labels that unlabelled cells are called by, ``-1`` for none, shape ``(n_unlabeled,)``. None: no cell is.
    """

    def __init__(
        self, labelled: BalancedSampler, unlabeled: np.ndarray, *, ratio: float, called: np.ndarray | None = None
    ):
        self.labelled, self.ratio = labelled, ratio
        self.unlabeled = torch.as_tensor(unlabeled, dtype=torch.int64)
        self.balanced: BalancedSampler | None = None
        if called is not None and (called >= 0).any():
            self.balanced = BalancedSampler(unlabeled, called, batch_size=len(unlabeled), balance=labelled.balance)

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[np.ndarray]:
        left = torch.empty(0, dtype=torch.int64)
        for cells in self.labelled:
            n = min(round(self.ratio * len(cells)), len(self.unlabeled))
            if len(left) < n:
                left = torch.cat([left, self._drawn()])
            drawn, left = left[:n], left[n:]
            yield np.concatenate([cells, drawn.numpy()])

    def _drawn(self) -> torch.Tensor:
        if self.balanced is None:
            return self.unlabeled[torch.randperm(len(self.unlabeled))]
        return torch.as_tensor(next(iter(self.balanced)))


class RepeatedSampler(torch.utils.data.Sampler[np.ndarray]):
    """Draw the mini-batches of some epochs, and then the same again in turn.

    Parameters
    ----------
    sampler
        Draws the mini-batches.
    n_rounds
        Epochs that differ.
    seed
        What is drawn follows from it; the global random state is left as it was.
    first_epoch
        Epochs done before, in a resumed run.
    """

    def __init__(self, sampler: AnySampler, *, n_rounds: int, seed: int, first_epoch: int = 0):
        self.sampler, self.n_rounds, self.seed, self.epoch = sampler, n_rounds, seed, first_epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[np.ndarray]:
        with seeded(self.seed + self.epoch % self.n_rounds):
            drawn = list(self.sampler)
        self.epoch += 1
        yield from drawn


class DividedSampler(torch.utils.data.Sampler[np.ndarray]):
    """Divide each mini-batch between the processes that train together, so that a step sees as many cells as with one.

    The first process draws; its cells go round: the first cell of a mini-batch to the first process, the second to the second.
    A mini-batch of fewer cells than processes goes to all of them.

    Parameters
    ----------
    sampler
        Draws the mini-batches.
    """

    def __init__(self, sampler: AnySampler):
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[np.ndarray]:
        rank, n_processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
        # Random states of processes part as soon as their mini-batches differ in size.
        drawn = [list(self.sampler) if rank == 0 else None]
        torch.distributed.broadcast_object_list(drawn, src=0)
        for cells in drawn[0] or []:
            yield cells[rank::n_processes] if len(cells) >= n_processes else cells


AnySampler = BalancedSampler | JoinedSampler | RepeatedSampler


def n_processes() -> int:
    """Return how many processes train together."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1


def label_prior(labels: np.ndarray, n_labels: int, balance: float) -> np.ndarray:
    """Return the label shares that :class:`BalancedSampler` draws, shape ``(n_labels,)``, summing to 1."""
    counts = np.bincount(labels[labels >= 0], minlength=n_labels).astype(np.float64)
    drawn = np.where(counts > 0, np.maximum(counts, 1) ** (1 - balance), 0)
    return drawn / drawn.sum()
