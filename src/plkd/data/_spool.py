"""Matrices written by row to a temporary file, from which any rows are read fast."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
import scipy.sparse as sp

from plkd._files import NotWrittenError
from plkd.data._stored import CompressedRows, check_indices

logger = logging.getLogger("plkd")

#: Values of a matrix stored by column that are turned at a time.
_VALUES_AT_A_TIME = 2**23
_ROWS = 4096


class SpooledRows(CompressedRows):
    """Rows in a temporary file, mapped into memory; the file is gone when they are."""

    def __init__(self, files: tuple[IO[bytes], IO[bytes]], indptr: np.ndarray, n_columns: int):
        self._files = files
        data, indices = (_mapped(file, int(indptr[-1]), dtype) for file, dtype in zip(files, _DTYPES, strict=True))
        super().__init__(data, indices, indptr, (len(indptr) - 1, n_columns))

    def take(self, rows: np.ndarray) -> sp.csr_matrix:
        """Return rows in the order asked for."""
        starts, lengths = self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        return sp.csr_matrix((self.data[at], self.indices[at], indptr), (len(rows), self.n_columns))


#: Of the values and of the columns they stand in.
_DTYPES = (np.float32, np.int32)


def spool(blocks: Iterable[sp.csr_matrix], n_columns: int) -> SpooledRows:
    """Write blocks of rows, in order, to a temporary file.

    Raises
    ------
    NotWrittenError
        If there is no room for it.
    """
    files = _files()
    lengths = [np.zeros(1, dtype=np.int64)]
    for block in blocks:
        _check_room(block.nnz)
        for file, values, dtype in zip(files, (block.data, block.indices), _DTYPES, strict=True):
            np.ascontiguousarray(values, dtype=dtype).tofile(file)
            file.flush()
        lengths.append(np.diff(block.indptr).astype(np.int64))
    return SpooledRows(files, np.cumsum(np.concatenate(lengths)), n_columns)


def spool_by_row(matrix: Any) -> SpooledRows:
    """Write anndata's matrix on disk, stored by column, by row to a temporary file; it is read twice, in bounded memory.

    Raises
    ------
    NotWrittenError
        If there is no room for it.
    """
    group, (n_rows, n_columns) = matrix.group, (int(n) for n in matrix.shape)
    # As its transpose it is stored by row.
    columns = CompressedRows(group["data"], group["indices"], group["indptr"][:], (n_columns, n_rows))
    n_values = int(columns.indptr[-1])
    logger.info("The matrix is stored by column: written by row to a temporary file of %.1f GB", 8e-9 * n_values)
    # Where a mapped file finds no room, the system ends the process.
    _check_room(n_values)
    counts = np.zeros(n_rows, dtype=np.int64)
    for start in range(0, n_values, _VALUES_AT_A_TIME):
        own = check_indices(group["indices"][start : min(start + _VALUES_AT_A_TIME, n_values)], n_rows)
        counts += np.bincount(own, minlength=n_rows)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    files = _files()
    for file, dtype in zip(files, _DTYPES, strict=True):
        file.truncate(max(n_values, 1) * np.dtype(dtype).itemsize)
    spooled = SpooledRows(files, indptr, n_columns)
    free, start = indptr[:-1].copy(), 0
    while start < n_columns:
        stop = max(
            int(np.searchsorted(columns.indptr, columns.indptr[start] + _VALUES_AT_A_TIME, side="right")) - 1, start + 1
        )
        part = sp.csc_matrix(columns.read(start, stop).T).tocsr()
        lengths = np.diff(part.indptr)
        at = np.arange(part.nnz) + np.repeat(free - part.indptr[:-1], lengths)
        spooled.data[at], spooled.indices[at] = part.data, part.indices + start
        free += lengths
        start = stop
    if (free < indptr[1:]).any():
        # Entries of one place were added up, which left gaps that read as zeros of the first column.
        return spool((spooled.read(i, min(i + _ROWS, n_rows)) for i in range(0, n_rows, _ROWS)), n_columns)
    return spooled


def _check_room(n_values: int) -> None:
    folder = tempfile.gettempdir()
    needed, free = n_values * sum(np.dtype(dtype).itemsize for dtype in _DTYPES), shutil.disk_usage(folder).free
    if needed > free:
        raise NotWrittenError(
            f"The matrix needs a temporary file: {1e-9 * needed:.2f} GB more, of which {folder} has {1e-9 * free:.2f} GB. Fix: free "
            "space there, or name another folder before Python starts, `export TMPDIR=/path`."
        )


def _files() -> tuple[IO[bytes], IO[bytes]]:
    return tempfile.TemporaryFile(prefix="plkd"), tempfile.TemporaryFile(prefix="plkd")


def _mapped(file: IO[bytes], n_values: int, dtype: Any) -> np.ndarray:
    file.flush()
    # Nothing cannot be mapped.
    return np.memmap(file, dtype=dtype, mode="r+", shape=(n_values,)) if n_values else np.empty(0, dtype=dtype)
