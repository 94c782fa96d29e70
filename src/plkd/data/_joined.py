"""Cells of several data sets that are aligned to the same model, numbered one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from plkd.data._cells import Cells, MiniBatch, Modality


class JoinedCells(Cells):
    """The cells of a reference and, behind it, those of other data sets.

    Each data set keeps its own matrix, scale and features, so that a cell is scaled as it would be alone. ``modalities`` are
    those of the reference, by which the other cells were not measured: ask :meth:`measured_in` instead.

    Parameters
    ----------
    parts
        The reference and the others, with their labels and batches; all of the same modalities. What was joined before comes
        apart.
    """

    def __init__(self, *parts: Cells):
        self.parts: tuple[Cells, ...] = tuple(
            own for part in parts for own in (part.parts if isinstance(part, JoinedCells) else (part,))
        )
        n_obs = sum(part.n_obs for part in parts)
        self.starts = np.cumsum([0, *(part.n_obs for part in self.parts)])
        placed = [_placed(part, start, n_obs) for part, start in zip(self.parts, self.starts, strict=False)]
        super().__init__(
            placed[0],
            n_obs,
            labels=np.concatenate([part.labels for part in parts]),
            batch=np.concatenate([part.batch for part in parts]),
        )
        self._others = [Cells(modalities, n_obs) for modalities in placed[1:]]

    def __getitem__(self, index: np.ndarray | list[int]) -> MiniBatch:
        """Return a mini-batch; ``others`` holds ``x`` and ``scale`` of each further data set that has cells in it."""
        batch = super().__getitem__(index)
        batch["others"] = []
        for i, other in enumerate(self._others, start=1):
            if ((np.asarray(index) >= self.starts[i]) & (np.asarray(index) < self.starts[i + 1])).any():
                own = other[index]
                batch["others"].append({"x": own["x"], "scale": own["scale"]})
                batch["present"] = {kind: here | own["present"][kind] for kind, here in batch["present"].items()}
        return batch

    def measured_in(self, kind: str) -> np.ndarray:
        """Whether each cell was measured in a modality, bool, shape ``(n_obs,)``."""
        return np.concatenate([part.measured_in(kind) for part in self.parts])

    def only(self, *kinds: str) -> Cells:
        """Return the same cells as if no other modalities had been measured."""
        return JoinedCells(*(part.only(*kinds) for part in self.parts)).relabelled(self.labels)

    def spooled(self) -> Cells:
        """Return the same cells for reading in any order: those on disk are written by row to a temporary file."""
        return JoinedCells(*(part.spooled() for part in self.parts)).relabelled(self.labels)

    def brought_to(self, device: torch.device) -> Cells:
        """Return the same cells, whose ``x`` is made on a device of what lies there, where it fits, until they :meth:`leave`."""
        return JoinedCells(*(part.brought_to(device) for part in self.parts)).relabelled(self.labels)

    def leave(self) -> None:
        """Free the device that these cells were brought to, for all who hold them; mini-batches are then read and moved."""
        for part in self.parts:
            part.leave()

    @property
    def in_memory(self) -> bool:
        """Whether all modalities of all parts are."""
        return all(part.in_memory for part in self.parts)


def _placed(cells: Cells, start: int, n_obs: int) -> dict[str, Modality]:
    """Return the modalities of cells that are numbered from ``start``; others of ``n_obs`` cells were not measured."""
    placed = {}
    for kind, own in cells.modalities.items():
        position = np.full(n_obs, -1)
        position[start : start + cells.n_obs] = np.arange(cells.n_obs) if own.position is None else own.position
        placed[kind] = replace(own, position=position)
    return placed
