"""Genomic intervals: peak names to arrays, and which intervals of two sets overlap."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from plkd._arguments import names_of

_NAME = re.compile(r"(.+)[:_\-](\d{1,10})[\-_:](\d{1,10})")
_COLUMNS = {
    "chrom": ("chrom", "chr", "chromosome", "seqname", "seqnames", "seqid", "chromosome_name", "contig"),
    "start": ("start", "chromstart", "txstart", "start_position"),
    "end": ("end", "stop", "chromend", "txend", "end_position"),
}
_SPAN = 1 << 34
"""Longer than any chromosome: places all chromosomes on one line, so that one search serves them all."""


def parse_peaks(peaks: Iterable[str] | pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the intervals of peaks from their names or from a table.

    Parameters
    ----------
    peaks
        Names such as ``chr1:100-200``, ``chr1-100-200``, ``chr1_100_200`` or ``1:100-200``; or a table with columns
        ``chrom``, ``start`` and ``end`` (other usual names are known, capitals do not matter), or with a column
        ``interval`` of such names.

    Returns
    -------
    Chromosomes without ``chr`` (``MT`` as ``M``), object; starts and ends in bases, int64. Intervals are taken as
    half-open, the end not included.

    Raises
    ------
    ValueError
        If names cannot be read as intervals, or an interval does not end after its start.
    KeyError
        If the table lacks such columns.

    Examples
    --------
    >>> chrom, start, end = parse_peaks(["chr1:100-200", "chrX_5_9", "MT:1-7"])
    >>> chrom.tolist(), start.tolist(), end.tolist()
    (['1', 'X', 'M'], [100, 5, 1], [200, 9, 7])
    """
    if isinstance(peaks, pd.DataFrame):
        return _intervals_of_table(peaks)
    names = [str(name) for name in names_of("peaks", peaks)]
    chrom, start, end = read_names(names)
    wrong = [names[i] for i in np.flatnonzero(end <= start)]
    if wrong:
        msg = (
            f"{len(wrong):,} of {len(names):,} peak names are not intervals, such as {', '.join(map(repr, wrong[:3]))}; expected "
            "chr1:100-200, chr1-100-200 or chr1_100_200, with the end after the start. Pass such names, or a table with "
            "columns chrom, start and end."
        )
        raise ValueError(msg)
    return chrom, start, end


def looks_like_peaks(names: Iterable[str]) -> bool:
    """Whether most of the names are intervals, such as ``chr1:100-200``.

    Examples
    --------
    >>> looks_like_peaks(["chr1:100-200", "chr1-300-400"]), looks_like_peaks(["CD3D", "HLA-A", "chr1:100-200"])
    (True, False)
    """
    _, start, end = read_names([str(name) for name in names])
    return 2 * int((end > start).sum()) > len(end)


def interval_columns(var: pd.DataFrame) -> tuple[list[str], pd.Index] | None:
    """Return the columns that tell the interval of each peak, and the intervals as names; None where there are none.

    Positions may be numbers or text; a peak that lacks one has the name None.

    Examples
    --------
    >>> var = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [200]}, index=["peak_0"])
    >>> interval_columns(var)
    (['chrom', 'start', 'end'], Index(['chr1:100-200'], dtype='object'))
    """
    var = var.loc[:, ~var.columns.duplicated()]
    columns = [column for what in _COLUMNS if (column := find_column(var, what)) is not None]
    if len(columns) == len(_COLUMNS):
        chrom, *bounds = (var[column].astype(object) for column in columns)
        start, end = (pd.to_numeric(bound, errors="coerce").to_numpy(dtype=float) for bound in bounds)
        known = np.isfinite(start) & np.isfinite(end) & ~pd.isna(chrom).to_numpy()
        parts = zip(chrom, start, end, known, strict=True)
        names = [f"{c}:{int(s)}-{int(e)}" if there else None for c, s, e, there in parts]
        if looks_like_peaks(map(str, names)):
            return columns, pd.Index(names, dtype=object)
    interval = find_column(var, "interval", ("interval",))
    if interval is None:
        return None
    names = [None if pd.isna(name) else str(name) for name in var[interval]]
    return ([interval], pd.Index(names, dtype=object)) if looks_like_peaks(map(str, names)) else None


def read_names(names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read intervals as :func:`parse_peaks` does; names that are none have start and end -1."""
    found = [_NAME.fullmatch(name.strip()) for name in names]
    chrom = np.asarray([plain_chromosome(match[1]) if match else "" for match in found], dtype=object)
    start = np.asarray([int(match[2]) if match else -1 for match in found], dtype=np.int64)
    end = np.asarray([int(match[3]) if match else -1 for match in found], dtype=np.int64)
    return chrom, start, end


def plain_chromosome(name: str) -> str:
    """Return a chromosome's name without ``chr``; the mitochondrial one is ``M``."""
    name = name.strip()
    plain = name[3:] if name[:3].lower() == "chr" else name
    plain = plain.upper() if len(plain) < 3 else plain
    return "M" if plain == "MT" else plain


def find_column(frame: pd.DataFrame, what: str, aliases: Iterable[str] = ()) -> str | None:
    """Return the column that holds ``what`` under one of its usual names, in any capitals."""
    by_lower = {str(column).lower(): column for column in reversed(list(frame.columns))}
    return next((by_lower[alias] for alias in (*aliases, *_COLUMNS.get(what, ())) if alias in by_lower), None)


def intervals_of(frame: pd.DataFrame, columns: Iterable[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read plain chromosomes, starts and ends from the named columns."""
    chrom, start, end = (frame[column] for column in columns)
    for position in (start, end):
        if not pd.api.types.is_numeric_dtype(position) or not np.isfinite(position.to_numpy(dtype=float)).all():
            msg = f"column {position.name!r} of the table holds no positions, such as {position.iloc[0]!r}; expected whole numbers of bases."
            raise ValueError(msg)
    known = {name: plain_chromosome(str(name)) for name in chrom.unique()}
    return (
        np.asarray([known[name] for name in chrom], dtype=object),
        start.to_numpy(dtype=np.int64),
        end.to_numpy(dtype=np.int64),
    )


def _intervals_of_table(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns = [find_column(frame, what) for what in ("chrom", "start", "end")]
    if None in columns:
        interval = find_column(frame, "interval", ("interval",))
        if interval is None:
            msg = (
                f"the table of peaks has columns {[str(column) for column in frame.columns]}; expected chrom, start and end. "
                "Rename them, or pass the names of the peaks: peaks=adata.var_names."
            )
            raise KeyError(msg)
        return parse_peaks(frame[interval])
    missing = frame[columns].isna().any(axis=1)
    if missing.any():
        msg = f"the table of peaks lacks a position in {int(missing.sum()):,} rows, such as {frame.index[missing][0]!r}; leave them out."
        raise ValueError(msg)
    chrom, start, end = intervals_of(frame, [column for column in columns if column is not None])
    wrong = np.flatnonzero((end <= start) | (start < 0))
    if wrong.size:
        first = wrong[0]
        msg = (
            f"{wrong.size:,} of {len(frame):,} peaks do not end after their start, such as {frame.index[first]!r}: "
            f"{chrom[first]}:{start[first]}-{end[first]}; expected half-open intervals in bases."
        )
        raise ValueError(msg)
    return chrom, start, end


def overlapping_pairs(
    one: tuple[np.ndarray, np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Find all pairs of half-open intervals of two sets that share a base.

    Parameters
    ----------
    one, other
        Chromosomes, starts and ends of each set, in any order; starts not negative.

    Returns
    -------
    Row numbers in ``one`` and in ``other``, one entry per pair. Time and memory grow with the sets and the pairs.
    """
    codes = pd.factorize(np.concatenate([one[0], other[0]]))[0].astype(np.int64) * _SPAN
    starts_a, ends_a = (codes[: len(one[0])] + position for position in one[1:])
    starts_b, ends_b = (codes[len(one[0]) :] + position for position in other[1:])
    # Two intervals overlap where one of them starts inside the other; ties are counted on one side only.
    a_first, b_first = _starting_inside(starts_a, ends_a, starts_b, side="left")
    b_second, a_second = _starting_inside(starts_b, ends_b, starts_a, side="right")
    return np.concatenate([a_first, a_second]), np.concatenate([b_first, b_second])


def _starting_inside(
    starts: np.ndarray, ends: np.ndarray, points: np.ndarray, *, side: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pair each interval with the points in it; a point at its start counts with ``side="left"`` only."""
    order = np.argsort(points, kind="stable")
    first = np.searchsorted(points[order], starts, side=side)  # type: ignore[call-overload]
    count = np.maximum(np.searchsorted(points[order], ends, side="left") - first, 0)
    rows = np.repeat(np.arange(starts.size), count)
    within = np.arange(rows.size) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first, count) + within]
