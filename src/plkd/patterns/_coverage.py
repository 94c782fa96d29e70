"""What a set of patterns covers of a data set's features, and what was dropped on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse


@dataclass(frozen=True, eq=False)
class CoverageReport:
    """Say which features lie in a pattern, which patterns were kept, and which were dropped and why.

    Made by :meth:`PatternSet.for_features <plkd.PatternSet.for_features>` and stored as its ``report``.

    Parameters
    ----------
    n_features
        Number of features of the data.
    uncovered
        Names of the features that lie in no kept pattern, in the order of the data.
    kept
        One row per kept pattern: ``pattern``, ``n_in_set`` (features of the set as it was given), ``n_found``
        (those of them found in the data), ``source``.
    dropped
        One row per dropped pattern: ``pattern``, ``n_in_set``, ``n_found``, ``reason``.

    Examples
    --------
    >>> from plkd.patterns import PatternSet
    >>> sets = PatternSet.from_dict({"T": ["CD3D", "CD3E", "CD2"], "B": ["MS4A1", "CD79A"]})
    >>> report = sets.for_features(["CD3E", "CD2", "LYZ"], min_size=2).report
    >>> report.n_covered, report.uncovered
    (2, ('LYZ',))
    >>> print(report)
    2 of 3 features (66.7 %) lie in 1 pattern; 1 of 2 sets dropped (1 too small). In no pattern: LYZ.
    """

    n_features: int
    uncovered: tuple[str, ...]
    kept: pd.DataFrame
    dropped: pd.DataFrame

    @property
    def n_covered(self) -> int:
        """Number of features that lie in at least one kept pattern."""
        return self.n_features - len(self.uncovered)

    @property
    def fraction(self) -> float:
        """Share of the data's features that lie in at least one kept pattern, 0 to 1."""
        return self.n_covered / self.n_features if self.n_features else 0.0

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pattern, kept ones first.

        Returns
        -------
        Columns ``pattern``, ``n_in_set``, ``n_found``, ``kept`` (bool) and ``reason`` (empty where kept).

        Examples
        --------
        >>> patterns = plkd.patterns.read({"T": ["CD3D", "CD3E", "CD3G"]}).for_features(["CD3E", "CD3D"], min_size=1)
        >>> patterns.report.to_frame()["n_found"].tolist()
        [2]
        """
        columns = ["pattern", "n_in_set", "n_found", "kept", "reason"]
        kept = self.kept.assign(kept=True, reason="")[columns]
        dropped = self.dropped.assign(kept=False)[columns]
        return pd.concat([frame for frame in (kept, dropped) if len(frame)] or [kept], ignore_index=True)

    def __str__(self) -> str:
        n_kept, n_dropped = len(self.kept), len(self.dropped)
        text = (
            f"{self.n_covered:,} of {self.n_features:,} features ({100 * self.fraction:.1f} %) lie in "
            f"{n_kept:,} pattern{'' if n_kept == 1 else 's'}"
        )
        if n_dropped:
            causes = Counter(reason.split(":")[0] for reason in self.dropped["reason"])
            listed = ", ".join(f"{count:,} {cause}" for cause, count in causes.most_common())
            text += f"; {n_dropped:,} of {n_kept + n_dropped:,} sets dropped ({listed})"
        text += "."
        if self.uncovered:
            more = len(self.uncovered) - 3
            text += f" In no pattern: {', '.join(self.uncovered[:3])}{f' and {more:,} more' if more > 0 else ''}."
        return text


def covered_rows(membership: sparse.csc_matrix) -> np.ndarray:
    """Whether each feature lies in a pattern, bool of shape ``(n_features,)``."""
    covered = np.zeros(membership.shape[0], dtype=bool)
    covered[membership.indices] = True
    return covered


def uncovered_names(features: tuple[str, ...], membership: sparse.csc_matrix) -> tuple[str, ...]:
    """Names of the features that lie in no pattern."""
    return tuple(features[row] for row in np.flatnonzero(~covered_rows(membership)))


def kept_frame(patterns: list[str], n_in_set: ArrayLike, n_found: ArrayLike, sources: list[str]) -> pd.DataFrame:
    """Assemble the ``kept`` table of a report."""
    return pd.DataFrame(
        {
            "pattern": list(patterns),
            "n_in_set": np.asarray(n_in_set, dtype=np.int64),
            "n_found": np.asarray(n_found, dtype=np.int64),
            "source": list(sources),
        }
    )


def dropped_frame(patterns: list[str], n_in_set: ArrayLike, n_found: ArrayLike, reasons: list[str]) -> pd.DataFrame:
    """Assemble the ``dropped`` table of a report."""
    return pd.DataFrame(
        {
            "pattern": list(patterns),
            "n_in_set": np.asarray(n_in_set, dtype=np.int64),
            "n_found": np.asarray(n_found, dtype=np.int64),
            "reason": list(reasons),
        }
    )
