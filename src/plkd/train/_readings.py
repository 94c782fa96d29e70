"""Cells of batches without labels, as the Teacher reads them: as the reference's would look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from plkd.inference import Change
from plkd.nn import InputScaling, SparseRows, Teacher, Values


@dataclass(frozen=True)
class Batch:
    """Cells that see features alike.

    Attributes
    ----------
    cells
        Their numbers.
    changes
        By kind, what makes of their values what the reference's would be.
    """

    cells: np.ndarray
    changes: Mapping[str, Change]


class Readings(nn.Module):
    """What the Teacher reads in place of cells, each batch changed in a way of its own.

    A change is linear: its factors are put on the values, which may stay sparse, and what its shifts come to on the tokens is
    added to these.

    Parameters
    ----------
    batches
        Those that are changed; all other cells are read as they are.
    n_obs
        Number of all cells.
    scaling, teacher
        The networks, in evaluation mode; the Teacher's tokens are those that it has now.
    """

    of: Tensor
    offset: Tensor

    def __init__(self, batches: Sequence[Batch], n_obs: int, scaling: Mapping[str, InputScaling], teacher: Teacher):
        super().__init__()
        #: The reading of each cell; 0: as it is.
        of = torch.zeros(n_obs, dtype=torch.int64)
        factors = {kind: [torch.ones_like(layer.weight)] for kind, layer in scaling.items()}
        nothing: dict[str, Values] = {kind: torch.zeros_like(layer.weight)[None] for kind, layer in scaling.items()}
        with torch.no_grad():
            plain = teacher.tokens(nothing)[0]
            offsets = [torch.zeros_like(plain)]
            for i, batch in enumerate(batches, start=1):
                of[torch.from_numpy(batch.cells)] = i
                for kind, change in batch.changes.items():
                    factors[kind].append(torch.as_tensor(change.factor).to(factors[kind][0]))
                shifts: dict[str, Values] = {
                    kind: (layer.weight * torch.as_tensor(batch.changes[kind].shift).to(layer.weight))[None]
                    for kind, layer in scaling.items()
                }
                offsets.append(teacher.tokens(shifts)[0] - plain)
        self.register_buffer("of", of, persistent=False)
        self.register_buffer("offset", torch.stack(offsets), persistent=False)
        for kind, own in factors.items():
            self.register_buffer(f"factor_{kind}", torch.stack(own), persistent=False)

    def changed(self, scaled: Mapping[str, Values], index: Tensor) -> dict[str, Values]:
        """Return scaled values of the cells of these numbers times their factors."""
        of = self.of[index.to(self.of.device)]
        changed: dict[str, Values] = {}
        for kind, values in scaled.items():
            factor: Tensor = getattr(self, f"factor_{kind}")
            if isinstance(values, SparseRows):
                changed[kind] = values.with_values(values.values * factor[of[values.rows], values.columns])
            else:
                changed[kind] = values * factor[of]
        return changed

    def mixed_offset(self, index: Tensor, partner: Tensor, share: Tensor) -> Tensor:
        """Return what is added to the tokens of mixtures, shape ``(n_obs, n_tokens, width)``.

        Parameters
        ----------
        index
            Numbers of the cells.
        partner, share
            Of :func:`~plkd.train._augment.mix_cells`.
        """
        own = self.offset[self.of[index.to(self.of.device)]]
        return own * share[:, None, None] + own[partner] * (1 - share)[:, None, None]
