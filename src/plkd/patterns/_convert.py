"""Plain containers (GMT text, mappings, long frames, matrices) to names, features and a sparse membership."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from plkd._arguments import array_of, check_type
from plkd._files import replace_when_written
from plkd.patterns._kinds import KINDS

logger = logging.getLogger("plkd")

Members = dict[str, dict[str, float]]
"""Pattern name to (feature name to weight); both in the order in which they were met."""


def members_from_gmt(path: Path) -> tuple[Members, list[str]]:
    """Read a GMT file, gzipped or not: per line a name, a free text and the features, separated by tabs.

    Returns
    -------
    The members, and per pattern the free text of the second column (empty where it says nothing).
    """
    text = _text_of(path)
    members: Members = {}
    texts: dict[str, str] = {}
    with StringIO(text, newline=None) as lines:
        for number, line in enumerate(lines, start=1):
            fields = [field.strip() for field in line.rstrip("\n").split("\t")]
            if fields == [""]:
                continue
            name = fields[0]
            if len(fields) < 3 or not name:
                msg = (
                    f"{path.name}, line {number}: expected 'name<TAB>source<TAB>feature<TAB>...', found {line[:60]!r}. "
                    "A table of source and target columns is read by PatternSet.from_frame(pd.read_csv(path))."
                )
                raise ValueError(msg)
            if name in members:
                msg = (
                    f"{path.name}, line {number}: pattern {name!r} occurs a second time; rename or remove one of them."
                )
                raise ValueError(msg)
            members[name] = {feature: 1.0 for feature in fields[2:] if feature}
            texts[name] = "" if fields[1].lower() == "na" else fields[1]
    members = without_empty(members, path.name)
    return members, [texts[name] for name in members]


def members_from_mapping(mapping: Mapping[str, Iterable[str]]) -> Members:
    """Read ``{pattern: features}``; repeated features collapse."""
    check_type("mapping", mapping, Mapping, "a dict {pattern: feature names}")
    members: Members = {}
    for key, features in mapping.items():
        if isinstance(features, str) or not isinstance(features, Iterable):
            msg = (
                f"pattern {key!r}: expected a list of feature names, found {features!r}. "
                f"Write {{{key!r}: ['CD3D', 'CD3E']}}."
            )
            raise TypeError(msg)
        name = str(key).strip()
        if name in members:
            msg = f"pattern {name!r} occurs twice once blanks around names are removed; rename one of them."
            raise ValueError(msg)
        members[name] = {feature: 1.0 for feature in (str(feature).strip() for feature in features) if feature}
    return without_empty(members, "the mapping")


def members_from_frame(frame: pd.DataFrame, source_col: str, target_col: str, weight_col: str | None) -> Members:
    """Read a long table, one row per pattern and feature; equal rows collapse, weights of 0 mean no membership."""
    check_type("df", frame, pd.DataFrame, "a DataFrame with a row per pattern and feature")
    columns = [str(column) for column in frame.columns]
    for argument, column in (("source_col", source_col), ("target_col", target_col), ("weight_col", weight_col)):
        if not isinstance(column, str | None):
            check_type(argument, column, str, f"one of the columns {columns}")
        if columns.count(str(column)) > 1:
            raise ValueError(
                f"{argument}={column!r} names {columns.count(str(column))} columns; expected one. Fix: rename them."
            )
    # "weight" is the default and decoupler's name: absent means unweighted. Any other name was typed by the caller.
    optional = weight_col in (None, "weight")
    for argument, column in (("source_col", source_col), ("target_col", target_col), ("weight_col", weight_col)):
        if column not in columns and not (argument == "weight_col" and optional):
            msg = (
                f"{argument}={column!r} is not a column of the frame; its columns are {columns}. Pass {argument}=<one>."
            )
            raise KeyError(msg)
    if frame[[source_col, target_col]].isna().to_numpy().any():
        msg = (
            f"columns {source_col!r} and {target_col!r} hold missing values; "
            f"remove them with df.dropna(subset=[{source_col!r}, {target_col!r}])."
        )
        raise ValueError(msg)
    weighted = weight_col is not None and weight_col in columns
    if weighted and not pd.api.types.is_numeric_dtype(frame[weight_col]):
        raise ValueError(
            f"column {weight_col!r} holds {frame[weight_col].dtype}; expected numbers. Fix: pass weight_col=None."
        )
    weights = frame[weight_col].to_numpy(dtype=np.float32) if weighted else np.ones(len(frame), dtype=np.float32)
    if not np.isfinite(weights).all():
        msg = f"column {weight_col!r} holds weights that are not finite; remove them with df.dropna(subset=[{weight_col!r}])."
        raise ValueError(msg)
    members: Members = {}
    for key, target, weight in zip(frame[source_col], frame[target_col], weights.tolist(), strict=True):
        name, feature = str(key).strip(), str(target).strip()
        known = members.setdefault(name, {}).setdefault(feature, weight)
        if known != weight:
            msg = (
                f"pattern {name!r} names feature {feature!r} with two weights, {known} and {weight}; keep one with "
                f"df.drop_duplicates([{source_col!r}, {target_col!r}])."
            )
            raise ValueError(msg)
    members = {name: {f: w for f, w in row.items() if w != 0 and f} for name, row in members.items()}
    return without_empty(members, "the frame")


def kinds_from_frame(frame: pd.DataFrame, source_col: str, kind_col: str | None) -> dict[str, str]:
    """Read the kind of each pattern of a long table; empty where there is no such column, missing entries are left out."""
    if kind_col is not None:
        check_type("kind_col", kind_col, str, "the name of a column, or None")
    if kind_col is None or (kind_col == "kind" and kind_col not in frame.columns):
        return {}
    if kind_col not in frame.columns:
        columns = [str(column) for column in frame.columns]
        msg = f"kind_col={kind_col!r} is not a column of the frame; its columns are {columns}. Pass kind_col=<one>."
        raise KeyError(msg)
    kinds: dict[str, str] = {}
    pairs = frame[[source_col, kind_col]].dropna().drop_duplicates()
    for key, value in zip(pairs[source_col], pairs[kind_col], strict=True):
        name, kind = str(key).strip(), str(value)
        if kind not in KINDS:
            msg = (
                f"column {kind_col!r} holds {kind!r}, which is not a kind of features ({', '.join(KINDS)}); "
                "pass kind_col=None to read the frame without it."
            )
            raise ValueError(msg)
        if kinds.setdefault(name, kind) != kind:
            msg = f"pattern {name!r} has two kinds, {kinds[name]} and {kind}; give each kind a pattern of its own name."
            raise ValueError(msg)
    return kinds


def membership_of(members: Members) -> tuple[list[str], sparse.csc_matrix]:
    """Index the members: features in the order met, and their sparse membership, features x patterns."""
    rows: dict[str, int] = {}
    indices: list[int] = []
    weights: list[float] = []
    indptr = [0]
    for features in members.values():
        for feature, weight in features.items():
            indices.append(rows.setdefault(feature, len(rows)))
            weights.append(weight)
        indptr.append(len(indices))
    shape = (len(rows), len(members))
    return list(rows), sparse.csc_matrix((np.asarray(weights, dtype=np.float32), indices, indptr), shape=shape)


def sparse_membership(matrix: Any, n_features: int) -> sparse.csc_matrix:
    """Turn a boolean or weighted features x patterns matrix, dense or sparse, into CSC."""
    values = array_of("matrix", matrix.to_numpy() if isinstance(matrix, pd.DataFrame) else matrix)
    if values.shape[0] != n_features:
        hint = " It looks transposed: pass matrix.T." if values.shape[1] == n_features else ""
        msg = f"the matrix has {values.shape[0]} rows, but there are {n_features} features, one per row. Pass one name for each.{hint}"
        raise ValueError(msg)
    return sparse.csc_matrix(values, dtype=np.float32, copy=True)


def without_empty(members: Members, origin: str) -> Members:
    """Leave out patterns without a feature, and say so; refuse when nothing is left."""
    full = {name: features for name, features in members.items() if features}
    empty = [name for name in members if name not in full]
    if empty:
        logger.warning("%s: %d pattern(s) without a feature left out: %s", origin, len(empty), ", ".join(empty[:5]))
    if not full:
        msg = f"{origin} holds no pattern with a feature; expected at least one, such as {{'T': ['CD3D', 'CD3E']}}."
        raise ValueError(msg)
    return full


def write_gmt(path: Path, members: Mapping[str, Iterable[str]], texts: Iterable[str]) -> None:
    """Write one tab-separated line per pattern; gzipped where the name ends in ``.gz``."""
    lines = [[name, text, *members[name]] for name, text in zip(members, texts, strict=True)]
    for fields in lines:
        for field in fields:
            if any(mark in field for mark in "\t\r\n"):
                msg = f"{field!r} of pattern {fields[0]!r} holds a tab or a line break, which GMT cannot carry; rename it."
                raise ValueError(msg)
    text = "".join("\t".join(fields) + "\n" for fields in lines)
    if any(not fields[0] for fields in lines) or text.startswith("\ufeff"):
        raise ValueError(
            "a pattern has an empty name, or the first one starts with a byte order mark, which GMT cannot carry; rename it."
        )
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a name holds {error.object[error.start]!r}, which no text file can carry; rename it."
        ) from None
    with replace_when_written(path) as temporary:
        temporary.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _text_of(path: Path) -> str:
    """Read a text file, gzipped or not.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, or no text.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"No such file: {path}; expected a GMT file.") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read as text ({error}); expected a GMT file in UTF-8, gzipped or not."
        ) from error
