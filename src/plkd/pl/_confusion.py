"""`confusion_matrix`: which label was called which."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from plkd._arguments import names_of, one_per_cell
from plkd.data import as_text, text_of
from plkd.pl._style import check_axes, font_size, inches_per_item, label_room, shorten

#: With more labels than this, numbers in the cells would be too small to read.
_MOST_WITH_NUMBERS = 20


def confusion_matrix(
    truth: Sequence[str] | np.ndarray | pd.Series,
    predicted: Sequence[str] | np.ndarray | pd.Series,
    *,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw which share of each true label's cells was called which label.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``, read as text as a reference's labels are. Cells where it, or the
        call, is missing or empty are left out.
    predicted
        Called label of each cell, in the same order.
    labels
        Order of the labels; those that occur but are not named follow. None: by name.
    ax
        Where to draw; None makes a figure whose size fits the number of labels.

    Returns
    -------
    The Axes. Rows are true labels with their number of cells and sum to 100 %; columns are called labels, those that are
    no true label last. Shares that round to at least 1 % are written out for up to 20 labels.

    Raises
    ------
    ValueError
        If the lengths differ or no cell has both labels.

    Examples
    --------
    >>> from plkd import pl
    >>> ax = pl.confusion_matrix(["B", "B", "T"], ["B", "T", "T"])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['B (2)', 'T (1)']
    """
    truth = pd.Series(one_per_cell("truth", truth), dtype=object)
    predicted = pd.Series(one_per_cell("predicted", predicted), dtype=object)
    labels = None if labels is None else names_of("labels", labels, '["B", "T"]')
    check_axes(ax)
    if len(truth) != len(predicted):
        raise ValueError(f"truth holds {len(truth)} labels, predicted {len(predicted)}; expected one per cell in both.")
    truth, predicted = pd.Series(as_text(truth)), pd.Series(as_text(predicted))
    both = (truth != "") & (predicted != "")
    if not both.any():
        raise ValueError(f"None of the {len(truth)} cells has a true and a called label; expected some.")
    truth, predicted = truth[both], predicted[both]
    named = list(dict.fromkeys(text_of(label) for label in labels if label is not None)) if labels is not None else []
    true_labels = _ordered(set(truth), named)
    columns = true_labels + _ordered(set(predicted) - set(true_labels), named)
    # Not sklearn's: that one is square and warns where there is a single label.
    counts = pd.crosstab(truth, predicted).reindex(index=true_labels, columns=columns, fill_value=0).to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True)

    below = [shorten(label) for label in columns]
    beside = [f"{shorten(label)} ({n:,})" for label, n in zip(true_labels, counts.sum(axis=1), strict=True)]
    if ax is None:
        side = float(np.clip(6 / len(columns), 0.13, 0.5))
        width = side * len(columns) + label_room(beside, font_size(side)) + 1.5
        height = side * len(true_labels) + label_room(below, font_size(side)) + 0.4
        _, ax = plt.subplots(figsize=(width, max(height, 2.6)), layout="constrained")
    else:
        side = min(inches_per_item(ax, len(columns), len(true_labels)))
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    if len(columns) <= _MOST_WITH_NUMBERS:
        _write_shares(ax, shares, font_size(side * 0.8))
    font = font_size(side)
    ax.set_xticks(range(len(below)), below, rotation=90, fontsize=font)
    ax.set_yticks(range(len(beside)), beside, fontsize=font)
    ax.set_xlabel("Called label")
    ax.set_ylabel("True label (cells)")
    ax.tick_params(length=0)
    _grid(ax, len(columns), len(true_labels))
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, format=PercentFormatter(1, decimals=0))
    bar.set_label("Share of the true label's cells")
    bar.outline.set_visible(False)
    return ax


def _ordered(found: set[str], named: list[str]) -> list[str]:
    """Return ``found`` in the order of ``named``, the rest by name."""
    first = [label for label in named if label in found]
    return first + sorted(found - set(first))


def _write_shares(ax: Axes, shares: np.ndarray, font: float) -> None:
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        colour = "white" if share > 0.55 else "black"
        ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=font)


def _grid(ax: Axes, n_columns: int, n_rows: int) -> None:
    """Separate the squares by faint lines."""
    ax.set_xticks(np.arange(n_columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(n_rows + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="0.9", linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
