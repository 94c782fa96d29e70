"""Sparse mini-batches: only what is not zero, and the layers that read it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Shares of values that are not zero above which a dense product costs less, filling in the zeros included: with gradients, and
#: without.
_FULL = {True: 0.06, False: 0.15}


@dataclass(frozen=True)
class SparseRows:
    """Values of a mini-batch that are not zero, row after row.

    Attributes
    ----------
    values
        Shape ``(n_values,)``, float32.
    columns, rows
        Where each stands, shape ``(n_values,)``, int64; ``rows`` never falls.
    shape
        ``(n_obs, n_features)``.
    """

    values: Tensor
    columns: Tensor
    rows: Tensor
    shape: tuple[int, int]

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return self.values.nbytes + self.columns.nbytes + self.rows.nbytes

    def to(self, *args: Any, **kwargs: Any) -> SparseRows:
        """Move to a device, as a tensor does."""
        moved = {name: getattr(self, name).to(*args, **kwargs) for name in ("values", "columns", "rows")}
        return replace(self, **moved)

    def with_values(self, values: Tensor) -> SparseRows:
        """Return other values in the same places."""
        return replace(self, values=values)

    def scaled_rows(self, factors: Tensor) -> SparseRows:
        """Return each row times its factor, of shape ``(n_obs,)``."""
        return self.with_values(self.values * factors[self.rows])

    def take(self, index: Tensor) -> SparseRows:
        """Return rows in another order, some of them several times or not at all; ``index`` int64, shape ``(n_taken,)``."""
        counts = torch.bincount(self.rows, minlength=self.shape[0])[index]
        rows = torch.repeat_interleave(torch.arange(len(index), device=self.device), counts)
        within = torch.arange(len(rows), device=self.device) - (torch.cumsum(counts, 0) - counts)[rows]
        places = self.offsets()[index][rows] + within
        return SparseRows(self.values[places], self.columns[places], rows, (len(index), self.shape[1]))

    def plus(self, other: SparseRows) -> SparseRows:
        """Return the sum with another mini-batch of the same shape."""
        places = torch.cat([part.rows * self.shape[1] + part.columns for part in (self, other)])
        # Sorted, so that rows never fall; what both hold stands once.
        places, inverse = torch.unique(places, return_inverse=True)
        values = torch.zeros(len(places), device=self.device).index_add(
            0, inverse, torch.cat([self.values, other.values])
        )
        return SparseRows(values, places % self.shape[1], places // self.shape[1], self.shape)

    def sum_rows(self) -> Tensor:
        """Return the sum of each row, shape ``(n_obs,)``."""
        bounds = torch.searchsorted(self.rows, torch.arange(self.shape[0] + 1, device=self.device))
        return torch.segment_reduce(self.values, "sum", offsets=bounds, initial=0)

    def offsets(self) -> Tensor:
        """Return where each row starts, shape ``(n_obs,)``."""
        return torch.searchsorted(self.rows, torch.arange(self.shape[0], device=self.device))

    def to_dense(self) -> Tensor:
        """Return shape ``(n_obs, n_features)``."""
        return torch.zeros(self.shape, device=self.device).index_put((self.rows, self.columns), self.values)


#: A mini-batch of one modality.
Values = Tensor | SparseRows


def dense(x: Values) -> Tensor:
    """Return a mini-batch as a tensor of shape ``(n_obs, n_features)``."""
    return x.to_dense() if isinstance(x, SparseRows) else x


def dense_above(x: Values, share: float) -> Values:
    """Return a mini-batch as a tensor if more than this share of its values are not zero, otherwise as it is."""
    return x.to_dense() if isinstance(x, SparseRows) and len(x.values) > share * math.prod(x.shape) else x


def added(x: Values, other: Values) -> Values:
    """Return the sum of two mini-batches of which each row is zero in one at least; sparse if both are."""
    if not (isinstance(x, SparseRows) and isinstance(other, SparseRows)):
        return dense(x) + dense(other)
    rows, order = torch.sort(torch.cat([x.rows, other.rows]), stable=True)
    values, columns = torch.cat([x.values, other.values]), torch.cat([x.columns, other.columns])
    return SparseRows(values[order], columns[order], rows, x.shape)


def product(x: Values, weight: Tensor) -> Tensor:
    """Return a mini-batch times weights of shape ``(n_features, n_out)``, shape ``(n_obs, n_out)``."""
    x = dense_above(x, _FULL[torch.is_grad_enabled()])
    if isinstance(x, SparseRows):
        own = x.values.to(weight.dtype)
        return F.embedding_bag(x.columns, weight, x.offsets(), mode="sum", per_sample_weights=own)
    return x @ weight


class InputLinear(nn.Module):
    """A linear layer on features, dense or sparse, whose weights lie feature by feature.

    Parameters
    ----------
    in_features, out_features
        As of :class:`torch.nn.Linear`, which also gives the weights their start.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        start = nn.Linear(in_features, out_features)
        # A row per feature is what the sparse product reads and writes.
        self.weight = nn.Parameter(start.weight.detach().t().contiguous())
        self.bias = start.bias

    def forward(self, x: Values) -> Tensor:
        """Return shape ``(n_obs, out_features)``."""
        x = dense_above(x, _FULL[torch.is_grad_enabled()])
        if isinstance(x, SparseRows):
            return product(x, self.weight) + self.bias
        return torch.addmm(self.bias, x, self.weight)

    def extra_repr(self) -> str:
        """Say the sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
