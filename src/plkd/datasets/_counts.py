"""Counts drawn block by block of cells, so that no dense matrix of all cells exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_BLOCK = 2_000_000
"""Dense entries, or fragments, that are held at a time."""
_MAX_FRAGMENTS = 2


@dataclass(frozen=True)
class Rates:
    """Expected counts: ``depth * (constant[batch] + activity[programme] * responsive[batch])``.

    Parameters
    ----------
    constant
        Shape ``(n_batches, n_features)``, per unit of depth: what every cell of a batch has.
    responsive
        Likewise: what a programme at activity 1 adds; 0 for features of no programme.
    programme
        Shape ``(n_features,)``: the programme of each feature, -1 for none.
    """

    constant: np.ndarray
    responsive: np.ndarray
    programme: np.ndarray


@dataclass(frozen=True)
class Cells:
    """What the counts of cells depend on.

    Parameters
    ----------
    batch
        int, shape ``(n_obs,)``.
    activity
        float32, shape ``(n_obs, n_programmes)``, 0 where a programme is off.
    depth
        float32, shape ``(n_obs,)``, in counts.
    """

    batch: np.ndarray
    activity: np.ndarray
    depth: np.ndarray

    def __getitem__(self, rows: slice) -> Cells:
        return Cells(self.batch[rows], self.activity[rows], self.depth[rows])


def negative_binomial(rates: Rates, cells: Cells, dispersion: float, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw counts with variance ``mean + dispersion * mean**2``.

    Returns
    -------
    float32 CSR of whole numbers, shape ``(n_obs, n_features)``. Time grows with the number of entries, zero or not.
    """
    n_obs, n_features = len(cells.batch), len(rates.programme)
    constant, responsive = rates.constant.astype(np.float32), rates.responsive.astype(np.float32)
    size = max(1, _BLOCK // n_features)
    blocks = []
    for first in range(0, n_obs, size):
        block = cells[slice(first, first + size)]
        # Programme -1 reads the last column: features of no programme have activity 0.
        activity = np.pad(block.activity, ((0, 0), (0, 1)))[:, rates.programme]
        mean = (constant[block.batch] + activity * responsive[block.batch]) * block.depth[:, None]
        mean *= rng.standard_gamma(1 / dispersion, mean.shape, dtype=np.float32) * np.float32(dispersion)
        blocks.append(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)))
    return sparse.vstack(blocks, format="csr")


def fragments(rates: Rates, cells: Cells, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw Poisson counts cut off at 2, one fragment for each copy of a chromosome.

    Fragments are thrown one by one: a cell's number of them is Poisson, and each falls on a peak with a probability
    that is proportional to the peak's rate. That is the Poisson distribution of each peak, at a cost that grows with
    the number of fragments instead of cells times peaks.

    Returns
    -------
    float32 CSR of 1 and 2, shape ``(n_obs, n_features)``.
    """
    n_obs, n_features = len(cells.batch), len(rates.programme)
    n_programmes = cells.activity.shape[1]
    everywhere = _Target(rates.constant, np.arange(n_features), np.array([0]), np.array([n_features]))
    order = np.argsort(rates.programme, kind="stable")
    bounds = np.searchsorted(rates.programme[order], np.arange(n_programmes + 1))
    in_programmes = _Target(rates.responsive[:, order], order, bounds[:-1], bounds[1:])

    per_cell = float((rates.constant + rates.responsive).sum(axis=1).max() * cells.depth.mean())
    size = max(1, int(_BLOCK / max(per_cell, 1.0)))
    blocks = []
    for first in range(0, n_obs, size):
        block = cells[slice(first, first + size)]
        hits = [everywhere.throw(block, np.ones((len(block.batch), 1), dtype=np.float32), rng)]
        hits.append(in_programmes.throw(block, block.activity, rng))
        cell, peak = (np.concatenate(parts) for parts in zip(*hits, strict=True))
        ones = np.ones(len(cell), dtype=np.float32)
        counts = sparse.coo_matrix((ones, (cell, peak)), shape=(len(block.batch), n_features)).tocsr()
        counts.sort_indices()
        np.minimum(counts.data, _MAX_FRAGMENTS, out=counts.data)
        blocks.append(counts)
    return sparse.vstack(blocks, format="csr")


class _Target:
    """Features side by side, each as wide as its rate, in groups that neighbour each other.

    Parameters
    ----------
    rates
        Shape ``(n_batches, n_features)``, in this target's order of features.
    features
        Which feature each column is.
    start, stop
        First column of each group, and the one after its last.
    """

    def __init__(self, rates: np.ndarray, features: np.ndarray, start: np.ndarray, stop: np.ndarray) -> None:
        self.edges = np.concatenate([np.zeros((len(rates), 1)), np.cumsum(rates, axis=1, dtype=np.float64)], axis=1)
        self.features, self.start, self.stop = features, start, stop

    def throw(self, cells: Cells, activity: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return cell and feature of each fragment; ``activity`` has a column for each group."""
        low, high = self.edges[:, self.start], self.edges[:, self.stop]
        number = rng.poisson(cells.depth[:, None] * activity * (high - low)[cells.batch])
        hit_cell, hit_feature = [], []
        for batch in np.unique(cells.batch):
            rows = np.flatnonzero(cells.batch == batch)
            ids = np.broadcast_arrays(rows[:, None], np.arange(len(self.start)))
            cell, group = (np.repeat(each.ravel(), number[rows].ravel()) for each in ids)
            position = low[batch, group] + rng.random(len(cell)) * (high - low)[batch, group]
            column = np.searchsorted(self.edges[batch], position, side="right") - 1
            # Rounding may put a position on a group's upper edge, which belongs to the next one.
            column = np.minimum(column, self.stop[group] - 1)
            hit_cell.append(cell)
            hit_feature.append(self.features[column])
        return np.concatenate(hit_cell), np.concatenate(hit_feature)
