"""How the values of a reference's features go together, for data sets that lack some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.utils.sparsefuncs import mean_variance_axis

from plkd.data import Cells
from plkd.inference import unweighted_values
from plkd.nn import InputScaling
from plkd.nn._scaling import N_AXES

#: Cells that are looked at; the time grows with them.
_MOST_CELLS = 5_000
#: Least variance of a feature that its directions leave, in squared units of log1p.
_LEAST_NOISE = 1e-3
_SEED = 0


@dataclass(frozen=True)
class Coexpression:
    """Normal values of one modality: what :meth:`plkd.nn.InputScaling.completed` goes by.

    Attributes
    ----------
    mean
        Of each feature, shape ``(n_features,)``, float32.
    loadings
        Shape ``(n_features, 100)``, float32; zero where there are fewer directions.
    noise
        Variance of each feature beside the directions, shape ``(n_features,)``, float32, at least 0.001.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray


def coexpression(cells: Cells, chosen: np.ndarray, scaling: Mapping[str, InputScaling]) -> dict[str, Coexpression]:
    """Return how the scaled values of each modality go together, features not weighted.

    Parameters
    ----------
    cells
        The reference.
    chosen
        Cells that may be looked at, with or without labels; 5,000 of them at most are.
    scaling
        The model's input scaling by kind; kinds that are not completed are left out.

    Notes
    -----
    Principal components in place of the factors of maximum likelihood: 100 at most, the variance of each feature that they leave is
    noise. The same cells give the same.
    """
    kinds = {kind: layer for kind, layer in scaling.items() if layer.completes}
    if not kinds:
        return {}
    looked_at = np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST_CELLS)).astype(np.int64)
    values = unweighted_values(kinds, cells, chosen[looked_at])
    return {kind: _components(values.pop(kind)) for kind in list(values)}


def _components(values: sp.csr_matrix) -> Coexpression:
    n_obs, n_features = values.shape
    loadings, n_axes = np.zeros((n_features, N_AXES), dtype=np.float32), min(N_AXES, n_obs - 1, n_features - 1)
    if n_obs == 0:
        return Coexpression(np.zeros(n_features, np.float32), loadings, np.ones(n_features, np.float32))
    mean, variance = mean_variance_axis(values, axis=0)
    if n_axes > 0 and variance.any():
        found = PCA(n_axes, svd_solver="arpack", random_state=_SEED).fit(values)
        loadings[:, :n_axes] = found.components_.T * np.sqrt(found.explained_variance_)
    noise = np.maximum(variance - np.square(loadings, dtype=np.float64).sum(axis=1), _LEAST_NOISE)
    return Coexpression(mean.astype(np.float32), loadings, noise.astype(np.float32))
