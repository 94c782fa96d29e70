"""`confidence_histogram`: how confident right and wrong calls are."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from plkd.metrics._calls import check_calls

_STEPS = np.linspace(0, 1, 21)
_RIGHT, _WRONG, _REJECTED = "#56B4E9", "#D55E00", "#222222"


def confidence_histogram(
    truth: Sequence[str] | np.ndarray | pd.Series,
    probabilities: pd.DataFrame,
    *,
    rejected: Sequence[bool] | np.ndarray | pd.Series | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how many calls have which confidence: those that are right, those that are wrong, those that were rejected.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``. Cells where it is missing are left out; calls of cells whose label
        has no column are wrong.
    probabilities
        Cells x labels, rows summing to 1.
    rejected
        Whether the cell was rejected, in the same order; these count neither as right nor as wrong. None: no cell.
    ax
        Where to draw; None makes a figure.

    Returns
    -------
    The Axes. The number of cells is on a logarithmic scale, since wrong calls are few.

    Raises
    ------
    TypeError, ValueError
        As :func:`plkd.metrics.reliability`; if ``rejected`` does not fit.

    Examples
    --------
    >>> ax = plkd.pl.confidence_histogram(query.obs["cell_type"], model.predict(query, soft=True))
    """
    calls = check_calls(truth, probabilities)
    out = np.zeros(len(calls.truth), dtype=bool)
    if rejected is not None:
        given = np.asarray(rejected)
        if given.shape != calls.kept.shape or given.dtype != bool:
            raise ValueError(
                f"rejected is of shape {given.shape} and type {given.dtype}; expected True or False for each of the "
                f"{len(calls.kept)} cells."
            )
        out = given[calls.kept]
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    groups = {"right": (calls.right & ~out, _RIGHT, "-"), "wrong": (~calls.right & ~out, _WRONG, "-")}
    if rejected is not None:
        groups["rejected"] = (out, _REJECTED, ":")
    for name, (chosen, colour, line) in groups.items():
        counts = np.histogram(calls.confidence[chosen], _STEPS)[0]
        label = f"{name}: {chosen.sum():,} ({chosen.mean():.1%})"
        if name == "right":
            ax.stairs(counts, _STEPS, fill=True, color=colour, alpha=0.55, linewidth=0, label=label)
        else:
            ax.stairs(counts, _STEPS, color=colour, linestyle=line, linewidth=1.8, label=label)
    ax.set_yscale("symlog", linthresh=1)
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set_ylim(bottom=0)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("Confidence of the call")
    ax.set_ylabel("Cells (log scale)")
    # Above the axes: there is no corner that no cells can reach.
    ax.legend(
        frameon=False,
        fontsize="small",
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        handlelength=1.2,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax
