"""Sizes, colours and names that the figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

#: Wong (2011) Nat Methods 8:441; the yellow darker, since it is faint on white.
_HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#D9C800")
_BLACK = "#222222"
#: Share by which a second and a third round of the hues are moved towards black and white.
_DARKER, _LIGHTER = 0.45, 0.5
_MARKERS = ("o", "^", "s", "D")


def check_axes(ax: Any) -> None:
    """Refuse what nothing can be drawn on.

    Raises
    ------
    TypeError
        Naming what it is.
    """
    if not isinstance(ax, Axes | None):
        raise TypeError(
            f"ax is a {type(ax).__name__}; expected Axes of matplotlib, or None. Fix: `_, ax = plt.subplots()`."
        )


def point_styles(n: int) -> list[tuple[str, str]]:
    """Return ``n`` pairs of colour and marker; the first 22 differ by colour, later rounds by marker too."""
    hues = [np.array(to_rgb(hue)) for hue in _HUES]
    darker = [hue * (1 - _DARKER) for hue in hues]
    lighter = [hue + (1 - hue) * _LIGHTER for hue in hues]
    colours = [to_hex(colour) for colour in (*hues, *darker, *lighter, to_rgb(_BLACK))]
    return [(colours[i % len(colours)], _MARKERS[i // len(colours) % len(_MARKERS)]) for i in range(n)]


def font_size(inches: float) -> float:
    """Return the size, in points, of text on lines that are ``inches`` apart."""
    return float(np.clip(0.72 * 72 * inches, 4, 9))


def inches_per_item(ax: Axes, n_columns: int, n_rows: int) -> tuple[float, float]:
    """Return the width of one of ``n_columns`` and the height of one of ``n_rows``, at the present size of ``ax``."""
    box = ax.get_window_extent()
    return box.width / ax.figure.dpi / max(n_columns, 1), box.height / ax.figure.dpi / max(n_rows, 1)


def shorten(name: str, length: int = 34) -> str:
    """Cut a name in its middle, so that both ends stay, and make it a text that matplotlib can draw as it is."""
    # Half a surrogate pair, which h5py makes of what is no UTF-8, cannot be drawn; dollars would be a formula.
    name = name.encode("utf-8", "replace").decode("utf-8")
    if len(name) > length:
        tail = (length - 1) // 3
        name = f"{name[: length - 1 - tail].rstrip()}…{name[-tail:].lstrip()}"
    return name.replace("$", r"\$")


def label_room(names: Sequence[str], font: float) -> float:
    """Return about how many inches the longest of some names takes."""
    return max(map(len, names), default=0) * font * 0.0082


def pattern_names(names: Sequence[str]) -> list[str]:
    """Make names of patterns readable: without the collection that all share, with blanks, and not too long."""
    names = [str(name) for name in names]
    collections = {name.partition("_")[0] for name in names}
    # HALLMARK_, GOBP_, ...: says nothing where every name begins with it.
    if len(names) > 1 and len(collections) == 1 and all("_" in name for name in names):
        names = [name.partition("_")[2] for name in names]
    return [shorten(name.replace("_", " ").replace(":", ": ").replace("+", ", ")) for name in names]
