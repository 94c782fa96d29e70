"""Match the features of a data set to those of a model: names in, index map and one line of report out.

Every public entry (predict, annotate, latent, attention, Annotator, command line) goes through :func:`align_features`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from plkd.patterns import looks_like_peaks, overlap_map, plain_protein_name

#: Below this share of the model's features a query is refused.
FLOOR = 0.2
#: Below this share the user is warned that labels may suffer.
COMFORT = 0.7

_ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}(\.\d+)?$")


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
    """

    columns: Any  # numpy array or scipy matrix
    n_query: int

    @property
    def present(self) -> np.ndarray:
        """Whether the data set has each feature of the model, bool."""
        if sparse.issparse(self.columns):
            return np.diff(self.columns.tocsc().indptr) > 0
        return self.columns >= 0

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
        if sparse.issparse(self.columns):
            n_used = int((np.diff(self.columns.indptr) > 0).sum())
            return (
                f"{int(self.present.sum())} of {self.columns.shape[1]} peaks found by genomic overlap "
                f"({self.fraction:.0%}), {self.n_query - n_used} of the query's {self.n_query} ignored"
            )
        if self.is_identity:
            return f"all {len(self.columns)} features found, in the model's order"
        n_found = int(self.present.sum())
        found = self.columns[self.present]
        parts = [f"{n_found} of {len(self.columns)} features found ({self.fraction:.0%})"]
        if n_found < len(self.columns):
            parts.append(f"{len(self.columns) - n_found} missing and left out of the library size")
        if self.n_query > n_found:
            parts.append(f"{self.n_query - n_found} unknown to the model ignored")
        if (np.diff(found) < 0).any():
            parts.append("reordered")
        return ", ".join(parts)


def align_features(
    model: Sequence[str] | np.ndarray,
    query: Sequence[str] | np.ndarray | pd.Index,
    *,
    kind: str = "rna",
    floor: float = FLOOR,
    called: str = "the query",
) -> Alignment:
    """Find each feature of a model in a data set.

    Features are matched by name. Proteins that are not found so are matched once more without the suffixes and marks of
    antibody panels (``CD3_TotalSeqB`` is ``CD3``); peaks that are not found so by genomic overlap.

    Parameters
    ----------
    model
        Names of the model's features, unique, in the model's order.
    query
        Names of the data set's features, e.g. ``adata.var_names``.
    kind
        Kind of the features: ``"rna"``, ``"protein"`` or ``"atac"``.
    floor
        Least share of the model's features that the data set must have.
    called
        What messages call the data set.

    Returns
    -------
    The index map; ``str()`` of it is one line saying what was found.

    Raises
    ------
    ValueError
        If features that the model uses occur twice in the data set, or if fewer than ``floor`` of the model's features
        are found; the message says what the names look like on both sides.

    Examples
    --------
    >>> align_features(["CD3D", "MS4A1"], ["MS4A1", "LYZ", "CD3D"]).columns
    array([2, 0])
    """
    model_index, query_index = _index(model), _index(query)
    alignment = Alignment(_columns(model_index, query_index, kind), len(query_index))
    if alignment.fraction < floor:
        raise ValueError(_too_few(model_index, query_index, alignment, floor, kind, called))
    return alignment


def likeness(model: Sequence[str] | np.ndarray, query: Sequence[str] | pd.Index, *, kind: str) -> tuple[float, float]:
    """Return the share of a model's features that a data set has, and the share that both have of those of either.

    The second tells kinds apart: proteins named as their genes are all found among the genes of an RNA data set, but they
    are few of them.
    """
    model_index, query_index = _index(model), _index(query).unique()
    alignment = Alignment(_columns(model_index, query_index, kind), len(query_index))
    n_found = int(alignment.present.sum())
    return alignment.fraction, n_found / max(len(model_index) + len(query_index) - n_found, 1)


def _index(names: Sequence[str] | np.ndarray | pd.Index) -> pd.Index:
    return pd.Index(np.asarray(names, dtype=object))


def _columns(model: pd.Index, query: pd.Index, kind: str) -> np.ndarray | sparse.csr_matrix:
    columns = _by_name(model, query)
    if kind == "protein" and (columns < 0).any():
        return _by_protein(model, query, columns)
    if kind == "atac" and (columns < 0).any() and looks_like_peaks(model) and looks_like_peaks(query):
        return _by_overlap(model, query, columns)
    return columns


def _by_name(model: pd.Index, query: pd.Index) -> np.ndarray:
    if query.is_unique:
        return query.get_indexer(model).astype(np.int64)
    repeated = query[query.duplicated()].unique()
    clash = [str(name) for name in repeated if name in model]
    if clash:
        raise ValueError(
            f"{len(clash)} feature names that the model uses occur more than once in the query, e.g. {clash[:3]}; "
            "expected unique names. Fix: `adata.var_names_make_unique()`, or keep one column of each."
        )
    # Repeated names that the model does not know cannot be confused with anything.
    positions = pd.Series(np.arange(len(query)), index=query)
    positions = positions[~positions.index.duplicated()]
    return positions.reindex(model).fillna(-1).to_numpy(dtype=np.int64)


def _by_overlap(model: pd.Index, query: pd.Index, columns: np.ndarray) -> sparse.csr_matrix:
    """Match peaks by overlap, those that were found by name by that alone: peaks of one set may overlap each other."""
    matches = overlap_map(model, query).tocoo()
    by_name = columns[matches.col]
    kept = (by_name < 0) | (by_name == matches.row)
    return sparse.csr_matrix((matches.data[kept], (matches.row[kept], matches.col[kept])), shape=matches.shape)


def _by_protein(model: pd.Index, query: pd.Index, columns: np.ndarray) -> np.ndarray:
    """Fill in proteins whose plain names meet, each way once."""
    plain_model, plain_query = (pd.Index([plain_protein_name(name) for name in names]) for names in (model, query))
    taken = set(columns[columns >= 0])
    free = {
        name: i
        for i, name in enumerate(plain_query)
        if i not in taken and name and not plain_query.duplicated(keep=False)[i]
    }
    unique = ~plain_model.duplicated(keep=False)
    filled = columns.copy()
    for i in np.flatnonzero((columns < 0) & unique):
        filled[i] = free.get(plain_model[i], -1)
    return filled


def _too_few(model: pd.Index, query: pd.Index, alignment: Alignment, floor: float, kind: str, called: str) -> str:
    """Explain why so few features were found, and how to mend it."""
    n_found = int(alignment.present.sum())
    found = (
        f"Only {n_found} of the model's {len(model)} features are in {called} ({alignment.fraction:.0%}); "
        f"expected at least {floor:.0%}. Model: {_examples(model)}; query: {_examples(query)}. "
    )
    if kind == "atac":
        return found + (
            "Fix: pass peaks of the same species and genome build as the reference (lift them over if the builds differ), "
            "named chrom:start-end; or count fragments in the reference's peaks."
        )
    if kind == "protein":
        return found + "Fix: pass a panel that shares more proteins with the reference's, or rename them alike."
    model_ids, query_ids = _share_ensembl(model), _share_ensembl(query)
    if model_ids > 0.5 > query_ids:
        return found + (
            "The model uses Ensembl identifiers, the query symbols. "
            'Fix: set the index to the identifiers, e.g. `query.var_names = query.var["gene_ids"]`.'
        )
    if query_ids > 0.5 > model_ids:
        return found + (
            "The query uses Ensembl identifiers, the model symbols. "
            'Fix: set the index to the symbols, e.g. `query.var_names = query.var["gene_symbols"].astype(str)`.'
        )
    if model_ids > 0.5 and query_ids > 0.5 and _n_shared(_unversioned(model), _unversioned(query)) > n_found:
        return found + (
            'Version suffixes differ. Fix: `query.var_names = query.var_names.str.replace(r"\\.\\d+$", "", regex=True)` '
            "on both sides."
        )
    if _n_shared(model.str.upper(), query.str.upper()) > max(2 * n_found, 0.1 * len(model)):
        return found + (
            "The names differ only by case, as human (CD3D) and mouse (Cd3d) symbols do. Fix: use a reference of the "
            "same species, or map orthologues first."
        )
    return found + "Fix: pass data of the same species and identifiers as the reference; is the matrix transposed?"


def _examples(names: pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names[:3])


def _share_ensembl(names: pd.Index) -> float:
    sample = [str(name) for name in names[:2000]]
    return float(np.mean([bool(_ENSEMBL.match(name)) for name in sample])) if sample else 0.0


def _unversioned(names: pd.Index) -> pd.Index:
    return names.astype(str).str.replace(r"\.\d+$", "", regex=True)


def _n_shared(first: pd.Index, second: pd.Index) -> int:
    return len(set(first) & set(second))
