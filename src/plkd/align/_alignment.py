"""`Alignment`: where each feature of a model stands in a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Alignment:
    """Where each feature of the model stands in a data set.

    Attributes
    ----------
    columns
        For each feature of the model its column in the data set, ``-1`` where the data set lacks it, int64; for peaks
        that were matched by genomic overlap a sparse 0/1 matrix, columns of the data set x features of the model.
    n_query
        Number of features of the data set.
    names
        Where the data set's names were taken from: ``var_names``, or the column of ``var`` in words.
    notes
        What was done beyond comparing names, in words.
    """

    columns: Any  # numpy array or scipy matrix
    n_query: int
    names: str = "var_names"
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> np.ndarray:
        """Whether the data set has each feature of the model, bool."""
        return present(self.columns)

    @property
    def fraction(self) -> float:
        """Share of the model's features that the data set has."""
        return float(self.present.mean())

    @property
    def is_identity(self) -> bool:
        """Whether the data set has just the model's features, in the model's order."""
        if sparse.issparse(self.columns):
            return False
        return self.n_query == len(self.columns) and bool((self.columns == np.arange(self.n_query)).all())

    def __str__(self) -> str:
        return ", ".join(self._parts())

    def _parts(self) -> list[str]:
        n_found = int(self.present.sum())
        if sparse.issparse(self.columns):
            n_used = int((np.diff(self.columns.indptr) > 0).sum())
            head = f"{n_found} of {self.columns.shape[1]} peaks found by genomic overlap ({self.fraction:.0%})"
            return [head, *self.notes, f"{self.n_query - n_used} of the query's {self.n_query} ignored"]
        if self.is_identity:
            return [f"all {len(self.columns)} features found, in the model's order", *self.notes]
        parts = [f"{n_found} of {len(self.columns)} features found ({self.fraction:.0%})", *self.notes]
        if n_found < len(self.columns):
            parts.append(f"{len(self.columns) - n_found} missing and left out of the library size")
        if self.n_query > n_found:
            parts.append(f"{self.n_query - n_found} unknown to the model ignored")
        if (np.diff(self.columns[self.present]) < 0).any():
            parts.append("reordered")
        return parts


def present(columns: Any) -> np.ndarray:
    """Whether there is a column for each feature of the model, bool; ``columns`` as in :class:`Alignment`."""
    return np.diff(columns.tocsc().indptr) > 0 if sparse.issparse(columns) else columns >= 0
