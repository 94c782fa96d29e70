"""Which cells are looked at, and how many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from plkd.data import Cells

#: Dense values computed at a time where no batch size is given: 128 MiB of float32.
_VALUES_AT_A_TIME = 2**25


def batch_size_for(cells: Cells, batch_size: int | None, *, n_cells: int | None = None, at_once: int = 1) -> int:
    """Return the batch size asked for, or one with which the mini-batches computed at once hold about 128 MiB of dense values.

    Parameters
    ----------
    cells
        Whose features count.
    batch_size
        What was asked for; None chooses.
    n_cells
        How many cells there are to compute: few are divided evenly between the mini-batches computed at once. None: many.
    at_once
        How many mini-batches are computed at once.

    Raises
    ------
    ValueError
        If ``batch_size`` is not a whole number of at least 1.
    """
    if batch_size is not None:
        if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r}; expected a whole number of at least 1, or None to choose it.")
        # No data set has more cells; larger numbers do not fit into an index.
        return min(int(batch_size), 2**31)
    n_features = sum(modality.rows.n_features for modality in cells.modalities.values())
    most = _VALUES_AT_A_TIME // max(n_features, 1) // at_once
    if n_cells is not None:
        most = min(most, -(-n_cells // at_once))
    return int(np.clip(most, 64, 8192))


def chosen_cells(n_obs: int, indices: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Return cell numbers from numbers or a boolean mask; all cells if None.

    Raises
    ------
    ValueError
        If a mask has another length, a number lies outside the data, or these are no cell numbers in one dimension.
    """
    if indices is None:
        return np.arange(n_obs)
    told = "expected cell numbers, e.g. indices=[0, 1, 2], or a boolean mask"
    try:
        chosen = np.asarray(indices)
    except ValueError:
        raise ValueError(f"indices is a {type(indices).__name__} of unequal parts; {told}.") from None
    if chosen.dtype == bool:
        if chosen.shape != (n_obs,):
            raise ValueError(f"indices is a mask of shape {chosen.shape}; expected ({n_obs},), an entry for each cell.")
        return np.flatnonzero(chosen)
    if chosen.size == 0:
        return np.array([], dtype=np.int64)
    if chosen.dtype.kind not in "iu":
        raise ValueError(f"indices is a {type(indices).__name__} of {chosen.dtype}; {told}.")
    if chosen.ndim != 1:
        raise ValueError(f"indices has shape {chosen.shape}; expected one dimension, e.g. [0, 1, 2].")
    # Before any sum, n_obs may not fit into a narrow type, and before that the largest may not fit into int64.
    if int(chosen.min()) < -n_obs or int(chosen.max()) >= n_obs:
        raise ValueError(
            f"indices reach from {chosen.min()} to {chosen.max()}; the data has {n_obs} cells, so expected 0 to {n_obs - 1}."
        )
    chosen = chosen.astype(np.int64)
    return np.where(chosen < 0, chosen + n_obs, chosen)


def batches(
    cells: Cells, indices: np.ndarray, batch_size: int | None, *, progress: str | None, at_once: int = 1
) -> Iterator[Any]:
    """Yield mini-batches in order, with a progress bar named ``progress`` if given; ``at_once`` of them are computed at once."""
    size = batch_size_for(cells, batch_size, n_cells=len(indices), at_once=at_once)
    found: Iterable[Any] = cells.in_order(indices, batch_size=size)
    yield from tqdm(found, total=-(-len(indices) // size), desc=progress, disable=progress is None, unit="batch")


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Move the tensors of a mini-batch."""
    moved = {**batch, **_values_to(batch, device)}
    moved["present"] = {name: value.to(device) for name, value in batch["present"].items()}
    for key in ("labels", "batch", "index"):
        moved[key] = batch[key].to(device)
    if "others" in batch:
        moved["others"] = [_values_to(part, device) for part in batch["others"]]
    return moved


def _values_to(part: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    scale = {
        name: (scale, None if found is None else found.to(device)) for name, (scale, found) in part["scale"].items()
    }
    return {"x": {name: value.to(device) for name, value in part["x"].items()}, "scale": scale}
