"""What a matrix holds that a user would want to know: nothing at all, cells without counts, features that tell nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from plkd.data._mend import layers_there, leaving_out_empty, taking_counts
from plkd.data._rows import Rows
from plkd.patterns import KIND

logger = logging.getLogger("plkd")

_BLOCK = 4096


def check_contents(
    rows: Rows, where: str, *, kind: str, features: Sequence[str], other_layers: Sequence[str] = ()
) -> None:
    """Refuse a reference's matrix of zeros; say which cells have no counts, and which proteins or peaks are the same in all cells.

    Only a matrix in memory is looked at.

    Parameters
    ----------
    rows
        The matrix, as :func:`detect_scale` accepted it.
    where
        Its place in words, for messages.
    kind
        Kind of the features.
    features
        Names of the columns.
    other_layers
        Names of layers that might hold counts, named in errors.

    Raises
    ------
    ValueError
        If there is no value but zero.
    """
    if not rows.in_memory:
        return
    empty = _empty(rows.matrix)
    if empty.all():
        raise ValueError(
            f"{where} holds nothing but zeros ({rows.n_obs} cells x {rows.n_features} {KIND[kind].features}); expected counts."
            f"{layers_there(other_layers)} Fix: {taking_counts(where, kind, other_layers)}."
        )
    _say_empty(empty, where)
    if kind != "rna":  # of genes some are always in no cell
        _say_alike(rows, where, kind, features)


def say_empty_cells(rows: Rows, where: str) -> None:
    """Warn of cells without counts in a matrix in memory: they are read as measured, with nothing found."""
    if rows.in_memory:
        _say_empty(_empty(rows.matrix), where)


def _say_empty(empty: np.ndarray, where: str) -> None:
    if empty.any():
        logger.warning(
            "%d of %d cells have no counts in %s, which is read as measured, with nothing found. If they were not measured, "
            "leave them out: %s",
            int(empty.sum()),
            len(empty),
            where,
            leaving_out_empty(where),
        )


def _empty(matrix: Any) -> np.ndarray:
    """Whether each cell of an array or CSR matrix has no value but zero."""
    empty = np.ones(matrix.shape[0], dtype=bool)
    for start in range(0, len(empty), _BLOCK):
        if sp.issparse(matrix):
            places = matrix.indptr[start : start + _BLOCK + 1]
            n_found = np.concatenate([[0], np.cumsum(matrix.data[places[0] : places[-1]] != 0)])
            empty[start : start + _BLOCK] = np.diff(n_found[places - places[0]]) == 0
        else:
            empty[start : start + _BLOCK] = ~matrix[start : start + _BLOCK].any(axis=1)
    return empty


def _say_alike(rows: Rows, where: str, kind: str, features: Sequence[str]) -> None:
    lowest, highest = np.full(rows.n_features, np.inf), np.zeros(rows.n_features)
    for start in range(0, rows.n_obs, _BLOCK):
        low, high = _range(rows.read(slice(start, start + _BLOCK)), dense=KIND[kind].is_panel)
        lowest, highest = np.minimum(lowest, low), np.maximum(highest, high)
    alike = np.flatnonzero(lowest == highest)
    if len(alike):
        logger.info(
            "%d of %d %s in %s have one value in all cells and tell nothing, e.g. %s",
            len(alike),
            rows.n_features,
            KIND[kind].features,
            where,
            ", ".join(repr(str(features[i])) for i in alike[:3]),
        )


def _range(block: sp.csr_matrix, *, dense: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each feature; of many features 0, and the number of cells that have a value."""
    if dense:
        values = block.toarray()
        return values.min(axis=0), values.max(axis=0)
    return np.zeros(block.shape[1]), np.bincount(block.indices[block.data > 0], minlength=block.shape[1])
