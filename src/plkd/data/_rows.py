"""Rows of a feature matrix, as CSR blocks with the model's columns."""

from __future__ import annotations

import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from plkd._files import NotWrittenError
from plkd.data._spool import SpooledRows, spool, spool_by_row
from plkd.data._stored import BrokenMatrixError, StoredRows, stored_rows

if TYPE_CHECKING:
    from plkd.data._resident import ResidentRows

_BLOCK = 4096


class Rows:
    """Read rows of a matrix of any kind as float32 CSR, columns in the model's order.

    Parameters
    ----------
    matrix
        Cells x features: numpy array, scipy CSR/CSC/COO matrix or array, pandas frame; on disk anndata's sparse matrix, or
        an array of HDF5 or zarr; or an array of dask with chunks of numpy or scipy.
    columns
        For each column of the model its column in ``matrix``, ``-1`` where there is none (then all zero); or a sparse
        matrix, columns of ``matrix`` x columns of the model, by which rows are multiplied (peaks that overlap). None
        takes the matrix as it is.

    Notes
    -----
    A matrix stored by column cannot be read by row: one in memory is turned to CSR once (this copies it), one on disk is
    written to a temporary file when it is first read.
    """

    #: Dask's scheduler that computes its arrays; None: the one that is set.
    scheduler: str | None = None
    #: The same rows on a device, where they were brought to one.
    resident: ResidentRows | None = None

    def __init__(self, matrix: Any, columns: np.ndarray | sp.spmatrix | None = None):
        if sp.issparse(matrix) and matrix.format != "csr":
            matrix = matrix.tocsr()
        elif not sp.issparse(matrix) and hasattr(matrix, "to_numpy"):
            matrix = matrix.to_numpy()
        self.matrix = matrix
        self.n_obs = int(matrix.shape[0])
        n_query = int(matrix.shape[1])
        self.columns: np.ndarray | None = None
        self.weights: sp.csr_matrix | None = None
        self.n_features = n_query
        if sp.issparse(columns):
            self.weights = sp.csr_matrix(columns, dtype=np.float32)
            self.n_features = int(self.weights.shape[1])
        elif columns is not None:
            self.n_features = len(columns)
            if n_query != len(columns) or not np.array_equal(columns, np.arange(n_query)):
                self.columns = np.asarray(columns, dtype=np.int64)
                # Model column of each query column, for relabelling CSR indices in one look-up.
                self._target = np.full(n_query, -1, dtype=np.int64)
                self._target[self.columns[self.columns >= 0]] = np.flatnonzero(self.columns >= 0)

    @property
    def density(self) -> float:
        """Share of the values that are not zero; 1 for a matrix that stores its zeros; of dask's that of the first chunk."""
        if sp.issparse(self.matrix):
            return self.matrix.nnz / max(self.matrix.shape[0] * self.matrix.shape[1], 1)
        return 1.0 if self.in_memory else self._stored.density

    @property
    def in_memory(self) -> bool:
        """Whether the matrix is a numpy array or scipy matrix."""
        return isinstance(self.matrix, np.ndarray) or sp.issparse(self.matrix)

    @cached_property
    def _doubled(self) -> bool:
        """Whether a matrix in memory may hold several entries of one place; those on disk are added up as they are read."""
        return sp.issparse(self.matrix) and not self.matrix.has_canonical_format

    @cached_property
    def _stored(self) -> StoredRows:
        if isinstance(self.matrix, StoredRows):
            return self.matrix
        if getattr(self.matrix, "format", None) == "csc":
            return spool_by_row(self.matrix)
        return stored_rows(self.matrix, self.scheduler)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read, and how."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_stored", "resident")}

    def spooled(self) -> Rows:
        """Return the same rows for reading in any order: those not in memory are written to a temporary file."""
        if self.in_memory or (isinstance(self._stored, SpooledRows) and self.columns is None and self.weights is None):
            return self
        blocks = (self.read(slice(start, start + _BLOCK)) for start in range(0, self.n_obs, _BLOCK))
        written = spool(blocks, self.n_features)
        # What decides how mini-batches are held is the matrix as it was stored.
        written.density = self.density
        return Rows(written)

    def read(self, rows: slice | np.ndarray) -> sp.csr_matrix:
        """Return rows as float32 CSR, shape ``(n_rows, n_features)``, in the order asked for."""
        csr = sp.csr_matrix(self.read_whole(rows), dtype=np.float32)
        if self._doubled:
            # Entries of one place are parts of one value, and scaling is not linear.
            csr.sum_duplicates()
        if self.weights is not None:
            return csr @ self.weights
        if self.columns is None:
            return csr
        target = self._target[csr.indices]
        kept = target >= 0
        counts = np.add.reduceat(np.append(kept, False), csr.indptr[:-1]) if csr.nnz else np.zeros(csr.shape[0], int)
        counts = np.where(np.diff(csr.indptr) > 0, counts, 0)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return sp.csr_matrix((csr.data[kept], target[kept], indptr), shape=(csr.shape[0], self.n_features))

    def read_whole(self, rows: slice | np.ndarray) -> Any:
        """Return rows with the columns of the matrix, in the order asked for; of what type the matrix is, on disk as CSR."""
        if self.in_memory:
            return self.matrix[rows]
        try:
            if isinstance(rows, slice):
                start, stop, _ = rows.indices(self.n_obs)
                return self._stored.read(start, max(start, stop))
            return self._stored.take(rows) if len(rows) else sp.csr_matrix((0, self.matrix.shape[1]))
        except (BrokenMatrixError, NotWrittenError):
            raise
        except (OSError, RuntimeError, ValueError, EOFError, zlib.error) as error:
            # What HDF5 and zarr raise for a chunk that is damaged.
            raise ValueError(
                f"Values of a matrix on disk cannot be read ({' '.join(str(error).split())[:200]}). Fix: write the file again, or "
                "take an intact copy."
            ) from error
