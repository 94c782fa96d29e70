"""`read`: one door for everything that can be a source of patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from plkd.patterns._immune import immune
from plkd.patterns._set import PatternSet
from plkd.patterns._state import FORMAT_KEY


def read(
    source: str | Path | Mapping[str, Iterable[str]] | Mapping[str, Any] | pd.DataFrame | PatternSet,
) -> PatternSet:
    """Read patterns from whatever holds them.

    Parameters
    ----------
    source
        A path to a ``.gmt`` or ``.gmt.gz`` file; a dict ``{pattern: feature names}``; a DataFrame with columns
        ``source``, ``target`` and optionally ``weight``; the word ``immune`` for the bundled collection; the dict made
        by :meth:`PatternSet.state`; or a :class:`PatternSet`, returned as it is.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    TypeError, ValueError
        If the source is none of these.

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
        return immune() if source == "immune" else _read_path(Path(source))
    msg = (
        f"patterns is a {type(source).__name__}; expected a GMT path, a dict, a DataFrame, a PatternSet or 'immune'; "
        "a matrix is read by PatternSet.from_matrix(matrix, adata.var_names)."
    )
    raise TypeError(msg)


def _read_path(path: Path) -> PatternSet:
    if not path.is_file():
        msg = (
            f"patterns={str(path)!r} is neither a file nor the name of a bundled collection ('immune'); check the path."
        )
        raise FileNotFoundError(msg)
    if not path.name.lower().endswith((".gmt", ".gmt.gz")):
        msg = (
            f"patterns={str(path)!r} does not end in .gmt or .gmt.gz. If it is GMT, call PatternSet.from_gmt(path); "
            "a table is read by PatternSet.from_frame(pd.read_csv(path))."
        )
        raise ValueError(msg)
    return PatternSet.from_gmt(path)
