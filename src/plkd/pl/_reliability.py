"""`reliability`: whether confidences can be taken at their word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from plkd import metrics
from plkd.metrics._calls import check_calls

#: Colour, marker and line of the first, second, ... set of probabilities.
_STYLES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"))
_STEPS = np.linspace(0, 1, 21)


def reliability(
    truth: Sequence[str] | np.ndarray | pd.Series,
    probabilities: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    n_bins: int = 15,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy against confidence, and above it how many cells have which confidence.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``. Cells where it is missing are left out.
    probabilities
        Cells x labels, rows summing to 1; or up to 4 such frames by name, e.g. ``{"calibrated": ..., "uncalibrated": ...}``.
    n_bins
        Bins with equally many cells.
    ax
        Where to draw; the histogram is put above it, outside. None makes a figure.

    Returns
    -------
    The Axes. Points are the bins of :func:`plkd.metrics.reliability`, bars their 95 % intervals; on the diagonal
    confidences are true, below it they are too high. The legend gives :func:`plkd.metrics.calibration_error`. The
    histogram is ``ax.child_axes[0]``.

    Raises
    ------
    TypeError, ValueError
        As :func:`plkd.metrics.reliability`; if there are no or more than 4 frames.

    Examples
    --------
    >>> report = model.report()
    >>> ax = plkd.pl.reliability(report.truth, report.probabilities)
    """
    frames = dict(probabilities) if isinstance(probabilities, Mapping) else {"": probabilities}
    if not 1 <= len(frames) <= len(_STYLES):
        raise ValueError(f"probabilities holds {len(frames)} frames; expected 1 to {len(_STYLES)}.")
    bins = {name: metrics.reliability(truth, frame, n_bins=n_bins) for name, frame in frames.items()}
    errors = {name: metrics.calibration_error(truth, frame, n_bins=n_bins) for name, frame in frames.items()}
    if ax is None:
        _, ax = plt.subplots(figsize=(4.6, 5.4), layout="constrained")
    lowest = min(table[["confidence", "accuracy_low"]].to_numpy().min() for table in bins.values())
    start = float(np.clip(np.floor(lowest * 10) / 10, 0, 0.9))
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=1)
    above = ax.inset_axes((0, 1.03, 1, 0.2), sharex=ax)
    for (name, table), (colour, marker, line) in zip(bins.items(), _STYLES, strict=False):
        _draw_bins(ax, table, f"{name}: calibration error {errors[name]:.3f}".lstrip(": "), colour, marker, line)
        _draw_histogram(
            above, check_calls(truth, frames[name]).confidence, colour, line, filled=len(above.patches) == 0
        )
    ax.set_xlim(start, 1 + 0.02 * (1 - start))
    ax.set_ylim(start, 1 + 0.02 * (1 - start))
    ax.set_aspect("equal")
    ax.set_xlabel("Confidence of the call")
    ax.set_ylabel("Share of calls that are right")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    # Upper left is free where confidences are too high, lower right where they are too low.
    ax.legend(frameon=False, fontsize="small", loc="best")
    ax.spines[["top", "right"]].set_visible(False)
    above.set_ylabel("Cells", fontsize="small")
    above.tick_params(labelbottom=False, labelsize="small")
    above.spines[["top", "right"]].set_visible(False)
    return ax


def _draw_bins(ax: Axes, table: pd.DataFrame, label: str, colour: str, marker: str, line: str) -> None:
    spread = [table["accuracy"] - table["accuracy_low"], table["accuracy_high"] - table["accuracy"]]
    ax.errorbar(
        table["confidence"],
        table["accuracy"],
        yerr=np.clip(spread, 0, None),
        color=colour,
        marker=marker,
        linestyle=line,
        label=label,
        linewidth=1.2,
        elinewidth=1,
        markersize=4.5,
        markerfacecolor="white",
        markeredgewidth=1.4,
        zorder=2,
    )


def _draw_histogram(ax: Axes, confidence: np.ndarray, colour: str, line: str, *, filled: bool) -> None:
    counts = np.histogram(confidence, _STEPS)[0]
    if filled:
        ax.stairs(counts, _STEPS, fill=True, color=colour, alpha=0.3, linewidth=0)
    ax.stairs(counts, _STEPS, color=colour, linestyle=line, linewidth=1.2)
