"""The Transformer block of the Teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6


class DropPath(nn.Module):
    """Drop a residual branch for whole cells (stochastic depth); kept branches are scaled up to keep the mean."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply to a branch of shape ``(n_obs, n_tokens, width)``."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = torch.empty(x.shape[0], 1, 1, device=x.device, dtype=x.dtype).bernoulli_(keep)
        return x * kept / keep


class Attention(nn.Module):
    """Multi-head self-attention, fused unless the weights are asked for."""

    def __init__(self, width: int, n_heads: int, *, dropout: float, attention_dropout: float):
        super().__init__()
        if width % n_heads:
            raise ValueError(f"width={width} is not a multiple of n_heads={n_heads}; choose e.g. width={n_heads * 12}.")
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.proj_dropout = nn.Dropout(dropout)
        self.attention_dropout = attention_dropout

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(
        self, x: Tensor, *, mask: Tensor | None, n_queries: int | None, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from the first ``n_queries`` tokens (all if None) to all tokens.

        Parameters
        ----------
        x
            Tokens, shape ``(n_obs, n_tokens, width)``.
        mask
            What is added to the scores of each token attended to, float, shape ``(n_obs, 1, 1, n_tokens)``; None adds 0.
        n_queries
            How many leading tokens ask; None for all.
        weights
            Return the attention weights averaged over heads, shape ``(n_obs, n_queries, n_tokens)``, else None.
        """
        width = x.shape[-1]
        if n_queries is None:
            q, k, v = (self._heads(part) for part in self.qkv(x).split(width, dim=-1))
        else:
            w_q, w_kv = self.qkv.weight.split([width, 2 * width])
            b_q, b_kv = self.qkv.bias.split([width, 2 * width])
            q = self._heads(F.linear(x[:, :n_queries], w_q, b_q))
            k, v = (self._heads(part) for part in F.linear(x, w_kv, b_kv).split(width, dim=-1))
        p = self.attention_dropout if self.training else 0.0
        mean_weights = None
        if weights:
            scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
            if mask is not None:
                scores = scores + mask
            attention = scores.softmax(dim=-1)
            mean_weights = attention.mean(dim=1)
            out = F.dropout(attention, p, self.training) @ v
        else:
            added = None if mask is None else mask.to(q.dtype)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=p)
        return self.proj_dropout(self.proj(out.transpose(1, 2).flatten(2))), mean_weights


class Block(nn.Module):
    """Pre-norm block: attention, then a GELU MLP, each with a residual connection."""

    def __init__(
        self, width: int, n_heads: int, *, mlp_ratio: float, dropout: float, attention_dropout: float, drop_path: float
    ):
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = Attention(width, n_heads, dropout=dropout, attention_dropout=attention_dropout)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout)
        )
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, n_queries: int | None = None, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the first ``n_queries`` tokens (all if None) after the block, and the attention weights or None."""
        attended, mean_weights = self.attention(self.norm1(x), mask=mask, n_queries=n_queries, weights=weights)
        x = x[:, :n_queries] + self.drop_path(attended)
        return x + self.drop_path(self.mlp(self.norm2(x))), mean_weights
