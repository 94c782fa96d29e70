"""`pattern_coverage`: which share of each pattern's features a data set has."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from plkd._arguments import check_type, check_whole
from plkd.align import AlignmentReport
from plkd.patterns import CoverageReport
from plkd.pl._style import check_axes, font_size, inches_per_item, label_room, pattern_names

_FOUND, _LACKING = "#0072B2", "#D5D5D5"


def pattern_coverage(report: AlignmentReport | CoverageReport, *, n_patterns: int = 25, ax: Axes | None = None) -> Axes:
    """Draw the patterns of which least is found.

    Parameters
    ----------
    report
        ``model.alignment_report(query)``: what of the model's patterns a query has; or the ``report`` of a
        :class:`plkd.PatternSet`: what of the sets, as they were given, the reference has.
    n_patterns
        Most patterns shown, those with the least share first.
    ax
        Where to draw; None makes a figure whose height fits the number of patterns.

    Returns
    -------
    The Axes: a bar for each pattern, the share of its features that are found; beside it their numbers.

    Raises
    ------
    TypeError, ValueError
        If ``report`` is neither, or holds no pattern.

    Examples
    --------
    >>> ax = plkd.pl.pattern_coverage(model.alignment_report(query))
    """
    check_type(
        "report", report, (AlignmentReport, CoverageReport), "model.alignment_report(query), or a CoverageReport"
    )
    check_whole("n_patterns", n_patterns, 1)
    check_axes(ax)
    frame = _shares(report)
    if frame.empty:
        raise ValueError("The report holds no pattern; expected at least one.")
    few = int((frame["share"] < 0.5).sum())
    title = f"{len(frame):,} patterns: median {frame['share'].median():.0%}, {few:,} below half"
    shown = frame.sort_values("share", kind="stable").head(n_patterns)
    n, names = len(shown), pattern_names(list(shown["pattern"]))
    if ax is None:
        height = float(np.clip(6 / n, 0.14, 0.3))
        room = label_room(names, font_size(height))
        _, ax = plt.subplots(figsize=(4.2 + room, max(height * n + 0.9, 1.8)), layout="constrained")
    else:
        height = inches_per_item(ax, 1, n)[1]
    places = np.arange(n)
    ax.barh(places, 1, height=0.75, color=_LACKING)
    ax.barh(places, shown["share"], height=0.75, color=_FOUND)
    for place, row in zip(places, shown.itertuples(), strict=True):
        text = f"{row.n_found:,} of {row.n_features:,}"
        ax.text(1.01, place, text, va="center", fontsize=font_size(height), color="0.25")
    ax.set_yticks(places, names, fontsize=font_size(height))
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("Share of the pattern's features found")
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title if n == len(frame) else f"{title}; the least {n}", fontsize="medium", loc="left")
    return ax


def _shares(report: AlignmentReport | CoverageReport) -> pd.DataFrame:
    """Return ``pattern``, ``n_found``, ``n_features`` and ``share``."""
    if isinstance(report, AlignmentReport):
        frame = report.patterns
    else:
        frame = report.kept.rename(columns={"n_in_set": "n_features"})
    frame = frame[["pattern", "n_found", "n_features"]]
    return frame.assign(share=frame["n_found"] / frame["n_features"])
