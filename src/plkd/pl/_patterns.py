"""`pattern_heatmap`: which patterns tell the labels apart."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from plkd._arguments import check_type, check_whole
from plkd.pl._style import check_axes, font_size, inches_per_item, label_room, pattern_names, shorten

_MOST_LABELS = 200


def pattern_heatmap(
    frame: pd.DataFrame,
    *,
    n_patterns: int = 25,
    label: str = "score",
    ax: Axes | None = None,
) -> Axes:
    """Draw the patterns that set the labels apart.

    Parameters
    ----------
    frame
        Labels x patterns, as ``get_pattern_attention(groupby=...)`` and ``get_pattern_attribution(groupby=...)`` of
        :class:`plkd.PLKD` return them.
    n_patterns
        Most patterns shown: those farthest above the mean over labels, taken label by label in turns, so that each label
        has its own before any has many.
    label
        What the frame holds (``"attention"``, ``"attribution"``), for the colour bar.
    ax
        Where to draw; None makes a figure whose size fits the numbers of labels and patterns.

    Returns
    -------
    The Axes: patterns in rows, sorted by the label in which they are highest; labels in columns, in the frame's order.
    Colours are z-scores over the labels, each pattern by itself: 0 is the mean over labels, 1 one standard deviation.

    Raises
    ------
    ValueError
        If the frame has fewer than two labels, rows for single cells, no pattern, or values that are not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> from plkd import pl
    >>> frame = pd.DataFrame({"T_cell": [0.1, 0.4], "B_cell": [0.3, 0.1]}, index=["B", "T"])
    >>> [text.get_text() for text in pl.pattern_heatmap(frame).get_yticklabels()]
    ['B cell', 'T cell']
    """
    _check(frame, n_patterns)
    check_axes(ax)
    values = frame.to_numpy(dtype=np.float64)
    away = values - values.mean(axis=0)
    spread = values.std(axis=0)
    z = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    chosen = distinctive(away, n_patterns)
    # By the label in which a pattern is highest, the clearest first.
    chosen = sorted(chosen, key=lambda j: (z[:, j].argmax(), -z[:, j].max()))
    shown = z[:, chosen].T
    ax, image = draw_matrix(shown, frame.columns[chosen], frame.index, ax)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6)
    bar.set_label(f"Pattern {label}, z-score over labels")
    bar.outline.set_visible(False)
    if len(shown) < frame.shape[1]:
        ax.set_title(f"The {len(shown)} most distinctive of {frame.shape[1]} patterns", fontsize="medium")
    return ax


def draw_matrix(
    shown: np.ndarray, patterns: Sequence[str], labels: Sequence[str], ax: Axes | None, *, limit: float | None = None
) -> tuple[Axes, AxesImage]:
    """Draw patterns x labels in colours that are white at 0, and name rows and columns.

    Parameters
    ----------
    shown
        Shape ``(n_patterns, n_labels)``.
    patterns, labels
        Their names.
    ax
        Where to draw; None makes a figure whose size fits the numbers of labels and patterns.
    limit
        Value of the strongest colours; None: the largest there is.
    """
    n_rows, n_columns = shown.shape
    below, beside = [shorten(str(name)) for name in labels], pattern_names(patterns)
    if ax is None:
        height, width = float(np.clip(6 / n_rows, 0.14, 0.3)), float(np.clip(6 / n_columns, 0.14, 0.42))
        size = (
            width * n_columns + label_room(beside, font_size(height)) + 1.2,
            height * n_rows + label_room(below, font_size(width)) + 0.3,
        )
        _, ax = plt.subplots(figsize=(size[0], max(size[1], 2.6)), layout="constrained")
    else:
        width, height = inches_per_item(ax, n_columns, n_rows)
    limit = max(float(np.abs(shown).max()) if limit is None else limit, 1e-9)
    image = ax.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(n_columns), below, rotation=90, fontsize=font_size(width))
    ax.set_yticks(range(n_rows), beside, fontsize=font_size(height))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax, image


def _check(frame: pd.DataFrame, n_patterns: int) -> None:
    fix = 'Fix: `model.get_pattern_attribution(query, groupby="plkd_label")`.'
    check_type("frame", frame, pd.DataFrame, "a DataFrame, labels x patterns")
    check_whole("n_patterns", n_patterns, 1)
    if len(frame) < 2:
        raise ValueError(f"frame has {len(frame)} row; a z-score over labels needs at least 2. {fix}")
    if len(frame) > _MOST_LABELS:
        raise ValueError(f"frame has {len(frame)} rows; expected one for each label, not for each cell. {fix}")
    if frame.shape[1] == 0:
        raise ValueError("frame has 0 patterns; expected at least 1 column.")
    if not all(pd.api.types.is_numeric_dtype(dtype) and dtype.kind != "c" for dtype in frame.dtypes):
        raise ValueError(f"frame holds {sorted({str(dtype) for dtype in frame.dtypes})}; expected numbers. {fix}")
    if not np.isfinite(frame.to_numpy(dtype=np.float64)).all():
        raise ValueError("frame holds values that are not finite; expected numbers. Fix: `frame.dropna()`.")


def distinctive(away: np.ndarray, n: int) -> list[int]:
    """Return columns of ``(n_labels, n_patterns)`` differences from the mean, the labels' highest ones in turns."""
    n_labels, n_patterns = away.shape
    ranked = np.argsort(-away, axis=1, kind="stable")
    chosen: dict[int, None] = {}
    for place in range(n_patterns):
        # Where not all labels get a pattern of this rank, the largest differences come first.
        turn = np.argsort(-away[np.arange(n_labels), ranked[:, place]], kind="stable")
        for row in turn:
            chosen.setdefault(int(ranked[row, place]))
            if len(chosen) == min(n, n_patterns):
                return list(chosen)
    return list(chosen)
