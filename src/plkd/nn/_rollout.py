"""Attention roll-out: how much of the class token's answer comes from each pattern."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def attention_rollout(attention: Sequence[Tensor], *, raw: bool = False) -> Tensor:
    r"""Follow attention from the class token back to the pattern tokens.

    Parameters
    ----------
    attention
        For each block, first to last, the weights averaged over heads, shape ``(n_obs, n_queries, 1 + n_tokens)``; the
        last may hold the class token's row only.
    raw
        Keep the class-token column out but do not renormalise: the released form.

    Returns
    -------
    Shares of shape ``(n_obs, n_tokens)``; rows sum to 1 unless ``raw``.

    Notes
    -----
    With :math:`A'_l` the row-normalised :math:`A_l + I`, the roll-out is the class-token row of
    :math:`A'_L \cdots A'_1`, propagated as a row, so that no product of square matrices is made
    (Abnar and Zuidema 2020, section 3).
    """
    row: Tensor | None = None
    for weights in reversed(attention):
        if row is None:
            first = torch.zeros_like(weights[:, 0])
            first[:, 0] = 1
            row = weights[:, 0] + first
            row = row / row.sum(dim=-1, keepdim=True)
        else:
            # (row @ (A + I)) with each row of A + I divided by its sum first.
            scaled = row / (weights.sum(dim=-1) + 1)
            row = torch.bmm(scaled[:, None], weights)[:, 0] + scaled
    if row is None:
        raise ValueError("No attention weights given: the Teacher has no blocks.")
    patterns = row[:, 1:]
    return patterns if raw else patterns / patterns.sum(dim=-1, keepdim=True)
