"""`training_curves`: how both phases of training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

_COLOURS = {"teacher": "#0072B2", "student": "#D55E00"}


def training_curves(history: Mapping[str, pd.DataFrame], *, ax: Sequence[Axes] | None = None) -> np.ndarray:
    """Draw loss and macro-F1 of the Teacher and the Student against the epoch.

    Parameters
    ----------
    history
        ``model.history`` of a trained :class:`plkd.PLKD`.
    ax
        Two Axes to draw on; None makes a figure.

    Returns
    -------
    Two Axes. Left: cross-entropy of the labels in nats, on held-out cells (solid) and in training (dotted; there with
    hidden genes and balanced labels, so that it may lie higher). Right: macro-F1 on held-out cells. A ring marks the
    epoch of the lowest held-out cross-entropy, whose weights are kept by default.

    Raises
    ------
    ValueError
        If the history holds neither phase, or ``ax`` is not two Axes.
    """
    phases = [phase for phase in _COLOURS if history and any(key.startswith(f"{phase}_") for key in history)]
    if not phases:
        raise ValueError("history holds no epoch of the Teacher or the Student. Fix: `model.train()` first.")
    if ax is None:
        _, ax = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
    axes = np.ravel(np.asarray(ax, dtype=object))
    if len(axes) != 2:
        raise ValueError(f"ax holds {len(axes)} Axes; expected 2. Fix: `_, ax = plt.subplots(1, 2)`.")
    loss, score = axes
    for phase in phases:
        best = _draw_loss(loss, history, phase)
        _draw(score, history.get(f"{phase}_macro_f1_validation"), phase, "-", f"{phase.capitalize()}, held out", best)
    loss.set_ylabel("Cross-entropy (nats)")
    score.set_ylabel("Macro-F1")
    score.set_ylim(0, 1)
    for panel in axes:
        panel.set_xlabel("Epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.spines[["top", "right"]].set_visible(False)
        if panel.lines:
            panel.legend(frameon=False, fontsize="small")
        else:
            panel.text(0.5, 0.5, "no cells held out", transform=panel.transAxes, ha="center", color="0.4")
    return axes


def _draw_loss(ax: Axes, history: Mapping[str, pd.DataFrame], phase: str) -> int | None:
    """Draw the cross-entropies and return the row of the lowest held-out one."""
    name = phase.capitalize()
    held_out = history.get(f"{phase}_ce_loss_validation")
    values = None if held_out is None else held_out.iloc[:, 0].to_numpy(dtype=float)
    best = None if values is None or not np.isfinite(values).any() else int(np.nanargmin(values))
    _draw(ax, history.get(f"{phase}_ce_loss_train"), phase, ":", f"{name}, training", None)
    _draw(ax, held_out, phase, "-", f"{name}, held out", best)
    if ax.lines:
        ax.set_ylim(bottom=0)
    return best


def _draw(ax: Axes, frame: pd.DataFrame | None, phase: str, style: str, label: str, best: int | None) -> None:
    if frame is None or len(frame) == 0:
        return
    values = frame.iloc[:, 0].to_numpy(dtype=float)
    epochs = np.arange(1, len(values) + 1)
    ax.plot(epochs, values, style, color=_COLOURS[phase], label=label, linewidth=1.4)
    if best is not None and best < len(values):
        note = f"best epoch: {best + 1}"
        ax.plot(epochs[best], values[best], "o", color=_COLOURS[phase], mfc="white", mew=1.6, ms=7, label=note)
