"""Find each feature of a model in a data set, or refuse it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plkd.align._alignment import Alignment
from plkd.align._constants import FLOOR
from plkd.align._match import best_match, in_words, is_panel
from plkd.align._names import as_index
from plkd.align._refusal import recognised, too_few


def align_features(
    model: Sequence[str] | np.ndarray,
    query: Sequence[str] | np.ndarray | pd.Index,
    *,
    kind: str = "rna",
    var: pd.DataFrame | None = None,
    cells: Sequence[str] | pd.Index = (),
    floor: float | None = None,
    called: str = "the query",
) -> Alignment:
    """Find each feature of a model in a data set.

    Features are matched by name. Genes that are not found so are matched once more without the version of Ensembl
    identifiers, and without case where such names are few; proteins without the suffixes and marks of antibody panels
    (``CD3_TotalSeqB`` is ``CD3``); peaks by genomic overlap. Where fewer than 70 % of the features are found, the column
    of ``var`` that finds most is used instead, if it finds at least 10 % more of them.

    Parameters
    ----------
    model
        Names of the model's features, unique, in the model's order.
    query
        Names of the data set's features, e.g. ``adata.var_names``.
    kind
        Kind of the features: ``"rna"``, ``"protein"`` or ``"atac"``.
    var
        Table with other names of the data set's features in its columns of text; None: there are no others.
    cells
        Names of the data set's cells, by which a transposed matrix is recognised.
    floor
        Least share of the model's features that the data set must have. None: a fifth, of which a targeted panel may have less if it
        has 100 of the model's genes and these are two thirds of its own.
    called
        What messages call the data set.

    Returns
    -------
    The index map; ``str()`` of it is one line saying what was found.

    Raises
    ------
    ValueError
        If features that the model uses occur twice among the names, or if fewer than ``floor`` of the model's features
        are found; the message says what the names look like on both sides, and what to do.

    Examples
    --------
    >>> align_features(["CD3D", "MS4A1"], ["MS4A1", "LYZ", "CD3D"]).columns
    array([2, 0])
    >>> var = pd.DataFrame({"name": ["MS4A1", "CD3D"]}, index=["ENSG00000156738.19", "ENSG00000167286"])
    >>> print(align_features(["CD3D", "MS4A1"], var.index, var=var))
    2 of 2 features found (100%), names taken from var['name'], reordered
    """
    model_names, query_names = as_index(model), as_index(query)
    match = best_match(model_names, query_names, var, kind)
    if match.column is None and match.repeated.any():
        raise ValueError(_repeated(model_names[match.repeated]))
    notes = match.notes
    few = is_panel(match, query_names, var, kind)
    if few:
        notes = (*notes, "taken for a targeted panel (if more genes were measured, pass them all)")
    alignment = Alignment(match.columns, len(query_names), in_words(match.column), notes)
    least = FLOOR if floor is None else floor
    if alignment.fraction < least and not (few and floor is None):
        raise ValueError(
            too_few(
                model_names,
                query_names,
                int(match.found.sum()),
                kind=kind,
                var=var,
                cells=as_index(cells),
                floor=least,
                called=called,
            )
        )
    return alignment


def likeness(
    model: Sequence[str] | np.ndarray,
    query: Sequence[str] | pd.Index,
    *,
    kind: str,
    var: pd.DataFrame | None = None,
) -> tuple[float, float]:
    """Return the share of a model's features that a data set has, and the share that both have of those of either.

    Names that repeat count as one. The second tells kinds apart: proteins named as their genes are all found among the genes of an RNA data set, but they
    are few of them.
    """
    model_names, query_names = as_index(model), as_index(query)
    match = best_match(model_names, query_names, var, kind)
    n_found = match.fraction * len(model_names)
    return match.fraction, n_found / max(len(model_names) + query_names.nunique() - n_found, 1)


def slip(
    model: Sequence[str] | np.ndarray,
    query: Sequence[str] | pd.Index,
    *,
    kind: str,
    var: pd.DataFrame | None = None,
    cells: Sequence[str] | pd.Index = (),
) -> bool:
    """Whether a data set has too few of a model's features for a reason that can be told: it is to be refused for that."""
    model_names, query_names = as_index(model), as_index(query)
    match = best_match(model_names, query_names, var, kind)
    if match.fraction >= FLOOR or is_panel(match, query_names, var, kind):
        return False
    n_found = int(match.found.sum())
    return recognised(model_names, query_names, n_found, kind=kind, var=var, cells=as_index(cells)) is not None


def holds_panel(
    model: Sequence[str] | np.ndarray, query: Sequence[str] | pd.Index, *, kind: str, var: pd.DataFrame | None = None
) -> bool:
    """Whether :func:`align_features` takes a data set for a targeted panel."""
    model_names, query_names = as_index(model), as_index(query)
    return is_panel(best_match(model_names, query_names, var, kind), query_names, var, kind)


def _repeated(names: pd.Index) -> str:
    return (
        f"{len(names)} feature names that the model uses occur more than once in the query, e.g. {list(names[:3])}; "
        "expected unique names. Fix: `adata.var_names_make_unique()`, or keep one column of each."
    )
