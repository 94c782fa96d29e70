"""`novelty_histogram`: how unlike the reference the cells of a query are."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from plkd._arguments import check_type
from plkd.pl._style import check_axes

_STEPS = np.linspace(0, 1, 21)
_KEPT, _REJECTED = "#56B4E9", "#222222"


def novelty_histogram(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many cells have which novelty.

    Parameters
    ----------
    table
        Result of ``annotate``: its columns ``novelty`` and ``rejected``.
    ax
        Where to draw; None makes a figure.

    Returns
    -------
    The Axes. Bars are stacked, rejected cells on top; the dashed line is what cells like the reference's would show: novelty is
    a share of held-out cells, and theirs is spread evenly. A peak at the right means that the query has cells unlike the reference.

    Raises
    ------
    TypeError, ValueError
        If ``table`` has no such columns, or no novelty since the model was not calibrated.

    Examples
    --------
    >>> ax = plkd.pl.novelty_histogram(model.annotate(query, unknown="auto"))
    """
    check_type("table", table, pd.DataFrame, "the table that annotate() returned")
    check_axes(ax)
    if missing := [name for name in ("novelty", "rejected") if name not in table]:
        raise ValueError(
            f"table has no column {missing[0]!r}; expected the table of annotate(). Fix: `model.annotate(query)`."
        )
    novelty = pd.to_numeric(table["novelty"], errors="coerce").to_numpy(dtype=float)
    known = np.isfinite(novelty)
    if not known.any():
        raise ValueError(
            "table holds no novelty: the model was not calibrated. Fix: train it with `PLKD(adata)`'s default preset."
        )
    if novelty[known].min() < 0 or novelty[known].max() > 1:
        raise ValueError("novelty lies outside 0 and 1; expected the table of annotate().")
    rejected = table["rejected"].to_numpy(dtype=bool)[known]
    novelty = novelty[known]
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    below = np.histogram(novelty[~rejected], _STEPS)[0]
    above = np.histogram(novelty[rejected], _STEPS)[0]
    n = len(novelty)
    ax.stairs(below, _STEPS, fill=True, color=_KEPT, alpha=0.55, linewidth=0, label=f"labelled: {(~rejected).sum():,}")
    if rejected.any():
        share = f"rejected: {rejected.sum():,} ({rejected.mean():.1%})"
        ax.stairs(
            below + above,
            _STEPS,
            baseline=below,
            fill=True,
            color=_REJECTED,
            hatch="///",
            edgecolor="white",
            label=share,
        )
    ax.axhline(
        n / (len(_STEPS) - 1), color="0.35", linestyle="--", linewidth=1.2, label="cells like the reference's", zorder=3
    )
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set_xlabel("Novelty: share of held-out cells that lie nearer")
    ax.set_ylabel("Cells")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
