"""Standardise cells x features without making them dense, and decompose them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

_MAX_CELLS = 5000
"""Cells that the decomposition sees; co-variation of features is estimated well enough from these."""
_MAX_CELLS_SPARSE = 50_000
_MAX_VALUES = 20_000_000
"""A peak is open in few cells, so of peaks it sees as many cells as hold about so many values."""
_N_COMPONENTS = 50
_N_EXTRA = 6
_N_ITERATIONS = 2
_MAX_Z = 10.0
"""Standardised values are capped here, so that a feature seen in one cell does not own a component."""
_BLOCK = 4_000_000
"""Values that are looked at at once where the whole matrix is read."""

Cells: TypeAlias = Any
"""Cells x features, an array or a CSR matrix."""


def is_finite(cells: Cells) -> bool:
    """Whether all values are finite."""
    return all(bool(np.isfinite(_values(block)).all()) for block in _blocks(cells))


def moments(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each column in float64; a column constant up to rounding has variance 0."""
    n_cells, n_features = cells.shape
    mean, square = np.zeros(n_features), np.zeros(n_features)
    for block in _blocks(cells):
        values = _values(block).astype(np.float64)
        if sparse.issparse(block):
            mean += np.bincount(block.indices, weights=values, minlength=n_features)
            square += np.bincount(block.indices, weights=values**2, minlength=n_features)
        else:
            mean += values.sum(axis=0)
            square += (values**2).sum(axis=0)
    mean, square = mean / max(n_cells, 1), square / max(n_cells, 1)
    variance = square - mean**2
    variance[variance <= 1e-9 * square] = 0.0
    return mean, variance


def draw(cells: Cells, rng: np.random.Generator, *, very_sparse: bool) -> Cells:
    """Draw the cells to learn from, as float32: dense where most values are not 0, otherwise CSR.

    Parameters
    ----------
    cells
        Shape ``(n_cells, n_features)``.
    rng
        Draws the cells, where there are more than are looked at.
    very_sparse
        Take more than 5,000 cells while they hold few values.
    """
    n_cells = cells.shape[0]
    most = _MAX_CELLS
    if very_sparse:
        n_values = cells.nnz if sparse.issparse(cells) else np.count_nonzero(cells)
        most = int(np.clip(_MAX_VALUES * n_cells / max(n_values, 1), min(1000, most), _MAX_CELLS_SPARSE))
    if n_cells > most:
        cells = cells[np.sort(rng.choice(n_cells, most, replace=False))]
    n_values = cells.nnz if sparse.issparse(cells) else np.count_nonzero(cells)
    if 2 * n_values > np.prod(cells.shape):
        return np.asarray(cells.toarray() if sparse.issparse(cells) else cells, dtype=np.float32)
    return sparse.csr_matrix(cells, dtype=np.float32)


def feature_loadings(cells: Cells, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return loadings ``V * S`` of the standardised columns, by randomised subspace iteration with implicit centring.

    Parameters
    ----------
    cells
        Shape ``(n_cells, n_features)``, float32; values may be negative.
    columns
        Which features to take.
    rng
        Draws the starting directions.

    Returns
    -------
    float32 of shape ``(len(columns), n_components)``; rows of features that are constant are 0.
    """
    if columns.size < cells.shape[1]:
        cells = cells[:, columns]
    scaled, turned, centre = _standardised(cells)

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


def _standardised(cells: Cells) -> tuple[Cells, Cells, np.ndarray]:
    """Return scaled and capped values, their transpose, and the centre of each column that is still to be subtracted."""
    mean, variance = moments(cells)
    deviation = np.sqrt(variance)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0).astype(np.float32)
    middle = (mean * scale).astype(np.float32)
    if not sparse.issparse(cells):
        scaled = np.clip(cells * scale - middle, -_MAX_Z, _MAX_Z)
        scaled -= scaled.mean(axis=0)
        return scaled, scaled.T, np.zeros_like(middle)
    # What is not stored is 0 and cannot be capped, so no stored value may be moved across 0.
    lowest, highest = np.minimum(middle - _MAX_Z, 0), np.maximum(middle + _MAX_Z, 0)
    values = np.clip(cells.data * scale[cells.indices], lowest[cells.indices], highest[cells.indices])
    scaled = sparse.csr_matrix((values, cells.indices, cells.indptr), shape=cells.shape)
    # A transposed CSR is CSC, whose product with a dense block is several times slower than that of a CSR.
    turned = scaled.T.tocsr()
    centre = np.bincount(cells.indices, weights=values, minlength=cells.shape[1]).astype(np.float32) / cells.shape[0]
    return scaled, turned, centre


def _values(block: Cells) -> np.ndarray:
    return block.data if sparse.issparse(block) else block


def _blocks(cells: Cells) -> Iterator[Cells]:
    """Yield the rows in blocks of bounded size."""
    n_values = cells.nnz if sparse.issparse(cells) else cells.size
    step = max(1, int(_BLOCK * cells.shape[0] / max(n_values, 1)))
    for start in range(0, cells.shape[0], step):
        yield cells[start : start + step]
