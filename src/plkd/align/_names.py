"""Names compared as they stand, and by keys that several spellings share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

_ENSEMBL = re.compile(r"(ENS[A-Z]*G)\d{6,}(\.\d+)?(_PAR_Y)?")
_VERSIONED = re.compile(r"(ENS[A-Z]*G\d{6,})\.\d+((?:_PAR_Y)?)")


def as_index(names: Iterable[object]) -> pd.Index:
    """Return names as text in an object index; missing ones as None."""
    values = np.asarray(names, dtype=object)
    if pd.api.types.infer_dtype(values, skipna=False) != "string":
        gone = pd.isna(values)
        values = np.array([None if no else str(name) for name, no in zip(values, gone, strict=True)], dtype=object)
    return pd.Index(values, dtype=object)


def by_name(model: pd.Index, query: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Return the query's column of each feature of the model, ``-1`` where it has none, and which it has repeatedly."""
    return _places(model, query), np.asarray(model.isin(query[query.duplicated() & query.notna()]), dtype=bool)


def fill(columns: np.ndarray, model_keys: pd.Index, query_keys: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Find features that were not found yet by keys, each of which stands for one feature on either side.

    Parameters
    ----------
    columns
        Of :func:`by_name`.
    model_keys, query_keys
        One key per feature of the model and of the query; None never matches.

    Returns
    -------
    The columns, filled in, and which of the features still without one have their key in several columns.
    """
    found, repeated = by_name(model_keys, query_keys)
    is_free = (columns < 0) & ~model_keys.duplicated(keep=False) & ~np.isin(found, columns[columns >= 0])
    return np.where(is_free, found, columns), (columns < 0) & repeated


def unversioned(names: pd.Index) -> pd.Index:
    """Return the names, Ensembl identifiers without their version; those of the Y chromosome's copies stay apart."""
    return _mapped(names, lambda name: _cut(name) if name.startswith("ENS") else name)


def folded(names: pd.Index) -> pd.Index:
    """Return the names without case."""
    return _mapped(names, str.casefold)


def ensembl_prefix(names: pd.Index) -> str | None:
    """Return the prefix of the species (``ENSG``, ``ENSMUSG``) where most names are Ensembl genes, otherwise None."""
    sample = [str(name) for name in names[:2000]]
    hits = [match for match in map(_ENSEMBL.fullmatch, sample) if match]
    return hits[0].group(1) if 2 * len(hits) > len(sample) else None


def n_shared(first: pd.Index, second: pd.Index) -> int:
    """Return the number of distinct names that both have."""
    return len(set(first.dropna()) & set(second.dropna()))


def examples(names: pd.Index) -> str:
    """Return the first names, for messages."""
    return ", ".join(repr(str(name)) for name in names[:3])


def _places(model: pd.Index, query: pd.Index) -> np.ndarray:
    once = np.flatnonzero(~query.duplicated(keep=False) & query.notna())
    found = query[once].get_indexer(model)
    # The last place is that of names that were not found.
    return np.append(once, -1)[found].astype(np.int64)


def _cut(name: str) -> str:
    match = _VERSIONED.fullmatch(name)
    return match.group(1) + match.group(2) if match else name


def _mapped(names: pd.Index, function: Callable[[str], str]) -> pd.Index:
    return pd.Index([None if name is None else function(name) for name in names], dtype=object)
