"""Which cells lack a modality, and which have no label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from plkd._arguments import is_number


def missing_shares(missing: float | Mapping[str, float], modalities: Sequence[str]) -> dict[str, float]:
    """Check shares of cells that lack a modality, and return one for each.

    Raises
    ------
    ValueError
        If a name is not one of the modalities, a share is not between 0 and 1, or some cells would have no modality or
        some modality no cell.
    """
    shares = dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(modalities, missing)
    unknown = [name for name in shares if name not in modalities]
    if unknown:
        msg = f"missing names {unknown[0]!r}; expected one of modalities={tuple(modalities)}."
        raise ValueError(msg)
    for name, share in shares.items():
        if not is_number(share, 0, 1):
            msg = f"missing={missing!r}: {name!r} has share {share!r}; expected a share of the cells from 0 to 1."
            raise ValueError(msg)
    total = sum(shares.values())
    if total > 1 + 1e-9:
        msg = (
            f"missing={missing!r} adds up to {total:g}; a cell lacks one modality at most, so the shares may add up to 1. "
            f"Fix: missing={1 / len(modalities):.3g} or less for each."
        )
        raise ValueError(msg)
    if total > 0 and len(modalities) == 1:
        msg = f"missing={missing!r} with the one modality {modalities[0]!r} leaves cells with none. Fix: missing=0."
        raise ValueError(msg)
    if max(shares.values(), default=0) == 1:
        empty = max(shares, key=lambda name: shares[name])
        msg = f"missing={missing!r} leaves {empty!r} without cells. Fix: leave {empty!r} out of modalities."
        raise ValueError(msg)
    return {name: float(shares.get(name, 0.0)) for name in modalities}


def draw_missing(shares: Mapping[str, float], n_obs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return, for each modality, which cells lack it: bool of shape ``(n_obs,)``, disjoint between modalities."""
    order = rng.permutation(n_obs)
    # Rounded where the shares end, not one by one: three thirds are all cells.
    ends = np.rint(np.cumsum(list(shares.values())) * n_obs).astype(int)
    absent = {}
    for name, first, last in zip(shares, [0, *ends[:-1]], ends, strict=True):
        absent[name] = np.zeros(n_obs, dtype=bool)
        absent[name][order[first:last]] = True
    return absent


def draw_unlabeled(share: float, n_obs: int, rng: np.random.Generator) -> np.ndarray:
    """Return which cells have no label: bool of shape ``(n_obs,)``.

    Raises
    ------
    ValueError
        If ``share`` is not between 0 and 1.
    """
    if not is_number(share, 0, 1):
        msg = f"unlabeled={share!r}: expected a share of the cells from 0 to 1."
        raise ValueError(msg)
    drawn = np.zeros(n_obs, dtype=bool)
    drawn[rng.permutation(n_obs)[: round(share * n_obs)]] = True
    return drawn
