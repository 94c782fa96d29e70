"""The Teacher: a Transformer that reads a cell as patterns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from plkd.nn._gain import modality_shares
from plkd.nn._sparse import InputLinear, Values, dense_above
from plkd.nn._tokenizer import BIAS_STD, FULL, PatternTokenizer
from plkd.nn._transformer import NORM_EPS, Block


@dataclass
class TeacherOutput:
    """What the Teacher says of a mini-batch.

    Attributes
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    latent
        The class token after the last LayerNorm, shape ``(n_obs, width)``.
    attention
        For each block the weights averaged over heads, shape ``(n_obs, n_queries, 1 + n_tokens)``, class token first;
        the last block has the class token's row only. None unless asked for.
    """

    logits: Tensor
    latent: Tensor
    attention: list[Tensor] | None = None


class Teacher(nn.Module):
    """Pattern tokens, a class token, pre-norm Transformer blocks, LayerNorm and a linear head.

    Tokens come in the order: for each modality its patterns, then its free tokens. There is no position code.

    Parameters
    ----------
    members
        For each modality, the columns of each pattern's features.
    n_features
        For each modality the number of features.
    n_labels
        Number of labels.
    n_free
        Tokens per modality that see all its features.
    width, depth, n_heads, mlp_ratio
        Size of the Transformer.
    dropout
        Dropout after attention and in the MLPs.
    attention_dropout
        Dropout of attention weights. Above 0 it costs the fused attention on a CPU.
    pattern_dropout
        Share of the tokens left out of each training mini-batch.
    drop_path
        Stochastic depth of the last block; it grows linearly from 0 at the first.
    tokenizer_bound, init_std
        Start of the tokenizer (see :class:`PatternTokenizer`; ``"all"`` takes 1/sqrt(n_features)) and standard deviation
        of the truncated normal start of the linear layers; None keeps torch's own.

    Attributes
    ----------
    gain
        How much each modality counts beside others, as in :class:`~plkd.nn.Student`.

    Raises
    ------
    ValueError
        If there are neither patterns nor free tokens, or ``width`` is not a multiple of ``n_heads``.
    """

    gain: Tensor

    def __init__(
        self,
        members: Mapping[str, Sequence[np.ndarray]],
        n_features: Mapping[str, int],
        n_labels: int,
        *,
        n_free: int = 1,
        width: int = 48,
        depth: int = 2,
        n_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        pattern_dropout: float = 0.0,
        drop_path: float = 0.0,
        tokenizer_bound: str | float | None = None,
        init_std: float | None = None,
    ):
        super().__init__()
        self.modalities = tuple(members)
        self.register_buffer("gain", torch.ones(len(self.modalities)))
        self.width, self.n_free, self.pattern_dropout = width, n_free, pattern_dropout
        self.n_tokens = sum(len(m) for m in members.values()) + n_free * len(members)
        if self.n_tokens == 0:
            raise ValueError("The Teacher has no tokens: give patterns, or n_free >= 1.")
        self.tokenizers, self.free = nn.ModuleList(), nn.ModuleList()
        for name in self.modalities:
            bound = 1 / math.sqrt(n_features[name]) if tokenizer_bound == "all" else tokenizer_bound
            self.tokenizers.append(PatternTokenizer(members[name], width, bound=bound))  # type: ignore[arg-type]
            free = InputLinear(n_features[name], n_free * width)
            if tokenizer_bound is None:
                nn.init.normal_(free.weight, std=1 / math.sqrt(n_features[name]))
                nn.init.normal_(free.bias, std=BIAS_STD)
            self.free.append(free)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        rates = np.linspace(0, drop_path, depth)
        self.blocks = nn.ModuleList(
            Block(
                width, n_heads, mlp_ratio=mlp_ratio, dropout=dropout, attention_dropout=attention_dropout, drop_path=r
            )
            for r in rates.tolist()
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, n_labels)
        if init_std is not None:
            for layer in [*self.blocks.modules(), self.head]:
                if isinstance(layer, nn.Linear):
                    nn.init.trunc_normal_(layer.weight, std=init_std)
                    nn.init.zeros_(layer.bias)

    def tokens(self, x: Mapping[str, Values]) -> Tensor:
        """Return the tokens of scaled cells, shape ``(n_obs, n_tokens, width)``, without the class token."""
        parts = []
        for name, tokenizer, free in zip(self.modalities, self.tokenizers, self.free, strict=True):
            values = dense_above(x[name], FULL)
            if tokenizer.n_patterns:
                parts.append(tokenizer(values))
            if self.n_free:
                parts.append(free(values).unflatten(-1, (self.n_free, self.width)))
        return torch.cat(parts, dim=1)

    def _mask(self, present: Mapping[str, Tensor]) -> Tensor | None:
        """What is added to the attention scores of each token, class token first; None where that is 0 for all.

        Minus infinity for the tokens of a modality that a cell lacks, the logarithm of the modality's share for others: a
        token of share s is attended to as s tokens are.
        """
        shares = modality_shares(present, self.modalities, self.gain)
        if bool((shares == 1).all()):
            return None
        columns = [torch.zeros_like(shares[:, :1])]
        for i, tokenizer in enumerate(self.tokenizers):
            n_tokens = int(tokenizer.n_patterns) + self.n_free  # type: ignore[arg-type]
            columns.append(shares[:, i : i + 1].log().expand(-1, n_tokens))
        return torch.cat(columns, dim=1)

    def forward(
        self, x: Mapping[str, Values], present: Mapping[str, Tensor], *, attention: bool = False
    ) -> TeacherOutput:
        """Read a mini-batch.

        Parameters
        ----------
        x
            Scaled values by modality, each of shape ``(n_obs, n_features)``, dense or sparse.
        present
            By modality, whether each cell was measured in it, bool, shape ``(n_obs,)``.
        attention
            Return the attention weights too. Costs memory ``n_obs x n_tokens^2``.
        """
        tokens = self.tokens(x)
        mask = self._mask(present)
        if self.training and self.pattern_dropout > 0:
            n_kept = max(1, round(self.n_tokens * (1 - self.pattern_dropout)))
            kept = torch.randperm(self.n_tokens, device=tokens.device)[:n_kept]
            tokens = tokens.index_select(1, kept)
            if mask is not None:
                mask = torch.cat([mask[:, :1], mask[:, 1:].index_select(1, kept)], dim=1)
        hidden = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        key_mask = None if mask is None else mask[:, None, None, :]
        kept_weights: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            last = i == len(self.blocks) - 1
            hidden, weights = block(hidden, mask=key_mask, n_queries=1 if last else None, weights=attention)
            if weights is not None:
                kept_weights.append(weights)
        latent = self.norm(hidden[:, 0])
        return TeacherOutput(self.head(latent), latent, kept_weights if attention else None)
