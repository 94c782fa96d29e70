"""What a matrix holds that a user would want to know: nothing at all, cells without counts, features that tell nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from plkd.data._mend import leaving_out_empty, taking_counts
from plkd.data._rows import Rows
from plkd.patterns import KIND

logger = logging.getLogger("plkd")

_BLOCK = 4096


def check_contents(rows: Rows, where: str, *, kind: str, features: Sequence[str]) -> None:
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

    Raises
    ------
    ValueError
        If there is no value but zero.
    """
    if not rows.in_memory:
        return
    if _empty(rows.matrix).all():
        raise ValueError(
            f"{where} holds nothing but zeros ({rows.n_obs} cells x {rows.n_features} {KIND[kind].features}); expected counts. "
            f"Fix: {taking_counts(where, kind)}."
        )
    say_empty_cells(rows, where)
    if kind != "rna":  # of genes some are always in no cell
        _say_alike(rows, where, kind, features)


def say_empty_cells(rows: Rows, where: str) -> None:
    """Warn of cells without counts in a matrix in memory: they are read as measured, with nothing found."""
    n_empty = int(_empty(rows.matrix).sum()) if rows.in_memory else 0
    if n_empty:
        logger.warning(
            "%d of %d cells have no counts in %s, which is read as measured, with nothing found. If they were not measured, "
            "leave them out: %s",
            n_empty,
            rows.n_obs,
            where,
            leaving_out_empty(where),
        )


def _empty(matrix: Any) -> np.ndarray:
    """Whether each cell of an array or CSR matrix has no value but zero."""
    if not sp.issparse(matrix):
        empty = np.ones(len(matrix), dtype=bool)
        for start in range(0, len(matrix), _BLOCK):
            empty[start : start + _BLOCK] = ~matrix[start : start + _BLOCK].any(axis=1)
        return empty
    if matrix.data.all():
        return np.diff(matrix.indptr) == 0
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.bincount(row[matrix.data != 0], minlength=matrix.shape[0]) == 0


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
