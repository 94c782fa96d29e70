"""Match one list of a data set's names to a model's, in the way of their kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from plkd.align._alignment import present
from plkd.align._constants import CASE_SHARE, COMFORT, FLOOR, MARGIN, OF_PANEL, PANEL
from plkd.align._names import as_index, by_name, ensembl_prefix, fill, folded, unversioned
from plkd.patterns import interval_columns, looks_like_peaks, overlap_map, plain_protein_name

#: No panel of antibodies is longer; to read each of many thousand genes as an antibody takes seconds.
_LONGEST_PANEL = 2000
#: Names at either end of a list that tell whether it is one of peaks.
_LOOKED_AT = 500


@dataclass(frozen=True)
class Match:
    """What one list of names gives.

    Attributes
    ----------
    columns
        As in :class:`~plkd.align.Alignment`.
    repeated
        Whether the list has the name of each feature of the model more than once, bool.
    notes
        What was done beyond comparing names, in words.
    column
        Label of the column of ``var`` that the names are from, a list of labels where several tell the intervals of peaks;
        None: they are ``var_names``.
    """

    columns: Any
    repeated: np.ndarray
    notes: tuple[str, ...] = ()
    column: Any = None

    @property
    def found(self) -> np.ndarray:
        """Whether each feature of the model was found, bool."""
        return present(self.columns)

    @property
    def fraction(self) -> float:
        """Share of the model's features whose names are there; once, or in ``var_names`` several times."""
        there = self.found | self.repeated if self.column is None else self.found
        return float(there.mean()) if len(there) else 0.0


def best_match(model: pd.Index, query: pd.Index, var: pd.DataFrame | None, kind: str) -> Match:
    """Match ``var_names`` or, where they fit badly and are no peaks, the column of ``var`` that fits clearly better."""
    own = match_names(model, query, kind)
    if own.fraction >= COMFORT or var is None or (kind == "protein" and len(query) > _LONGEST_PANEL):
        return own
    if kind != "atac" and _are_peaks(query):
        return own  # genes near peaks, or the like: what is counted are the peaks
    best = own
    others = text_columns(var)
    if kind == "atac" and not _are_peaks(query) and (intervals := interval_columns(var)) is not None:
        others.append(intervals)
    for column, names in others:
        if names.nunique() >= min(FLOOR * len(model), PANEL):
            found = replace(match_names(model, names, kind), column=column)
            best = found if found.fraction > best.fraction else best
    if best is own or not _clearly_better(best, own, query, var, kind):
        return own
    left_out = int((best.repeated & ~best.found).sum())
    note = f"names taken from {in_words(best.column)}" + (f" ({left_out} repeat there: left out)" if left_out else "")
    return replace(best, notes=(note, *best.notes))


def _clearly_better(best: Match, own: Match, query: pd.Index, var: pd.DataFrame, kind: str) -> bool:
    if is_panel(best, query, var, kind):
        # Of the panel's own names: of the model's a tenth may be more than the panel has.
        return best.found.sum() - own.found.sum() >= MARGIN * len(query)
    return best.fraction >= max(FLOOR, own.fraction + MARGIN)


def is_panel(match: Match, query: pd.Index, var: pd.DataFrame | None, kind: str) -> bool:
    """Whether a data set has few of the model's genes since few were measured: most of its own are among them.

    A column of ``var`` counts beside or with identifiers alone: antibodies often have one with their genes.
    """
    enough = match.found.sum() >= max(PANEL, OF_PANEL * len(query))
    if kind != "rna" or match.fraction >= FLOOR or not enough or _are_antibodies(var):
        return False
    if match.column is None or var is None:
        return True
    return bool(ensembl_prefix(query) or ensembl_prefix(dict(text_columns(var))[match.column]))


def _are_antibodies(var: pd.DataFrame | None) -> bool:
    """Whether 10x's column of feature types says so."""
    return (
        var is not None
        and "feature_types" in var
        and bool((var["feature_types"] == "Antibody Capture").to_numpy().all())
    )


def match_names(model: pd.Index, query: pd.Index, kind: str) -> Match:
    """Match names as they stand, then in the ways in which names of the kind may differ."""
    columns, repeated = by_name(model, query)
    match = Match(columns, repeated)
    if (columns >= 0).all():
        return match
    if kind == "atac":
        names = query.fillna("")
        is_interval = looks_like_peaks(model) and looks_like_peaks(names)
        return Match(_by_overlap(model, names, columns), repeated) if is_interval else match
    if _are_peaks(query):
        return match  # genes and proteins are not spelt so, and there may be a million of these
    if kind == "protein":
        return Match(fill(columns, _plain(model), _plain(query))[0], repeated)
    return _by_case(model, query, _by_version(model, query, match))


def _are_peaks(names: pd.Index) -> bool:
    """Whether the names at both ends are intervals."""
    return all(looks_like_peaks(end.fillna("")) for end in (names[:_LOOKED_AT], names[-_LOOKED_AT:]))


def text_columns(var: pd.DataFrame) -> list[tuple[Any, pd.Index]]:
    """Return the labels of the columns of ``var`` that hold text, and their values."""
    found = []
    for i, label in enumerate(var.columns):
        column = var.iloc[:, i]
        dtype = column.cat.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
        if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
            found.append((label, as_index(column)))
    return found


def in_words(column: Any) -> str:
    """Name a column of ``var``; None is ``var_names``."""
    return "var_names" if column is None else f"var[{column!r}]"


def _plain(names: pd.Index) -> pd.Index:
    return pd.Index([None if name is None else plain_protein_name(name) or None for name in names], dtype=object)


def _by_version(model: pd.Index, query: pd.Index, match: Match) -> Match:
    plain_model, plain_query = unversioned(model), unversioned(query)
    if plain_model.equals(model) and plain_query.equals(query):
        return match
    columns, ambiguous = fill(match.columns, plain_model, plain_query)
    n_filled, n_left_out = int((columns != match.columns).sum()), int((ambiguous & ~match.repeated).sum())
    notes = [f"{n_filled} by Ensembl identifiers without version"] if n_filled else []
    notes += [f"{n_left_out} of several versions each left out"] if n_left_out else []
    return replace(match, columns=columns, notes=(*match.notes, *notes))


def _by_case(model: pd.Index, query: pd.Index, match: Match) -> Match:
    """Match names that differ only by case, unless these are so many that the species must be another."""
    columns, _ = fill(match.columns, folded(model), folded(query))
    n_filled = int((columns != match.columns).sum())
    if not n_filled:
        return match
    if n_filled <= CASE_SHARE * match.found.sum():
        note = f"{n_filled} by names that differ only by case"
        return replace(match, columns=columns, notes=(*match.notes, note))
    note = f"{n_filled} that differ only by case not matched: too many for one species"
    return replace(match, notes=(*match.notes, note))


def _by_overlap(model: pd.Index, query: pd.Index, columns: np.ndarray) -> sparse.csr_matrix:
    """Match peaks by overlap, those that were found by name by that alone: peaks of one set may overlap each other."""
    matches = overlap_map(model, query).tocoo()
    by_name = columns[matches.col]
    kept = (by_name < 0) | (by_name == matches.row)
    return sparse.csr_matrix((matches.data[kept], (matches.row[kept], matches.col[kept])), shape=matches.shape)
