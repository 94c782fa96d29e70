"""Sizes, colours and names that the figures share."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

#: Wong (2011) Nat Methods 8:441, without black and with the yellow last, since it is faint on white.
_HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#E2D200")
#: How far each round of the palette is moved towards black (negative) or white.
_SHADES = (0.0, -0.45, 0.5)
_MARKERS = ("o", "^", "s", "D")


def point_styles(n: int) -> list[tuple[str, str]]:
    """Return ``n`` pairs of colour and marker; the first 24 differ by colour, later rounds by marker too."""
    styles = []
    for i in range(n):
        shade = _SHADES[i // len(_HUES) % len(_SHADES)]
        rgb = np.array(to_rgb(_HUES[i % len(_HUES)]))
        colour = rgb * (1 + shade) if shade < 0 else rgb + (1 - rgb) * shade
        styles.append((to_hex(colour), _MARKERS[i // (len(_HUES) * len(_SHADES)) % len(_MARKERS)]))
    return styles


def font_size(inches: float) -> float:
    """Return the size, in points, of text on lines that are ``inches`` apart."""
    return float(np.clip(0.72 * 72 * inches, 4, 9))


def inches_per_item(ax: Axes, n_columns: int, n_rows: int) -> tuple[float, float]:
    """Return the width of one of ``n_columns`` and the height of one of ``n_rows``, at the present size of ``ax``."""
    box = ax.get_window_extent()
    return box.width / ax.figure.dpi / max(n_columns, 1), box.height / ax.figure.dpi / max(n_rows, 1)


def shorten(name: str, length: int = 34) -> str:
    """Cut a name in its middle, so that both ends stay."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 3
    return f"{name[: length - 1 - tail].rstrip()}…{name[-tail:].lstrip()}"


def pattern_names(names: Sequence[str], length: int = 34) -> list[str]:
    """Make names of patterns readable: without the collection that all share, with blanks, and not too long."""
    names = [str(name) for name in names]
    shared = os.path.commonprefix(names) if len(names) > 1 else ""
    # Only whole words are left out (HALLMARK_, GOBP_).
    skip = shared.rfind("_") + 1
    return [shorten(name[skip:].replace("_", " ").replace(":", ": ").replace("+", ", "), length) for name in names]
