"""`training_curves`: how both phases of training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from plkd._arguments import check_type
from plkd.pl._style import check_axes

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
    hidden genes and balanced labels, so that it may lie higher; of a Student that the Teacher alone teaches what it still differs
    from the Teacher). Right: macro-F1 on held-out cells. A ring marks the
    epoch of the lowest held-out cross-entropy.

    Raises
    ------
    ValueError
        If the history holds neither phase, or ``ax`` is not two Axes.

    Examples
    --------
    >>> axes = plkd.pl.training_curves(model.history)
    """
    history = {} if history is None else history
    check_type("history", history, Mapping, "model.history of a trained model")
    if wrong := [key for key, frame in history.items() if not (isinstance(key, str) and _is_score(frame))]:
        raise ValueError(f"history[{wrong[0]!r}] is no frame of one score by epoch; expected model.history.")
    phases = [phase for phase in _COLOURS if history and any(key.startswith(f"{phase}_") for key in history)]
    if not phases:
        raise ValueError("history holds no epoch of the Teacher or the Student. Fix: `model.train()` first.")
    if ax is None:
        _, ax = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
    axes = np.ravel(np.asarray(ax, dtype=object))
    if len(axes) != 2:
        raise ValueError(f"ax holds {len(axes)} Axes; expected 2. Fix: `_, ax = plt.subplots(1, 2)`.")
    for panel in axes:
        check_axes(panel)
    loss, score = axes
    for phase in phases:
        name, colour = phase.capitalize(), _COLOURS[phase]
        held_out = _values(history, f"{phase}_ce_loss_validation")
        kind = "ce" if f"{phase}_ce_loss_train" in history else "kd"
        _draw(loss, _values(history, f"{phase}_{kind}_loss_train"), colour, f"{name}, training", style=":")
        _draw(loss, held_out, colour, f"{name}, held out")
        scores = _values(history, f"{phase}_macro_f1_validation")
        _draw(score, scores, colour, name)
        if np.isfinite(held_out).any():
            best = int(np.nanargmin(held_out))
            _ring(loss, best, held_out, colour, f"{name}, lowest: epoch {best + 1}")
            _ring(score, best, scores, colour, None)
    loss.set_ylim(bottom=0)
    loss.set_ylabel("Cross-entropy (nats)")
    score.set_ylabel("Macro-F1 of the held-out cells")
    score.set_ylim(0, 1)
    for panel in axes:
        panel.set_xlabel("Epoch")
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        panel.spines[["top", "right"]].set_visible(False)
        if panel.lines:
            panel.legend(frameon=False, fontsize="small", loc="lower right" if panel is score else "upper right")
        else:
            panel.text(0.5, 0.5, "no cells held out", transform=panel.transAxes, ha="center", color="0.4")
    return axes


def _is_score(frame: object) -> bool:
    return isinstance(frame, pd.DataFrame) and (
        frame.empty or (frame.shape[1] == 1 and pd.api.types.is_numeric_dtype(frame.dtypes.iloc[0]))
    )


def _values(history: Mapping[str, pd.DataFrame], key: str) -> np.ndarray:
    """Return one value per epoch; none where the history lacks the key."""
    there = key in history and not history[key].empty
    return history[key].iloc[:, 0].to_numpy(dtype=float) if there else np.array([])


def _draw(ax: Axes, values: np.ndarray, colour: str, label: str, style: str = "-") -> None:
    if len(values):
        ax.plot(np.arange(1, len(values) + 1), values, style, color=colour, label=label, linewidth=1.4)


def _ring(ax: Axes, best: int, values: np.ndarray, colour: str, label: str | None) -> None:
    if best < len(values):
        ax.plot(best + 1, values[best], "o", color=colour, mfc="white", mew=1.6, ms=7, label=label)
