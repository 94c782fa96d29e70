"""Changes of the training input that the labels survive."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from plkd.nn import SparseRows, Values
from plkd.nn._sparse import dense_above

#: Share of values that are not zero above which mini-batches are mixed with the zeros filled in: two cells share few places, and
#: the sum is then too full for sparse products.
_FULL = 0.03

#: Mean shares of the features that are hidden, by phase; and of how few genes, where there is nothing but RNA, none are.
_HIDDEN, _FEW_GENES = {"teacher": 0.1, "student": 0.25}, 500


def hide_rate_for(asked: float | None, phase: str, n_features: Mapping[str, int]) -> float:
    """Return the mean share of the features to hide in a phase; None chooses by their numbers by kind.

    Of a panel of some hundred genes each says something of its own, so that hiding them costs labels, and what a query lacks of
    them is expected from the others; not so of other kinds of features.
    """
    if asked is not None:
        return asked
    few = set(n_features) == {"rna"} and n_features["rna"] <= _FEW_GENES
    return 0.0 if few else _HIDDEN[phase]


def hide_features(x: Mapping[str, Values], rate: float) -> dict[str, Values]:
    """Set random features to zero, a different share of them in every cell.

    A query lacks genes and drops others out; a cell whose library size is corrected for the hidden genes is the same
    cell without them.

    Parameters
    ----------
    x
        Scaled values by modality, each ``(n_obs, n_features)``.
    rate
        Mean share of the features hidden; each cell's own share is uniform in ``[0, 2 * rate]`` (at most 1).
    """
    if rate == 0:
        return dict(x)
    hidden: dict[str, Values] = {}
    for name, values in x.items():
        own = torch.rand(values.shape[0], 1, device=values.device) * min(2 * rate, 1.0)
        if isinstance(values, SparseRows):
            kept = torch.rand_like(values.values) >= own[values.rows, 0]
            hidden[name] = values.with_values(values.values * kept)
        else:
            hidden[name] = values * (torch.rand_like(values) >= own)
    return hidden


def mix_cells(
    x: Mapping[str, Values], present: Mapping[str, Tensor], alpha: float
) -> tuple[dict[str, Values], Tensor, Tensor]:
    """Mix each cell with another one of the mini-batch that was measured in the same modalities.

    Parameters
    ----------
    x, present
        Scaled values, and whether each cell was measured, by modality.
    alpha
        Of the beta distribution of the shares, ``> 0`` (mixup, Zhang et al. 2018); 1: any share is as likely.

    Returns
    -------
    Values; for each cell its partner's number, shape ``(n_obs,)``, itself where no other drawn is alike; its own share, at
    least one half, shape ``(n_obs,)``.
    """
    measured = torch.stack([present[name] for name in x], dim=1)
    n_obs, device = len(measured), measured.device
    partner = torch.randperm(n_obs, device=device)
    alike = (measured == measured[partner]).all(dim=1)
    partner = torch.where(alike, partner, torch.arange(n_obs, device=device))
    share = torch.distributions.Beta(alpha, alpha).sample((n_obs,)).to(device)
    share = torch.maximum(share, 1 - share)
    return {name: _mixed(values, partner, share) for name, values in x.items()}, partner, share


def _mixed(values: Values, partner: Tensor, share: Tensor) -> Values:
    values = dense_above(values, _FULL)
    if isinstance(values, SparseRows):
        return values.scaled_rows(share).plus(values.take(partner).scaled_rows(1 - share))
    return values * share[:, None] + values[partner] * (1 - share)[:, None]


def hide_modalities(
    x: Mapping[str, Values], present: Mapping[str, Tensor], rate: float
) -> tuple[dict[str, Values], dict[str, Tensor]]:
    """Hide whole modalities from some cells, so that a network learns to do with any subset.

    Parameters
    ----------
    x, present
        Scaled values, and whether each cell was measured, by modality.
    rate
        Share of the cells measured in several modalities that lose some: a subset drawn evenly from those that leave at
        least one and hide at least one.

    Returns
    -------
    Values, zero where hidden, and the presence that is left.
    """
    if rate == 0 or len(x) < 2:
        return dict(x), dict(present)
    names = list(x)
    measured = torch.stack([present[name] for name in names], dim=1)
    kept = measured & (torch.rand(measured.shape, device=measured.device) < 0.5)
    chosen = torch.rand(len(measured), device=measured.device) < rate
    # Neither all nor none: drawn again until each chosen cell keeps some and loses some.
    several = measured.sum(dim=1) > 1
    while bool((redo := several & chosen & ((kept.sum(1) == 0) | (kept == measured).all(1))).any()):
        again = measured & (torch.rand(measured.shape, device=measured.device) < 0.5)
        kept = torch.where(redo[:, None], again, kept)
    left = torch.where((several & chosen)[:, None], kept, measured)
    hidden = {name: _rows_kept(x[name], left[:, i]) for i, name in enumerate(names)}
    return hidden, {name: left[:, i] for i, name in enumerate(names)}


def _rows_kept(values: Values, kept: Tensor) -> Values:
    if isinstance(values, SparseRows):
        return values.scaled_rows(kept)
    return values * kept[:, None]
