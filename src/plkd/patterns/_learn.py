"""Learn patterns from data: features that vary together over cells."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse

from plkd.patterns._filter import feature_names
from plkd.patterns._group import group
from plkd.patterns._set import PatternSet

logger = logging.getLogger("plkd")

_MAX_CELLS = 5000
"""Cells that the decomposition sees; co-variation of features is estimated well enough from these."""
_N_COMPONENTS = 50
_N_EXTRA = 6
_N_ITERATIONS = 2
_MAX_Z = 10.0
"""Standardised values are capped here, so that a feature seen in one cell does not own a component."""


def learn(
    matrix: Any,
    features: Iterable[str],
    *,
    n_patterns: int | None = None,
    min_size: int = 5,
    max_size: int = 200,
    exclude: Iterable[str] | PatternSet | None = None,
    seed: int = 0,
) -> PatternSet:
    r"""Group features into modules that vary together, so that each varying feature lies in exactly one.

    Parameters
    ----------
    matrix
        Log-normalised values, shape ``(n_cells, n_features)``, dense or sparse (CSR is fastest), finite.
    features
        One unique name per column.
    n_patterns
        How many groups to start from; splitting large ones may give more, merging small ones fewer. None takes
        half the square root of the number of features to be grouped, between 8 and 64.
    min_size
        Groups smaller than this are merged into the nearest one. Only where fewer features than this vary is the one
        pattern smaller.
    max_size
        Groups larger than this are split. At least ``2 * min_size``.
    exclude
        Names of features to leave out, or a PatternSet whose covered features are left out. None leaves out nothing.
    seed
        Same seed, same data, same patterns, bit for bit.

    Returns
    -------
    A set over all ``features``, the most coherent module first, named by its three leading features, such as
    ``module_01:CD3D+CD3E+IL32``. It has no pattern where every varying feature is excluded. Features that are constant
    over the cells (zero everywhere included) lie in no pattern.

    Raises
    ------
    ValueError
        If shapes disagree, values are not finite, no feature varies, or ``max_size < 2 * min_size``.

    Notes
    -----
    Features are standardised over cells (at most 5,000, drawn with the seed; values capped at 10 standard deviations),
    without making the matrix dense. With the truncated singular value decomposition :math:`Z \approx U S V^T`, feature
    :math:`g` has loading :math:`S V_g`; loadings of unit length are grouped by spherical k-means, where the inner
    product of two features approximates their correlation over the leading components.

    Examples
    --------
    >>> import numpy as np
    >>> levels = np.random.default_rng(0).random((50, 2))
    >>> modules = learn(np.repeat(levels, 5, axis=1), list("ABCDEFGHIJ"))
    >>> sorted(modules.to_dict().values())
    [['A', 'B', 'C', 'D', 'E'], ['F', 'G', 'H', 'I', 'J']]
    """
    if min_size < 1 or max_size < 2 * min_size:
        msg = f"min_size={min_size} and max_size={max_size}: expected 1 <= min_size and max_size >= 2 * min_size."
        raise ValueError(msg)
    if n_patterns is not None and n_patterns < 1:
        msg = f"n_patterns={n_patterns}: expected at least 1, or None to choose it from the number of features."
        raise ValueError(msg)
    features = feature_names(features)
    cells = _as_csr(matrix, len(features))
    varying = _varying(cells)
    if not varying.any():
        msg = f"none of the {len(features)} features varies over the {cells.shape[0]} cells; is this the right layer?"
        raise ValueError(msg)
    columns = np.flatnonzero(varying & ~_excluded(features, exclude))
    if columns.size == 0:
        return PatternSet((), features, sparse.csc_matrix((len(features), 0), dtype=np.float32), ())
    rng = np.random.default_rng(seed)
    loadings = feature_loadings(cells, columns, rng)
    if n_patterns is None:
        n_patterns = int(np.clip(round(np.sqrt(columns.size) / 2), 8, 64))
    # Fewer groups than this could not hold all features, and k-means places them better than splitting does.
    n_patterns = max(n_patterns, -(-columns.size // max_size))
    n_start = max(1, min(n_patterns, columns.size // min_size))
    groups = group(loadings, n_start, min_size=min_size, max_size=max_size, rng=rng)
    names = _names(groups, loadings, [features[column] for column in columns])
    rows = np.concatenate([np.sort(columns[members]) for members in groups])
    indptr = np.concatenate([[0], np.cumsum([members.size for members in groups])])
    membership = sparse.csc_matrix(
        (np.ones(rows.size, dtype=np.float32), rows, indptr), shape=(len(features), len(groups))
    )
    logger.info("learned %d patterns from %d features that vary", len(groups), columns.size)
    return PatternSet(names, features, membership, ("learned",) * len(groups))


def _as_csr(matrix: Any, n_features: int) -> sparse.csr_matrix:
    cells = matrix if sparse.issparse(matrix) else np.asarray(matrix)
    if cells.ndim != 2 or cells.shape[1] != n_features:
        hint = " It looks transposed: pass matrix.T." if cells.ndim == 2 and cells.shape[0] == n_features else ""
        msg = f"matrix of shape {cells.shape}: expected (n_cells, {n_features}), one column per feature.{hint}"
        raise ValueError(msg)
    cells = sparse.csr_matrix(cells, dtype=np.float32)
    if not cells.has_canonical_format:
        cells = cells.copy()
        cells.sum_duplicates()
    if not np.isfinite(cells.data).all():
        msg = "matrix holds NaN or infinite values; expected log-normalised expression, such as sc.pp.log1p makes."
        raise ValueError(msg)
    return cells


def _moments(cells: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each column in float64; a column constant up to rounding has variance 0."""
    n_cells, n_features = cells.shape
    values = cells.data.astype(np.float64)
    mean = np.bincount(cells.indices, weights=values, minlength=n_features) / max(n_cells, 1)
    square = np.bincount(cells.indices, weights=values**2, minlength=n_features) / max(n_cells, 1)
    variance = square - mean**2
    variance[variance <= 1e-9 * square] = 0.0
    return mean, variance


def _varying(cells: sparse.csr_matrix) -> np.ndarray:
    return _moments(cells)[1] > 0


def _excluded(features: tuple[str, ...], exclude: Iterable[str] | PatternSet | None) -> np.ndarray:
    if exclude is None:
        return np.zeros(len(features), dtype=bool)
    if isinstance(exclude, PatternSet):
        exclude = np.asarray(exclude.features, dtype=object)[exclude.covered]
    names = {str(name) for name in exclude}
    return np.asarray([feature in names for feature in features], dtype=bool)


def feature_loadings(cells: sparse.csr_matrix, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return loadings ``V * S`` of the standardised columns, by randomised subspace iteration with implicit centring.

    Parameters
    ----------
    cells
        Shape ``(n_cells, n_features)``.
    columns
        Which features to take.
    rng
        Draws the cells, where there are many, and the starting directions.

    Returns
    -------
    float32 of shape ``(len(columns), n_components)``; rows of features that are constant in the drawn cells are 0.
    """
    if cells.shape[0] > _MAX_CELLS:
        cells = cells[np.sort(rng.choice(cells.shape[0], _MAX_CELLS, replace=False))]
    if columns.size < cells.shape[1]:
        cells = cells[:, columns]
    mean, variance = _moments(cells)
    deviation = np.sqrt(variance)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0).astype(np.float32)
    ceiling = (mean * scale + _MAX_Z).astype(np.float32)
    values = np.minimum(cells.data * scale[cells.indices], ceiling[cells.indices])
    scaled = sparse.csr_matrix((values, cells.indices, cells.indptr), shape=cells.shape)
    # A transposed CSR is CSC, whose product with a dense block is several times slower than that of a CSR.
    turned = scaled.T.tocsr()
    centre = np.bincount(cells.indices, weights=values, minlength=cells.shape[1]).astype(np.float32) / cells.shape[0]

    def forward(block: np.ndarray) -> np.ndarray:
        return scaled @ block - centre @ block

    def backward(block: np.ndarray) -> np.ndarray:
        return turned @ block - np.outer(centre, block.sum(axis=0))

    width = min(_N_COMPONENTS + _N_EXTRA, *cells.shape)
    basis = np.linalg.qr(forward(rng.standard_normal((cells.shape[1], width), dtype=np.float32)))[0]
    for _ in range(_N_ITERATIONS):
        basis = np.linalg.qr(forward(backward(basis)))[0]
    projected = backward(basis)
    _, rotation = np.linalg.eigh(projected.T.astype(np.float64) @ projected)
    leading = rotation[:, ::-1][:, :_N_COMPONENTS].astype(np.float32)
    return projected @ leading


def _names(groups: list[np.ndarray], loadings: np.ndarray, features: list[str]) -> tuple[str, ...]:
    """Name each group by its number and the features that load most strongly along its mean direction."""
    digits = max(2, len(str(len(groups))))
    names = []
    for number, members in enumerate(groups, start=1):
        along = loadings[members] @ loadings[members].mean(axis=0)
        leading = members[np.argsort(-along, kind="stable")[:3]]
        names.append(f"module_{number:0{digits}d}:{'+'.join(features[i] for i in leading)}")
    return tuple(names)
