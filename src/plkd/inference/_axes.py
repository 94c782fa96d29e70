"""Directions in which the cells of a query differ most, found from the query alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from plkd.data import Cells
from plkd.inference._batches import batches, to_device
from plkd.nn import InputScaling, SparseRows, Values, product, unweighted_batch

#: Cells that are looked at, in runs of neighbours: from a file these are read in few pieces.
MOST_CELLS, _RUN = 10_000, 50
#: Where there are more, neighbours are looked for in this part of them.
_EVERY = 8
#: Features whose variance is largest for their mean, and the directions found among them.
_MOST_FEATURES, _MOST_AXES = 2_000, 30
#: A mean below this counts as this much, or a feature of a single count would come first.
_LEAST_MEAN = 1e-3
#: A variance below this share of the mean square is none.
_LEAST_SHARE = 1e-6
_SEED = 0


@dataclass(frozen=True)
class Axes:
    """Directions of one modality.

    Attributes
    ----------
    loadings
        Shape ``(n_features, n_axes)``, float32, divided by the root mean square distance of cells from their mean, so that
        modalities count alike.
    middle
        Where the mean cell lies before it is moved to the origin, shape ``(n_axes,)``.
    """

    loadings: Tensor
    middle: Tensor

    def place(self, values: Values) -> Tensor:
        """Return where cells lie, shape ``(n_obs, n_axes)``, from scaled values without weights."""
        return product(values, self.loadings) - self.middle

    def place_profiles(self, profiles: np.ndarray) -> np.ndarray:
        """Return where mean profiles lie, shape ``(n_profiles, n_axes)``, from such values."""
        values = torch.from_numpy(profiles).to(self.loadings.device)
        return self.place(values).cpu().numpy()


def sample_cells(n_obs: int) -> np.ndarray:
    """Return the numbers of at most 10,000 of some cells, spread over all of them in runs of 50; all where there are fewer."""
    if n_obs <= MOST_CELLS:
        return np.arange(n_obs)
    starts = np.linspace(0, n_obs - _RUN, MOST_CELLS // _RUN).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(_RUN))


def neighbour_cells(n_obs: int) -> np.ndarray:
    """Return the numbers of the cells in which the neighbours of all are looked for: all, or of many an eighth of the sample.

    Fewer tell as much of a cell's surroundings as of directions, and each costs a distance to every cell.
    """
    looked_at = sample_cells(n_obs)
    return looked_at if len(looked_at) == n_obs else looked_at[::_EVERY]


@torch.inference_mode()
def find_axes(
    scaling: Mapping[str, InputScaling],
    cells: Cells,
    chosen: np.ndarray,
    *,
    batch_size: int | None = None,
    progress: str | None = None,
) -> dict[str, Axes]:
    """Return the directions in which chosen cells differ most, by modality.

    Parameters
    ----------
    scaling
        By kind; the features' weights are not used, for they know the labels of the reference.
    cells
        Aligned cells.
    chosen
        Cell numbers; about 10,000 of them are looked at.
    batch_size
        Cells at a time; None holds about 128 MiB of dense values. The values of all cells looked at are held sparse.
    progress
        Name of a progress bar; None shows none.

    Notes
    -----
    Truncated singular value decomposition of the 2,000 features of the largest variance divided by mean; the same cells give
    the same directions. Features that the query lacks have no variance, and so no part in them.
    """
    device = next(iter(scaling.values())).weight.device
    looked_at = chosen[sample_cells(len(chosen))]
    values = unweighted_values(scaling, cells, looked_at, batch_size=batch_size, progress=progress)
    return {kind: _axes(values.pop(kind), device) for kind in list(values)}


@torch.inference_mode()
def unweighted_values(
    scaling: Mapping[str, InputScaling],
    cells: Cells,
    chosen: np.ndarray,
    *,
    batch_size: int | None = None,
    progress: str | None = None,
) -> dict[str, sp.csr_matrix]:
    """Return by modality the scaled values, without weights, of those of the chosen cells that were measured in it, in order.

    Parameters
    ----------
    scaling, cells, chosen, batch_size, progress
        As of :func:`find_axes`; all chosen cells are looked at.
    """
    device = next(iter(scaling.values())).weight.device
    blocks = {kind: [sp.csr_matrix((0, len(layer.weight)), dtype=np.float32)] for kind, layer in scaling.items()}
    for batch in batches(cells, chosen, batch_size, progress=progress):
        present = {kind: there.numpy() for kind, there in batch["present"].items()}
        for kind, values in unweighted_batch(scaling, to_device(batch, device)).items():
            blocks[kind].append(_csr(values)[present[kind]])
    return {kind: sp.vstack(blocks.pop(kind), format="csr") for kind in list(blocks)}


def _csr(values: Values) -> sp.csr_matrix:
    if isinstance(values, SparseRows):
        at = (values.rows.cpu().numpy(), values.columns.cpu().numpy())
        return sp.csr_matrix((values.values.cpu().numpy(), at), shape=values.shape)
    return sp.csr_matrix(values.cpu().numpy())


def _axes(values: sp.csr_matrix, device: torch.device) -> Axes:
    n_obs, n_features = values.shape
    loadings, middle = np.zeros((n_features, _MOST_AXES), dtype=np.float32), np.zeros(_MOST_AXES, dtype=np.float32)
    if n_obs < 2:
        return Axes(torch.from_numpy(loadings).to(device), torch.from_numpy(middle).to(device))
    mean = np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()
    square = np.bincount(values.indices, np.square(values.data, dtype=np.float64), minlength=n_features) / n_obs
    variance = square - mean**2
    variance[variance < _LEAST_SHARE * square] = 0  # rounding
    best = np.argsort(-variance / np.maximum(mean, _LEAST_MEAN), kind="stable")[:_MOST_FEATURES]
    used = np.sort(best[variance[best] > 0])
    n_axes = min(_MOST_AXES, len(used) - 1, n_obs - 1)
    size = np.sqrt(variance[used].sum())
    if n_axes > 0:
        found = randomized_svd(values[:, used], n_axes, random_state=_SEED)[2].T
        loadings[used, :n_axes] = found / size
        middle[:n_axes] = mean[used] @ found / size
    return Axes(torch.from_numpy(loadings).to(device), torch.from_numpy(middle).to(device))
