"""Join pattern sets: curated with learned ones, or one per kind of feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from plkd.patterns._coverage import CoverageReport, dropped_frame, kept_frame
from plkd.patterns._filter import match
from plkd.patterns._kinds import check_kind
from plkd.patterns._set import PatternSet


def concat(*sets: PatternSet, **by_kind: PatternSet) -> PatternSet:
    """Join pattern sets into one, in the order given.

    Parameters
    ----------
    *sets
        Sets whose kinds are kept.
    **by_kind
        Sets by kind, ``rna=..., protein=..., atac=...``; all their patterns get that kind.

    Returns
    -------
    All patterns over the union of the features, in the order first met: unchanged where the sets share theirs. A
    feature name means a feature of the pattern's own kind, so a gene and a protein may share a row. A name used twice
    gets its kind, or a number, appended. Reports are joined where there are any.

    Raises
    ------
    TypeError
        If something else than a PatternSet is given.
    ValueError
        If nothing is given, or a kind is unknown.

    Examples
    --------
    >>> one = PatternSet.from_dict({"T": ["CD3D", "CD3E"]})
    >>> joined = concat(rna=one, protein=PatternSet.from_dict({"T": ["CD3E"]}))
    >>> joined.names, joined.kinds, joined.features
    (('T', 'T (protein)'), ('rna', 'protein'), ('CD3D', 'CD3E'))
    """
    for one in (*sets, *by_kind.values()):
        if not isinstance(one, PatternSet):
            msg = f"concat joins PatternSet objects, found a {type(one).__name__}; read it first: plkd.patterns.read(...)."
            raise TypeError(msg)
    by_kind = {check_kind(kind): one for kind, one in by_kind.items()}
    parts = [*sets, *(replace(one, kinds=(kind,) * len(one)) for kind, one in by_kind.items())]
    if not parts:
        msg = "concat needs at least one PatternSet, such as concat(curated, learned) or concat(rna=..., protein=...)."
        raise ValueError(msg)
    features = tuple(dict.fromkeys(feature for part in parts for feature in part.features))
    membership = sparse.csc_matrix(
        sparse.hstack([match(part.features, features)[0] @ part.membership for part in parts], dtype=np.float32)
    )
    kinds = tuple(kind for part in parts for kind in part.kinds)
    joined = PatternSet(
        names=_unique([name for part in parts for name in part.names], kinds),
        features=features,
        membership=membership,
        sources=tuple(source for part in parts for source in part.sources),
        kinds=kinds,
    )
    return replace(joined, report=_joined_report(parts, joined))


def _unique(names: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    """Append the kind, then a number, to names that are already taken; names used once stay as they are."""
    given, taken = set(names), set()
    result = []
    for name, kind in zip(names, kinds, strict=True):
        unique, number = name, 1
        if name in taken:
            unique = f"{name} ({kind})"
            while unique in taken or unique in given:
                number += 1
                unique = f"{name} ({kind} {number})"
        taken.add(unique)
        result.append(unique)
    return tuple(result)


def _joined_report(parts: Sequence[PatternSet], joined: PatternSet) -> CoverageReport | None:
    reports = [part.report for part in parts]
    if all(report is None for report in reports):
        return None
    n_in_set = [part.sizes if part.report is None else part.report.kept["n_in_set"] for part in parts]
    n_found = [part.sizes if part.report is None else part.report.kept["n_found"] for part in parts]
    dropped = [report.dropped for report in reports if report is not None and len(report.dropped)]
    return CoverageReport(
        n_features=joined.n_features,
        uncovered=tuple(np.asarray(joined.features, dtype=object)[~joined.covered]),
        kept=kept_frame(list(joined.names), np.concatenate(n_in_set), np.concatenate(n_found), list(joined.sources)),
        dropped=pd.concat(dropped, ignore_index=True) if dropped else dropped_frame([], [], [], []),
    )
