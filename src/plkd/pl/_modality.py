"""`modality_weights`: which modality decided the calls of each label."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from plkd._arguments import check_type
from plkd.pl._style import check_axes, font_size, inches_per_item, label_room, shorten

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_HATCHES = ("", "///", "...", "xx")
_MOST_LABELS = 200


def modality_weights(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much each modality decided the calls of each label.

    Parameters
    ----------
    frame
        Labels x modalities, rows that sum to 1, as ``model.get_modality_weights(groupby=...)`` of :class:`plkd.PLKD` and
        :func:`plkd.interpret.attention_by_modality` return them.
    ax
        Where to draw; None makes a figure whose height fits the number of labels.

    Returns
    -------
    The Axes: a bar for each label, the first label on top, parted by modality.

    Raises
    ------
    TypeError, ValueError
        If the frame has rows for single cells, more than four modalities, or rows that do not sum to 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from plkd import pl
    >>> weights = pd.DataFrame({"rna": [0.75, 0.5], "prot": [0.25, 0.5]}, index=["B", "T"])
    >>> [float(bar.get_width()) for bar in pl.modality_weights(weights).containers[0]]
    [0.75, 0.5]
    """
    fix = 'Fix: `model.get_modality_weights(query, groupby="plkd_label")`.'
    check_type("frame", frame, pd.DataFrame, "a DataFrame, labels x modalities")
    check_axes(ax)
    if not 1 <= len(frame) <= _MOST_LABELS:
        raise ValueError(f"frame has {len(frame)} rows; expected one for each label, not for each cell. {fix}")
    if not 1 <= frame.shape[1] <= len(_COLOURS):
        raise ValueError(f"frame has {frame.shape[1]} columns; expected 1 to {len(_COLOURS)} modalities. {fix}")
    if not all(pd.api.types.is_numeric_dtype(dtype) and dtype.kind != "c" for dtype in frame.dtypes):
        raise ValueError(f"frame holds {sorted({str(dtype) for dtype in frame.dtypes})}; expected numbers. {fix}")
    values = frame.to_numpy(dtype=np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(f"Rows of the frame are no shares that sum to 1. {fix}")
    names, n = [shorten(str(name)) for name in frame.index], len(frame)
    if ax is None:
        height = float(np.clip(6 / n, 0.14, 0.32))
        room = label_room(names, font_size(height))
        _, ax = plt.subplots(figsize=(3.6 + room, max(height * n + 1.0, 1.8)), layout="constrained")
    else:
        height = inches_per_item(ax, 1, n)[1]
    start = np.zeros(n)
    for i, modality in enumerate(frame.columns):
        ax.barh(
            np.arange(n),
            values[:, i],
            left=start,
            height=0.78,
            color=_COLOURS[i],
            hatch=_HATCHES[i],
            edgecolor="white",
            linewidth=0.4,
            label=shorten(str(modality)),
        )
        start += values[:, i]
    ax.set_yticks(np.arange(n), names, fontsize=font_size(height))
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("Share of the modality")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(
        frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=frame.shape[1], columnspacing=1
    )
    return ax
