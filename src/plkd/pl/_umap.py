"""`umap`: the latent space in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from mudata import MuData
from scipy import sparse

from plkd._arguments import array_of, check_type, check_whole, names_of
from plkd.pl._style import check_axes, label_room, point_styles, shorten

_MISSING = "0.8"
_LEGEND_ROWS = 24


def umap(
    adata: AnnData | MuData,
    color: str | Sequence[str],
    *,
    use_rep: str = "X_plkd",
    n_neighbors: int = 15,
    random_state: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
) -> Axes | np.ndarray:
    """Draw a UMAP of the latent space, coloured by columns of ``obs``.

    Parameters
    ----------
    adata
        Cells with the latent space in ``obsm[use_rep]``; not changed.
    color
        Column of ``adata.obs``, or several, one panel each on the same map. Labels get a colour and a number, which are the
        same in all panels of columns that share labels; numeric columns, such as a confidence, a colour bar.
    use_rep
        Key of ``adata.obsm``, e.g. where ``model.get_latent_representation(adata)`` was put.
    n_neighbors
        Size of the neighbourhoods, as in :func:`scanpy.pp.neighbors`; bounded by the number of cells.
    random_state
        Seed; the same one draws the same map.
    ax
        One Axes for each column; None makes a figure.

    Returns
    -------
    The Axes, or for several columns an array of them. A legend stands right of the last panel with its labels.

    Raises
    ------
    KeyError
        If a column, or ``use_rep``, does not exist.
    ValueError
        If there are fewer than 5 cells, or ``ax`` does not hold one Axes for each column.

    Examples
    --------
    >>> query.obsm["X_plkd"] = model.get_latent_representation(query)
    >>> ax = plkd.pl.umap(query, color="cell_type")
    """
    return draw_umap(
        adata, color, use_rep=use_rep, n_neighbors=n_neighbors, random_state=random_state, ax=ax, high_on_top=False
    )


def draw_umap(
    adata: AnnData | MuData,
    color: str | Sequence[str],
    *,
    use_rep: str,
    n_neighbors: int,
    random_state: int,
    ax: Axes | Sequence[Axes] | None,
    high_on_top: bool,
) -> Axes | np.ndarray:
    """Draw as :func:`umap` does; low numbers on top, as of a confidence, or high ones."""
    check_type("adata", adata, AnnData | MuData, "an AnnData or a MuData")
    check_whole("n_neighbors", n_neighbors, 2)
    check_whole("random_state", random_state, 0)
    names = [color] if isinstance(color, str) else names_of("color", color, '["cell_type"]')
    if not names:
        raise ValueError("color holds no column; expected one at least, e.g. `color='cell_type'`.")
    for name in names:
        if not isinstance(name, str) or name not in adata.obs:
            raise KeyError(f"color={name!r} is no column of adata.obs; expected one of {list(adata.obs.columns)[:20]}.")
    if not isinstance(use_rep, str) or use_rep not in adata.obsm:
        raise KeyError(
            f"use_rep={use_rep!r} is not in adata.obsm, which holds {list(adata.obsm.keys())}. "
            f'Fix: `adata.obsm["{use_rep}"] = model.get_latent_representation(adata)`.'
        )
    latent = _latent(adata.obsm[use_rep], f"adata.obsm[{use_rep!r}]")
    columns = {name: adata.obs[name] for name in names}
    styles = _styles({name: column for name, column in columns.items() if not _is_number(column)})
    last = {id(own): name for name, own in styles.items()}
    if ax is None:
        room = sum(_room(list(styles[name])) for name in last.values())
        side = 4.2 if all(len(own) <= _LEGEND_ROWS for own in styles.values()) else 5.2
        _, ax = plt.subplots(1, len(names), figsize=(side * len(names) + room, side), layout="constrained")
    axes = np.ravel(np.asarray(ax, dtype=object))
    if len(axes) != len(names):
        raise ValueError(f"ax holds {len(axes)} Axes for {len(names)} columns; expected one for each.")
    places = _coordinates(latent, n_neighbors, random_state)
    for panel in axes:
        check_axes(panel)
    for panel, (name, column) in zip(axes, columns.items(), strict=True):
        if _is_number(column):
            _draw_numbers(panel, places, column.to_numpy(dtype=float), high_on_top=high_on_top)
        else:
            _draw_labels(panel, places, _as_text(column), styles[name])
            if last[id(styles[name])] == name:
                _legend(panel, styles[name])
        panel.set_title(name, fontsize="medium")
        panel.set_xlabel("UMAP 1")
        panel.set_ylabel("UMAP 2")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[["top", "right"]].set_visible(False)
    return axes[0] if isinstance(color, str) else axes


def _latent(values: Any, where: str) -> np.ndarray:
    """Return a latent space as an array; refuse what is none."""
    latent = array_of(where, values)
    latent = latent.toarray() if sparse.issparse(latent) else np.asarray(latent)
    if latent.shape[1] == 0 or not np.isfinite(latent).all():
        raise ValueError(
            f"{where} has no columns, or values that are not finite; expected a latent space. Fix: compute it anew."
        )
    return latent


def _coordinates(latent: np.ndarray, n_neighbors: int, random_state: int) -> np.ndarray:
    """Return UMAP coordinates, shape ``(n_obs, 2)``."""
    import scanpy as sc
    import torch

    if len(latent) < 5:
        raise ValueError(f"{len(latent)} cells are too few for a UMAP; expected at least 5.")
    # A copy of its own: scanpy writes into the object it is given.
    cells = AnnData(np.array(latent, dtype=np.float32))
    n_threads = torch.get_num_threads()
    sc.pp.neighbors(cells, n_neighbors=min(n_neighbors, len(latent) - 1), use_rep="X", random_state=random_state)
    sc.tl.umap(cells, random_state=random_state)
    # numba sets the threads of OpenMP, torch's too, and with them the last digits of all training after this.
    torch.set_num_threads(n_threads)
    return np.asarray(cells.obsm["X_umap"])


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _as_text(column: pd.Series) -> np.ndarray:
    """Return labels as text, None where one is missing."""
    values = column.astype(object)
    return np.array(
        [str(value) if known else None for value, known in zip(values, values.notna(), strict=True)], object
    )


def _styles(columns: dict[str, pd.Series]) -> dict[str, dict[str, tuple[str, str]]]:
    """Return by column the colour and marker of each label; columns that share a label have one dict together."""
    groups: list[tuple[list[str], list[str]]] = []
    for name, column in columns.items():
        own = sorted(set(_as_text(column)) - {None})
        # A column that shares labels with several joins them.
        shared = [group for group in groups if not set(own).isdisjoint(group[1])]
        groups = [group for group in groups if group not in shared]
        names = [other for group in shared for other in group[0]] + [name]
        labels = list(dict.fromkeys([label for group in shared for label in group[1]] + own))
        groups.append((names, labels))
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for names, labels in groups:
        styles = dict(zip(labels, point_styles(len(labels)), strict=True))
        found |= dict.fromkeys(names, styles)
    return {name: found[name] for name in columns}


def _room(labels: list[str]) -> float:
    """Return the width of a legend in inches."""
    return -(-len(labels) // _LEGEND_ROWS) * (0.6 + label_room([shorten(label) for label in labels], _font(labels)))


def _point_size(n_obs: int) -> float:
    return float(np.clip(9000 / max(n_obs, 1), 1.5, 26))


def _draw_labels(ax: Axes, places: np.ndarray, values: np.ndarray, styles: dict[str, tuple[str, str]]) -> None:
    """Draw each label in its style, the most frequent first so that rare ones stay visible, and number it."""
    size, many = _point_size(len(places)), len(places) > 5000
    labels = list(styles)
    unknown = np.array([value is None for value in values])
    shared = {"s": size, "linewidths": 0, "rasterized": many}
    if unknown.any():
        ax.scatter(*places[unknown].T, c=_MISSING, **shared)
    members = {label: np.flatnonzero(values == label) for label in labels}
    for label in sorted(labels, key=lambda name: -len(members[name])):
        colour, marker = styles[label]
        ax.scatter(*places[members[label]].T, c=colour, marker=marker, **shared)
    for number, label in enumerate(labels, start=1):
        if len(members[label]):
            own = places[members[label]]
            # On the cell nearest to the middle: a label in two clouds would else be numbered between them.
            x, y = own[np.square(own - np.median(own, axis=0)).sum(axis=1).argmin()]
            outline = [withStroke(linewidth=2.2, foreground="white")]
            font = 9 if len(labels) <= 24 else 7
            ax.text(x, y, str(number), ha="center", va="center", fontsize=font, weight="bold", path_effects=outline)


def _draw_numbers(ax: Axes, places: np.ndarray, values: np.ndarray, *, high_on_top: bool) -> None:
    order = np.argsort(np.where(np.isnan(values), -np.inf, values if high_on_top else -values), kind="stable")
    many = len(places) > 5000
    points = ax.scatter(
        *places[order].T, c=values[order], s=_point_size(len(places)), cmap="viridis", linewidths=0, rasterized=many
    )
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.6)
    bar.outline.set_visible(False)


def _font(labels: list[str]) -> float:
    return 8 if len(labels) <= _LEGEND_ROWS else 6.5


def _legend(ax: Axes, styles: dict[str, tuple[str, str]]) -> None:
    handles = [
        ax.scatter([], [], c=colour, marker=marker, s=30, linewidths=0, label=f"{number}  {shorten(label)}")
        for number, (label, (colour, marker)) in enumerate(styles.items(), start=1)
    ]
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=_font(list(styles)),
        ncols=-(-len(styles) // _LEGEND_ROWS),
        handletextpad=0.3,
        borderaxespad=0,
        labelspacing=0.35,
    )
