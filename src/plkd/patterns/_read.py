"""`read`: one door for everything that can be a source of patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from plkd.patterns._collections import COLLECTIONS, collection
from plkd.patterns._set import PatternSet
from plkd.patterns._state import FORMAT_KEY
from plkd.patterns._table import is_table, read_table


def read(
    source: str | Path | Mapping[str, Iterable[str]] | Mapping[str, Any] | pd.DataFrame | PatternSet,
) -> PatternSet:
    """Read patterns from whatever holds them.

    Parameters
    ----------
    source
        A path to a ``.gmt`` file, or to a ``.csv`` or ``.tsv`` table with columns ``source`` (the pattern), ``target``
        (the feature) and optionally ``weight``, gzipped (``.gz``) or not; a dict ``{pattern: feature names}``; a DataFrame
        like that table; the name of a collection of human genes, ``immune`` or one that :func:`collection` downloads; the
        dict made by :meth:`PatternSet.state <plkd.PatternSet.state>`; or a :class:`~plkd.PatternSet`, returned as it is.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    TypeError, ValueError, KeyError
        If the source is none of these.
    ImportError, OSError, RuntimeError
        If a public collection cannot be had, as :func:`collection` says.

    Examples
    --------
    >>> read({"T": ["CD3D", "CD3E"]}).names
    ('T',)
    >>> "Plasmacytoid_DC" in read("immune")
    True
    """
    if isinstance(source, PatternSet):
        return source
    if isinstance(source, pd.DataFrame):
        return PatternSet.from_frame(source)
    if isinstance(source, Mapping):
        return PatternSet.from_state(source) if FORMAT_KEY in source else PatternSet.from_dict(source)
    if isinstance(source, str | Path):
        return collection(source) if source in COLLECTIONS else _read_path(Path(source))
    msg = (
        f"patterns is a {type(source).__name__}; expected a path, a dict, a DataFrame, a PatternSet or the name of a "
        f"collection ({', '.join(COLLECTIONS)}); a matrix is read by PatternSet.from_matrix(matrix, adata.var_names)."
    )
    raise TypeError(msg)


def _read_path(path: Path) -> PatternSet:
    if not path.is_file():
        msg = (
            f"patterns={str(path)!r} is neither a file nor the name of a collection ({', '.join(map(repr, COLLECTIONS))}); "
            "check the path."
        )
        raise FileNotFoundError(msg)
    if is_table(path):
        sets = PatternSet.from_frame(read_table(path))
        return replace(sets, sources=(path.name,) * len(sets))
    if not path.name.lower().endswith((".gmt", ".gmt.gz")):
        msg = (
            f"patterns={str(path)!r} ends neither in .gmt, .csv or .tsv nor in one of these and .gz. If it is GMT, call "
            "PatternSet.from_gmt(path); another table is read by PatternSet.from_frame(pd.read_csv(path, sep=...))."
        )
        raise ValueError(msg)
    return PatternSet.from_gmt(path)
