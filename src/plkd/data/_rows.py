"""Rows of a feature matrix, as CSR blocks with the model's columns."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

#: Rows of a file that tell how sparse it is.
_LOOKED_AT = 256


class Rows:
    """Read rows of a matrix of any kind as float32 CSR, columns in the model's order.

    Parameters
    ----------
    matrix
        Cells x features: numpy array, scipy CSR/CSC/COO matrix or array, pandas frame, or anndata's backed matrix
        (HDF5 dense, or sparse on disk by row).
    columns
        For each column of the model its column in ``matrix``, ``-1`` where there is none (then all zero); or a sparse
        matrix, columns of ``matrix`` x columns of the model, by which rows are multiplied (peaks that overlap). None
        takes the matrix as it is.

    Notes
    -----
    A matrix stored by column cannot be read by row: one in memory is turned to CSR once (this copies it).
    """

    def __init__(self, matrix: Any, columns: np.ndarray | sp.spmatrix | None = None):
        if hasattr(matrix, "to_memory") and getattr(matrix, "format", "csr") == "csc":
            # By-column storage on disk cannot serve rows without reading all of it for each block.
            matrix = matrix.to_memory()
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

    @cached_property
    def density(self) -> float:
        """Share of the values that are not zero; on disk, of the first rows."""
        if sp.issparse(self.matrix):
            return self.matrix.nnz / max(self.matrix.shape[0] * self.matrix.shape[1], 1)
        if self.in_memory or not hasattr(self.matrix, "format"):
            return 1.0
        first = self.read(slice(0, _LOOKED_AT))
        return first.nnz / max(first.shape[0] * first.shape[1], 1)

    @property
    def in_memory(self) -> bool:
        """Whether the matrix is a numpy array or scipy matrix."""
        return isinstance(self.matrix, np.ndarray) or sp.issparse(self.matrix)

    def read(self, rows: slice | np.ndarray) -> sp.csr_matrix:
        """Return rows as float32 CSR, shape ``(n_rows, n_features)``, in the order asked for."""
        if isinstance(rows, slice) or self.in_memory:
            block = self.matrix[rows]
        else:
            # HDF5 wants increasing, distinct rows.
            distinct, back = np.unique(rows, return_inverse=True)
            block = self.matrix[distinct]
            block = block[back]
        csr = sp.csr_matrix(block, dtype=np.float32)
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
