"""Counts that lie on the device that computes with them, so that no mini-batch has to be read and moved."""

from __future__ import annotations

from copy import copy

import numpy as np
import torch

from plkd.data._rows import Rows
from plkd.data._scale import check_values
from plkd.nn import SparseRows

#: Share of a GPU's free memory that the counts may take.
_SHARE = 0.25
#: Bytes of a value and its column.
_BYTES = 8
_BLOCK = 4096


class ResidentRows:
    """Rows of a matrix as CSR on a device.

    Parameters
    ----------
    rows
        Read once, in order.
    device
        Where they are kept.
    where, kind
        Place of the matrix in words, and the modality, for messages.
    """

    def __init__(self, rows: Rows, device: torch.device, *, where: str, kind: str):
        self.n_features = rows.n_features
        values, columns, lengths = [], [], [np.zeros(0, dtype=np.int64)]
        for start in range(0, rows.n_obs, _BLOCK):
            block = rows.read(slice(start, start + _BLOCK))
            check_values(block.data, where, kind=kind)
            values.append(torch.from_numpy(block.data).to(device))
            columns.append(torch.from_numpy(block.indices.astype(np.int32)).to(device))
            lengths.append(np.diff(block.indptr).astype(np.int64))
        self.values = torch.cat(values) if values else torch.empty(0, device=device)
        values.clear()  # or they would lie there twice beside the columns
        self.columns = torch.cat(columns) if columns else torch.empty(0, dtype=torch.int32, device=device)
        self.lengths = np.concatenate(lengths)
        self.starts = np.cumsum(self.lengths) - self.lengths

    def take(self, index: np.ndarray) -> SparseRows:
        """Return a mini-batch, a row for each entry of ``index``; of ``-1`` an empty one."""
        lengths = np.where(index >= 0, self.lengths[index], 0) if len(self.lengths) else np.zeros(len(index), np.int64)
        starts = self.starts[index] if len(self.starts) else lengths
        # From a value's number in the mini-batch to its place: how many values are known here, so the device is not waited for.
        n_values, before = int(lengths.sum()), np.cumsum(lengths) - lengths
        told = torch.from_numpy(np.stack([np.arange(len(index)), starts - before, lengths])).to(self.values.device)
        rows, shift = torch.repeat_interleave(told[:2], told[2], dim=1, output_size=n_values)
        places = torch.arange(n_values, device=rows.device) + shift
        return SparseRows(self.values[places], self.columns[places].long(), rows, (len(index), self.n_features))


def brought_to(device: torch.device, rows: Rows, *, where: str, kind: str) -> Rows:
    """Return rows that are kept on a device too, or as they are where they would take more than a quarter of a GPU's free memory.

    Parameters
    ----------
    device
        Where to.
    rows, where, kind
        As of :class:`ResidentRows`.
    """
    brought = copy(rows)
    n_bytes = _BYTES * rows.density * rows.n_obs * rows.n_features
    if device.type != "cuda" or n_bytes <= _SHARE * torch.cuda.mem_get_info(device)[0]:
        brought.resident = ResidentRows(rows, device, where=where, kind=kind)
    return brought
