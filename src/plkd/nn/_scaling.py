"""Input scaling, stored with the model so that reference, query and exported Student cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

TARGET_SUM = 1e4


class RNAScaling(nn.Module):
    """Scale RNA to log1p of counts per 10,000, each gene times a weight learned from the reference.

    Parameters
    ----------
    gene_share
        Mean share of each gene in a reference cell's counts, shape ``(n_features,)``, summing to 1. It says what
        part of a reference cell's counts a gene-poor query can be expected to hold (:meth:`share_of`).

    Attributes
    ----------
    weight
        Weight of each gene, shape ``(n_features,)``, non-negative; 1 until training sets it
        (:func:`plkd.train.label_weights`).

    Notes
    -----
    The library size of a cell is its counts over the model's genes that its data set has, divided by the reference's
    mean share of those genes, so that a query that lacks genes lands on the reference's scale.
    """

    gene_share: Tensor
    weight: Tensor

    def __init__(self, gene_share: Tensor):
        super().__init__()
        self.register_buffer("gene_share", torch.as_tensor(gene_share, dtype=torch.float32))
        self.register_buffer("weight", torch.ones_like(self.gene_share))

    def share_of(self, present: Tensor) -> float:
        """Return the reference's mean share of the genes that a data set has.

        Parameters
        ----------
        present
            Whether the data set has each gene, bool, shape ``(n_features,)``.

        Returns
        -------
        A number in (0, 1]; 1 where every gene is present or where the present genes hold no reference counts.
        """
        if bool(present.all()):
            return 1.0
        share = float(self.gene_share[present.to(self.gene_share.device)].sum())
        return share if share > 0 else 1.0

    def forward(self, x: Tensor, *, logged: bool = False, share: float = 1.0) -> Tensor:
        """Scale one mini-batch.

        Parameters
        ----------
        x
            Counts, or log-normalised values, shape ``(n_obs, n_features)``, float, non-negative.
        logged
            Whether ``x`` is log-normalised already; it is then only weighted.
        share
            Result of :meth:`share_of` for the data set that the cells come from.

        Returns
        -------
        Scaled values, shape ``(n_obs, n_features)``. A cell without counts stays all zero.
        """
        if logged:
            return x * self.weight
        size = x.sum(dim=1, keepdim=True) / share
        return torch.log1p(x * (TARGET_SUM / size.clamp_min(1e-12))) * self.weight


def scale_batch(scaling: Mapping[str, RNAScaling], batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Scale a mini-batch of :class:`plkd.data.Cells`, modality by modality.

    Parameters
    ----------
    scaling
        By modality name.
    batch
        With ``x`` and ``scale`` by modality.

    Returns
    -------
    Scaled values by modality, each ``(n_obs, n_features)``; all zero where a cell lacks the modality.
    """
    scaled = {}
    for name, layer in scaling.items():
        kind, share = batch["scale"][name]
        scaled[name] = layer(batch["x"][name], logged=kind == "log", share=share)
    return scaled
