"""`ranked_patterns`: which patterns mark which label, and how surely."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from plkd._arguments import check_number, check_type, check_whole
from plkd.pl._patterns import distinctive, draw_matrix
from plkd.pl._style import check_axes, inches_per_item

_COLUMNS = ("group", "names", "scores", "pvals_adj")
#: Effects beyond this have the strongest colour: labels are told apart there, whatever the number.
_STRONGEST = 4.0


def ranked_patterns(
    table: pd.DataFrame, *, n_patterns: int = 25, max_fdr: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw the effects of patterns by label.

    Parameters
    ----------
    table
        Result of :func:`plkd.interpret.rank_patterns`.
    n_patterns
        Most patterns shown: those with the largest effects, taken label by label in turns.
    max_fdr
        Effects whose false discovery rate is at most this have a dot.
    ax
        Where to draw; None makes a figure whose size fits the numbers of labels and patterns.

    Returns
    -------
    The Axes: patterns in rows, sorted by the label in which their effect is largest; labels in columns. Colours are standardised
    mean differences: 0 is no difference, and 4 or more the strongest colour.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is no such table.

    Examples
    --------
    >>> query.obs["plkd_label"] = model.predict(query)
    >>> ranked = plkd.interpret.rank_patterns(model, query, "plkd_label", n_permutations=99)
    >>> axes = plkd.pl.ranked_patterns(ranked)
    """
    check_type("table", table, pd.DataFrame, "the table that plkd.interpret.rank_patterns() returned")
    check_whole("n_patterns", n_patterns, 1)
    check_number("max_fdr", max_fdr, 0, 1)
    check_axes(ax)
    if missing := [name for name in _COLUMNS if name not in table]:
        raise ValueError(
            f"table has no column {missing[0]!r}; expected the table of rank_patterns(). Fix: "
            '`plkd.interpret.rank_patterns(model, query, "plkd_label")`.'
        )
    if table.empty or table.duplicated(["group", "names"]).any():
        raise ValueError("table has no rows, or several of one pattern and label; expected one row for each.")
    effects = _wide(table, "scores")
    chosen = distinctive(effects.to_numpy(), n_patterns)
    effects = effects.iloc[:, chosen]
    best = effects.to_numpy().argmax(axis=0)
    order = sorted(range(len(chosen)), key=lambda j: (best[j], -effects.iloc[best[j], j]))
    effects = effects.iloc[:, order]
    passed = (_wide(table, "pvals_adj")[effects.columns] <= max_fdr).to_numpy().T
    shown = effects.to_numpy().T
    largest = float(np.abs(shown).max())
    ax, image = draw_matrix(shown, effects.columns, effects.index, ax, limit=min(largest, _STRONGEST))
    rows, columns = np.nonzero(passed)
    width = min(inches_per_item(ax, shown.shape[1], shown.shape[0]))
    # Black on pale colours, white on strong ones.
    strong = np.abs(shown[rows, columns]) > 0.6 * min(largest, _STRONGEST)
    size = float(np.clip((10 * width) ** 2, 1.2, 7))
    ax.scatter(columns, rows, s=size, c=np.where(strong, "white", "black"), linewidths=0)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, extend="both" if largest > _STRONGEST else "neither")
    bar.set_label("Effect (standard deviations)")
    bar.outline.set_visible(False)
    n_all = table["names"].nunique()
    some = f"{len(shown)} of {n_all} patterns; " if len(shown) < n_all else ""
    ax.set_title(f"{some}dot: FDR at most {max_fdr:.0%}", fontsize="medium")
    return ax


def _wide(table: pd.DataFrame, values: str) -> pd.DataFrame:
    """Return labels x patterns, both in the order of the table's categories or first rows."""
    group = table["group"]
    labels = [label for label in group.cat.categories if (group == label).any()] if hasattr(group, "cat") else None
    wide = table.assign(group=group.astype(str)).pivot(index="group", columns="names", values=values)
    return wide.loc[labels if labels is not None else list(dict.fromkeys(group))]
