"""Cells as the networks see them: mini-batches as dicts by modality, with a presence mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from plkd.data._ahead import read_ahead
from plkd.data._resident import brought_to
from plkd.data._rows import Rows
from plkd.data._scale import Scale, check_values
from plkd.nn import SparseRows, Values

MiniBatch = dict[str, Any]

#: Share of values that are not zero below which a mini-batch is sparse: it is moved, scaled and hidden from at the cost of these
#: values alone. The networks fill in the zeros where that makes their products cheaper.
SPARSE_BELOW = 0.5


@dataclass
class Modality:
    """One modality of a data set.

    Attributes
    ----------
    rows
        Its matrix, columns in the model's order.
    scale
        ``"counts"`` or ``"log"``.
    found
        Whether the data set has each feature of the model, bool, shape ``(n_features,)``; None: all of them.
    where
        Place of the matrix in words, for messages.
    position
        For each cell its row in the matrix, ``-1`` where the cell was not measured; None if all were, in order.
    """

    rows: Rows
    scale: Scale = "counts"
    found: np.ndarray | None = None
    where: str = "adata.X"
    position: np.ndarray | None = None

    @classmethod
    def absent(cls, n_features: int, n_obs: int) -> Modality:
        """Return a modality that no cell was measured in."""
        rows = Rows(sp.csr_matrix((0, n_features), dtype=np.float32))
        return cls(rows, position=np.full(n_obs, -1))

    @property
    def found_tensor(self) -> torch.Tensor | None:
        """``found`` as a tensor."""
        return None if self.found is None else torch.from_numpy(self.found)

    def measured(self, n_obs: int) -> np.ndarray:
        """Whether each cell was measured, bool, shape ``(n_obs,)``."""
        return np.ones(n_obs, dtype=bool) if self.position is None else self.position >= 0


class Cells(torch.utils.data.Dataset):
    """Cells of one or more modalities, indexed by arrays of cell numbers.

    Parameters
    ----------
    modalities
        By name.
    n_obs
        Number of cells.
    labels
        Label codes, ``-1`` where unlabelled; None where there are none.
    batch
        Batch codes; None for a single batch.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        n_obs: int,
        *,
        labels: np.ndarray | None = None,
        batch: np.ndarray | None = None,
    ):
        self.modalities = dict(modalities)
        self.n_obs = n_obs
        self.labels = np.full(n_obs, -1) if labels is None else np.asarray(labels)
        self.batch = np.zeros(n_obs, dtype=np.int64) if batch is None else np.asarray(batch)

    def __len__(self) -> int:
        return self.n_obs

    def __getitem__(self, index: np.ndarray | list[int]) -> MiniBatch:
        """Return a mini-batch of the cells named by ``index``.

        Returns
        -------
        ``x``: by modality float32 values as stored, ``(n, n_features)``, zero where the cell lacks the modality; a tensor,
        or :class:`plkd.nn.SparseRows` where less than half of the data set's values are not zero. ``present``: by modality
        bool ``(n,)``. ``scale``: by modality ``(scale, found)``, the latter a bool tensor or None. ``labels``, ``batch``, ``index``: int64 ``(n,)``.
        """
        index = np.asarray(index, dtype=np.int64)
        x, present, scale = {}, {}, {}
        for name, modality in self.modalities.items():
            where_in = index if modality.position is None else modality.position[index]
            here = where_in >= 0
            x[name] = _values(modality, where_in, name)
            present[name] = torch.from_numpy(here)
            scale[name] = (modality.scale, modality.found_tensor)
        return {
            "x": x,
            "present": present,
            "scale": scale,
            "labels": torch.as_tensor(self.labels[index], dtype=torch.int64),
            "batch": torch.as_tensor(self.batch[index], dtype=torch.int64),
            "index": torch.from_numpy(index),
        }

    def measured(self) -> np.ndarray:
        """Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``."""
        return np.column_stack([self.measured_in(kind) for kind in self.modalities])

    def measured_in(self, kind: str) -> np.ndarray:
        """Whether each cell was measured in a modality, bool, shape ``(n_obs,)``."""
        return self.modalities[kind].measured(self.n_obs)

    def only(self, *kinds: str) -> Cells:
        """Return the same cells as if no other modalities had been measured."""
        kept = {
            name: modality if name in kinds else Modality.absent(modality.rows.n_features, self.n_obs)
            for name, modality in self.modalities.items()
        }
        return Cells(kept, self.n_obs, labels=self.labels, batch=self.batch)

    def in_order(self, indices: np.ndarray | None = None, *, batch_size: int = 2048) -> Iterator[MiniBatch]:
        """Yield mini-batches of ``indices`` (all cells if None) in the order given; the next is read from disk meanwhile."""
        order = np.arange(self.n_obs) if indices is None else np.asarray(indices, dtype=np.int64)
        found = (self[order[start : start + batch_size]] for start in range(0, len(order), batch_size))
        yield from found if self.in_memory else read_ahead(found)

    @property
    def in_memory(self) -> bool:
        """Whether all modalities are."""
        return all(modality.rows.in_memory for modality in self.modalities.values())

    def loaded(self, indices: np.ndarray) -> Cells:
        """Return some cells, numbered anew in the order given, read into memory."""
        modalities = {}
        for name, own in self.modalities.items():
            where_in = indices if own.position is None else own.position[indices]
            here = where_in >= 0
            position = np.where(here, np.cumsum(here) - 1, -1)
            modalities[name] = replace(own, rows=Rows(own.rows.read(where_in[here])), position=position)
        return Cells(modalities, len(indices), labels=self.labels[indices], batch=self.batch[indices])

    def computed_by(self, scheduler: str) -> Cells:
        """Return the same cells, their arrays of dask to be computed by one of its schedulers, whichever is set."""
        modalities = {}
        for name, own in self.modalities.items():
            rows = copy(own.rows)
            rows.scheduler = scheduler
            modalities[name] = replace(own, rows=rows)
        return Cells(modalities, self.n_obs, labels=self.labels, batch=self.batch)

    def relabelled(self, labels: np.ndarray) -> Cells:
        """Return the same cells with other label codes."""
        other = copy(self)
        other.labels = labels
        return other

    def brought_to(self, device: torch.device) -> Cells:
        """Return the same cells, whose ``x`` is made on a device of what lies there, where it fits, until they :meth:`leave`."""
        modalities = {
            name: replace(own, rows=brought_to(device, own.rows, where=own.where, kind=name))
            for name, own in self.modalities.items()
        }
        return Cells(modalities, self.n_obs, labels=self.labels, batch=self.batch)

    def leave(self) -> None:
        """Free the device that these cells were brought to, for all who hold them; mini-batches are then read and moved."""
        for modality in self.modalities.values():
            modality.rows.resident = None

    def spooled(self) -> Cells:
        """Return the same cells for reading in any order: those on disk are written by row to a temporary file."""
        modalities = {name: replace(own, rows=own.rows.spooled()) for name, own in self.modalities.items()}
        return Cells(modalities, self.n_obs, labels=self.labels, batch=self.batch)


@contextmanager
def lying_on(cells: Cells, device: torch.device | None) -> Iterator[Cells]:
    """Yield cells whose counts lie on a device meanwhile, where they fit; None: the cells as they are."""
    if device is None:
        yield cells
        return
    brought = cells.brought_to(device)
    try:
        yield brought
    finally:
        # Whoever still holds them, such as a trainer its loaders, does not hold the device's memory.
        brought.leave()


def _values(modality: Modality, where_in: np.ndarray, kind: str) -> Values:
    """Return rows of a modality, zeros where there is none (``-1``)."""
    rows = modality.rows
    if rows.resident is not None:
        found = rows.resident.take(where_in)
        return found if rows.density < SPARSE_BELOW else found.to_dense()
    here = where_in >= 0
    block = rows.read(where_in[here])
    check_values(block.data, modality.where, kind=kind)
    return _tensor(block, here, sparse=rows.density < SPARSE_BELOW)


def _tensor(block: sp.csr_matrix, here: np.ndarray, *, sparse: bool) -> Values:
    """Return the rows of a block where ``here``, and zeros elsewhere."""
    shape = (len(here), block.shape[1])
    if sparse:
        columns = torch.from_numpy(block.indices.astype(np.int64))
        rows = torch.from_numpy(np.repeat(np.flatnonzero(here), np.diff(block.indptr)))
        return SparseRows(torch.from_numpy(block.data), columns, rows, shape)
    dense = np.zeros(shape, dtype=np.float32)
    if here.all():
        block.toarray(out=dense)
    elif here.any():
        dense[here] = block.toarray()
    return torch.from_numpy(dense)
