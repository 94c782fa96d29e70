"""Rows of matrices that are not in memory: on disk, or in chunks of dask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

#: Rows this near to each other are read in one piece, with those between them: a read costs more than some rows.
_NEAR = 16


class BrokenMatrixError(ValueError):
    """A sparse matrix on disk points outside of itself."""


class StoredRows:
    """Read rows as CSR; what was not asked for stays where it is.

    Attributes
    ----------
    shape
        ``(n_rows, n_columns)``.
    density
        Share of the values that are not zero; 1 for a matrix that stores its zeros.
    """

    shape: tuple[int, int]
    density: float = 1.0

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Return the rows from ``start`` to before ``stop``."""
        raise NotImplementedError

    def take(self, rows: np.ndarray) -> sp.csr_matrix:
        """Return rows in the order asked for; those next to each other are read together."""
        distinct, back = np.unique(rows, return_inverse=True)
        first = np.flatnonzero(np.diff(distinct, prepend=-_NEAR - 1) > _NEAR)
        blocks, place, done = [], np.empty(len(distinct), dtype=np.int64), 0
        for a, b in zip(first, [*first[1:], len(distinct)], strict=True):
            start, stop = int(distinct[a]), int(distinct[b - 1]) + 1
            place[a:b] = distinct[a:b] - start + done
            done += stop - start
            blocks.append(self.read(start, stop))
        block = blocks[0] if len(blocks) == 1 else sp.vstack(blocks, format="csr")
        where = place[back]
        return block if len(where) == done and (np.diff(where) == 1).all() else block[where]


class CompressedRows(StoredRows):
    """Rows of a sparse matrix that is stored by row.

    Parameters
    ----------
    data, indices
        Arrays on disk.
    indptr
        Where each row starts in them, and the end, shape ``(n_rows + 1,)``.
    shape
        ``(n_rows, n_columns)``.

    Raises
    ------
    ValueError
        If ``indptr`` does not fit, here, or indices lie outside of the matrix, when they are read.
    """

    def __init__(self, data: Any, indices: Any, indptr: np.ndarray, shape: tuple[int, int]):
        self.data, self.indices = data, indices
        self.indptr = np.asarray(indptr).astype(np.int64)
        self.shape, self.n_columns = shape, shape[1]
        end = min(data.shape[0], indices.shape[0])
        fits = len(self.indptr) == shape[0] + 1
        if not fits or self.indptr[0] < 0 or self.indptr[-1] > end or (np.diff(self.indptr) < 0).any():
            raise BrokenMatrixError(
                f"The sparse matrix on disk is broken: its {shape[0]} rows do not lie in its {end} values. {_FIX}"
            )
        self.density = float(self.indptr[-1]) / max(shape[0] * shape[1], 1)

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Return the rows from ``start`` to before ``stop``."""
        ends = self.indptr[start : stop + 1]
        indices = check_indices(self.indices[ends[0] : ends[-1]], self.n_columns)
        block = sp.csr_matrix((self.data[ends[0] : ends[-1]], indices, ends - ends[0]), (len(ends) - 1, self.n_columns))
        return _added_up(block)


class ChunkedRows(StoredRows):
    """Rows of an array in chunks: whole chunks are read, and the last one is kept for the rows that follow it.

    Parameters
    ----------
    load
        Returns the rows of the chunks from one number to before another.
    bounds
        First row of each chunk, and the end.
    n_columns
        Number of columns.
    density
        As of :class:`StoredRows`; None: that of the first chunk.
    """

    def __init__(
        self, load: Callable[[int, int], sp.csr_matrix], bounds: np.ndarray, n_columns: int, density: float | None = 1.0
    ):
        self._load, self._bounds, self.shape = load, bounds, (int(bounds[-1]), n_columns)
        self._kept: tuple[int, sp.csr_matrix | None] = (-1, None)
        if density is None:
            first = self.read(0, int(bounds[1]))
            density = first.nnz / max(first.shape[0] * first.shape[1], 1)
        self.density = density

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Return the rows from ``start`` to before ``stop``."""
        bounds = self._bounds
        first = int(np.searchsorted(bounds, start, side="right")) - 1
        last = max(int(np.searchsorted(bounds, stop, side="left")), first + 1)
        number, kept = self._kept
        parts = [kept] if number == first and kept is not None else []
        begin = first + len(parts)
        if begin < last:
            loaded = self._load(begin, last)
            parts.append(loaded)
            # A copy: a slice of scipy's shares nothing with what it was cut from, so that only the last chunk stays.
            self._kept = (last - 1, loaded if last - begin == 1 else loaded[bounds[last - 1] - bounds[begin] :])
        block = parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")
        return block[start - bounds[first] : stop - bounds[first]]


def stored_rows(matrix: Any, scheduler: str | None = None) -> StoredRows:
    """Return the rows of anndata's matrix on disk, stored by row, an array of HDF5 or zarr, or one of dask.

    Parameters
    ----------
    matrix
        One of these.
    scheduler
        Dask's that computes its arrays; None: the one that is set.
    """
    if hasattr(matrix, "group"):
        group, (n_rows, n_columns) = matrix.group, (int(n) for n in matrix.shape)
        return CompressedRows(group["data"], group["indices"], group["indptr"][:], (n_rows, n_columns))
    if hasattr(matrix, "numblocks"):
        return _dask_rows(matrix, scheduler)
    n_rows, size = int(matrix.shape[0]), (getattr(matrix, "chunks", None) or (matrix.shape[0],))[0]
    if size >= n_rows:
        # Not in chunks, as HDF5 stores by default, or in a single one.
        size = 1 if getattr(matrix, "chunks", None) is None else n_rows
    bounds = np.append(np.arange(0, n_rows, max(size, 1)), n_rows)
    return ChunkedRows(lambda i, j: _csr(np.asarray(matrix[bounds[i] : bounds[j]])), bounds, int(matrix.shape[1]))


def _dask_rows(array: Any, scheduler: str | None) -> ChunkedRows:
    import dask
    from dask.array.utils import meta_from_array

    bounds = np.cumsum([0, *array.chunks[0]])
    n_across = array.numblocks[1]

    def load(i: int, j: int) -> sp.csr_matrix:
        # Put together here: not all of dask's versions can stack all of scipy's formats.
        wanted = [array.blocks[row, column] for row in range(i, j) for column in range(n_across)]
        blocks = dask.compute(*wanted, scheduler=scheduler)
        parts = [_csr(block) for block in blocks]
        rows = [sp.hstack(parts[k : k + n_across], format="csr") for k in range(0, len(parts), n_across)]
        return rows[0] if len(rows) == 1 else sp.vstack(rows, format="csr")

    return ChunkedRows(load, bounds, int(array.shape[1]), None if sp.issparse(meta_from_array(array)) else 1.0)


def _csr(block: Any) -> sp.csr_matrix:
    # scipy has no half precision.
    return _added_up(sp.csr_matrix(block.astype(np.float32) if block.dtype == np.float16 else block))


def _added_up(block: sp.csr_matrix) -> sp.csr_matrix:
    """Return a block with one entry for each place; where there are several, a copy, for the arrays may be another's."""
    if block.has_canonical_format:
        return block
    # The sum of two small integers may not fit into their type.
    block = block.astype(np.result_type(block.dtype, np.float32))
    block.sum_duplicates()
    return block


def check_indices(indices: np.ndarray, n_columns: int) -> np.ndarray:
    """Return column numbers; refuse those outside of the matrix, where scipy would read memory that is not its own."""
    if indices.size and (indices.min() < 0 or indices.max() >= n_columns):
        raise BrokenMatrixError(
            f"The sparse matrix on disk is broken: its indices reach from {indices.min()} to {indices.max()}; expected 0 to "
            f"{n_columns - 1}. {_FIX}"
        )
    return indices


_FIX = "Fix: write it again from its source."
