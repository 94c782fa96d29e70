"""Patterns to tokens: a linear map for every pattern, over that pattern's features only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plkd.nn._sparse import SparseRows, Values

#: Standard deviation of the biases of tokens at the start.
BIAS_STD = 0.5
#: Share of a mini-batch's values that are not zero above which it costs less to fill in the zeros.
FULL = 0.02
#: On a GPU, where a small product costs its launch, patterns down to this share of the largest one's size join its batched product.
_LIKE = 0.5


class PatternTokenizer(nn.Module):
    r"""Turn each pattern of a cell into one token: :math:`t_p = x_{[p]} W_p + b_p`.

    Only the connected weights exist. They lie in one parameter of shape ``(n_memberships, width)``, sorted by pattern
    size, so that patterns of equal size form one batched product: storage and work grow with the number of memberships,
    nothing is padded and no features x patterns x width array is ever made. On a GPU patterns of up to twice the size share a
    product, the smaller ones filled up with zeros.

    Parameters
    ----------
    members
        For each pattern the columns of its features, integers in ``[0, n_features)``.
    width
        Length of a token.
    bound
        Weights and biases start uniform in ``[-bound, bound]``. None: weights start normal with variance
        ``1 / size`` of the pattern, biases normal with standard deviation 0.5, which tells patterns apart from the first
        step on (there is no position code).

    Raises
    ------
    ValueError
        If a pattern is empty.
    """

    index: Tensor
    filled_index: Tensor
    filled_slots: Tensor
    inverse: Tensor
    slots: Tensor
    by_feature: Tensor
    pattern: Tensor

    def __init__(self, members: Sequence[np.ndarray], width: int, *, bound: float | None = None):
        super().__init__()
        sizes = np.array([len(m) for m in members], dtype=np.int64)
        if (sizes == 0).any():
            raise ValueError(
                f"Pattern {int(np.flatnonzero(sizes == 0)[0])} has no features; drop empty patterns first."
            )
        self.width = width
        self.sizes = sizes
        self.order = np.argsort(sizes, kind="stable")
        group_sizes, group_counts = np.unique(sizes, return_counts=True)
        self.groups = [(int(c), int(k)) for k, c in zip(group_sizes, group_counts, strict=True)]
        flat = np.concatenate([np.asarray(members[p], dtype=np.int64) for p in self.order]) if len(sizes) else sizes
        self.register_buffer("index", torch.from_numpy(flat), persistent=False)
        self.filled_groups, filled_index, filled_slots = _filled_up(sizes[self.order], flat)
        self.register_buffer("filled_index", torch.from_numpy(filled_index), persistent=False)
        self.register_buffer("filled_slots", torch.from_numpy(filled_slots), persistent=False)
        self.register_buffer("inverse", torch.from_numpy(np.argsort(self.order, kind="stable")), persistent=False)
        # For sparse rows: the slots of each feature, feature by feature, and the pattern of each slot.
        slots = np.argsort(flat, kind="stable")
        self.register_buffer("slots", torch.from_numpy(slots), persistent=False)
        self.register_buffer("by_feature", torch.from_numpy(flat[slots]), persistent=False)
        pattern = np.repeat(self.order, sizes[self.order])
        self.register_buffer("pattern", torch.from_numpy(pattern), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(flat), width))
        self.bias = nn.Parameter(torch.empty(len(sizes), width))
        slot_sizes = torch.from_numpy(np.repeat(sizes[self.order], sizes[self.order])).float()
        with torch.no_grad():
            if bound is None:
                self.weight.normal_().div_(slot_sizes.sqrt()[:, None])
                self.bias.normal_(std=BIAS_STD)
            else:
                self.weight.uniform_(-bound, bound)
                self.bias.uniform_(-bound, bound)

    @property
    def n_patterns(self) -> int:
        """Number of tokens made of a cell."""
        return len(self.sizes)

    def pattern_weight(self, pattern: int) -> Tensor:
        """Return the weights of one pattern, shape ``(size, width)``, in the order of its members."""
        position = int(np.flatnonzero(self.order == pattern)[0])
        start = int(self.sizes[self.order[:position]].sum())
        return self.weight[start : start + int(self.sizes[pattern])]

    def forward(self, x: Values) -> Tensor:
        """Return tokens of shape ``(n_obs, n_patterns, width)`` for ``x`` of shape ``(n_obs, n_features)``."""
        if isinstance(x, SparseRows):
            return self._of_sparse(x)
        return self._of_filled(x) if x.is_cuda else self._products(x, self.index, self.weight, self.groups)

    def _of_filled(self, x: Tensor) -> Tensor:
        """Return the tokens by fewer and larger products: places without a member read a feature that is 0 in all cells."""
        return self._products(
            F.pad(x, (0, 1)),
            self.filled_index % (x.shape[1] + 1),
            self.weight.index_select(0, self.filled_slots),
            self.filled_groups,
        )

    def _products(self, x: Tensor, index: Tensor, weight: Tensor, groups: list[tuple[int, int]]) -> Tensor:
        n_obs = x.shape[0]
        gathered = x.t().contiguous().index_select(0, index)
        counts = [n * k for n, k in groups]
        tokens = [
            torch.bmm(values.view(n, k, n_obs).transpose(1, 2), own.view(n, k, self.width))
            for (n, k), values, own in zip(groups, gathered.split(counts), weight.split(counts), strict=True)
        ]
        by_pattern = torch.cat(tokens).index_select(0, self.inverse) + self.bias[:, None, :]
        return by_pattern.transpose(0, 1)

    def _of_sparse(self, x: SparseRows) -> Tensor:
        """Add up, value by value, what it gives to the tokens of its feature's patterns."""
        n_obs, n_features = x.shape
        starts = torch.searchsorted(self.by_feature, torch.arange(n_features + 1, device=x.device))
        n_slots = starts[x.columns + 1] - starts[x.columns]
        value = torch.repeat_interleave(n_slots)
        within = torch.arange(len(value), device=x.device) - (torch.cumsum(n_slots, 0) - n_slots)[value]
        slot = self.slots[starts[x.columns][value] + within]
        parts = x.values[value, None] * self.weight[slot]
        tokens = torch.zeros(n_obs * self.n_patterns, self.width, device=x.device, dtype=parts.dtype)
        tokens = tokens.index_add(0, x.rows[value] * self.n_patterns + self.pattern[slot], parts)
        return tokens.view(n_obs, self.n_patterns, self.width) + self.bias

    def extra_repr(self) -> str:
        """Say what the tokenizer holds."""
        return f"n_patterns={self.n_patterns}, n_memberships={math.prod(self.index.shape)}, width={self.width}"


def _filled_up(sizes: np.ndarray, flat: np.ndarray) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
    """Put patterns of similar size together, filled up to the largest one's.

    Parameters
    ----------
    sizes
        Increasing, shape ``(n_patterns,)``.
    flat
        Columns of their features, pattern after pattern, shape ``(n_memberships,)``.

    Returns
    -------
    Number of patterns and their filled size, by group; the column of each place, ``-1`` where it is filled; the membership whose
    weight stands there, where it is filled one of the same pattern.
    """
    groups, columns, slots = [], [flat[:0]], [flat[:0]]
    starts = np.cumsum(sizes) - sizes
    stop = len(sizes)
    while stop:
        largest = int(sizes[stop - 1])
        first = int(np.searchsorted(sizes, largest * _LIKE))
        own, place = sizes[first:stop, None], np.arange(largest)
        slot = starts[first:stop, None] + place % own
        slots.append(slot.ravel())
        columns.append(np.where(place < own, flat[slot], -1).ravel())
        groups.append((stop - first, largest))
        stop = first
    return groups[::-1], np.concatenate(columns[::-1]), np.concatenate(slots[::-1])
