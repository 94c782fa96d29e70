"""Find the matrix that a layer name means."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse


def get_matrix(adata: AnnData, layer: str | None, *, called: str = "adata") -> tuple[Any, str]:
    """Return the matrix of a layer, or ``X``, and its place in words for messages.

    Parameters
    ----------
    adata
        In memory, a view, or backed.
    layer
        Name in ``adata.layers``; None means ``adata.X``.
    called
        What messages call ``adata``.

    Raises
    ------
    KeyError
        If the layer does not exist; the message lists those that do.
    ValueError
        If ``X`` is wanted and there is none, or the matrix holds no real numbers or is broken.
    """
    if layer is None:
        matrix = _read_x(adata, called)
        if matrix is None:
            raise ValueError(f"{called}.X is None; expected counts. Layers there are: {layer_names(adata)}. {_HINT}")
        return check_matrix(matrix, f"{called}.X"), f"{called}.X"
    if layer not in adata.layers:
        there = layer_names(adata)
        other = f'name one of these, e.g. `layer="{there[0]}"`, or ' if there else ""
        raise KeyError(
            f"layer={layer!r} is not in {called}.layers; found {there}. Fix: {other}"
            f"`{called}.layers[{layer!r}] = {called}.X.copy()` where X holds raw counts."
        )
    where = f"{called}.layers[{layer!r}]"
    return check_matrix(adata.layers[layer], where), where


def _read_x(adata: AnnData, called: str) -> Any:
    """Return ``X``; refuse a view of a file that h5py or scipy cannot read, as where its rows run backwards."""
    try:
        matrix = adata.X
        # anndata 0.13 loses a row of some.
        wrong = adata.is_view and matrix is not None and matrix.shape != adata.shape
        why = f"it gives {matrix.shape} of {adata.shape} values" if wrong else ""
    except (ValueError, IndexError, TypeError) as error:
        if not adata.is_view:
            raise
        matrix, why = None, str(error)
    if why:
        raise ValueError(
            f"{called}.X cannot be read through this view of a file ({why}). Fix: choose by names or numbers, e.g. "
            f"`{called}[numpy.arange(n)[::-1]]` in place of `{called}[::-1]`, or read it first, `{called}.to_memory()`."
        )
    return matrix


def check_matrix(matrix: Any, where: str) -> Any:
    """Return a matrix; refuse one of anything but real numbers, and a sparse one that points outside of itself.

    Raises
    ------
    ValueError
        Naming the place.
    """
    dtype = np.dtype(getattr(matrix, "dtype", object))
    if dtype.kind not in "biuf":
        raise ValueError(
            f"{where} is a {type(matrix).__name__} of {dtype}; expected real numbers, raw counts at best. Fix: "
            f"`{where} = {where}.astype(np.float32)` if these are numbers."
        )
    if any(np.isnan(float(n)) for n in matrix.shape):
        raise ValueError(
            f"{where} is an array of dask whose chunks are of unknown size; expected {where}.shape to be known. Fix: "
            f"`{where} = {where}.compute_chunk_sizes()`."
        )
    if np.ma.isMaskedArray(matrix):
        raise ValueError(f"{where} is a masked array; expected every value. Fix: `{where} = {where}.filled(0)`.")
    if sparse.issparse(matrix) and matrix.format in ("csr", "csc") and matrix.nnz:
        within = matrix.shape[1 if matrix.format == "csr" else 0]
        # scipy reads memory outside of the matrix then.
        if matrix.indices.min() < 0 or matrix.indices.max() >= within or (np.diff(matrix.indptr) < 0).any():
            raise ValueError(
                f"{where} is a broken sparse matrix: its indices reach from {matrix.indices.min()} to {matrix.indices.max()}; "
                f"expected 0 to {within - 1}. Fix: make it again from its source."
            )
    return matrix


_HINT = 'Fix: `adata.layers["counts"] = adata.X.copy()` before normalising, and `layer="counts"` at setup.'


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers; anndata 0.13 keeps X among them under None, which is left out."""
    return [str(name) for name in adata.layers.keys() if name is not None]
