"""`pattern_umap`: where in the latent space patterns score high."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from plkd._arguments import check_type, names_of
from plkd.pl._style import pattern_names
from plkd.pl._umap import draw_umap

_MOST_COLUMNS = 4


def pattern_umap(
    adata: AnnData,
    scores: pd.DataFrame,
    patterns: str | Sequence[str],
    *,
    use_rep: str = "X_plkd",
    n_neighbors: int = 15,
    random_state: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
) -> Axes | np.ndarray:
    """Draw scores of patterns on a UMAP of the latent space.

    Parameters
    ----------
    adata
        Cells with the latent space in ``obsm[use_rep]``; not changed.
    scores
        Cells x patterns, as ``get_pattern_attribution()`` and ``get_pattern_attention()`` of :class:`plkd.PLKD` return them.
    patterns
        Column of ``scores``, or several, one panel each on the same map.
    use_rep, n_neighbors, random_state
        As in :func:`plkd.pl.umap`.
    ax
        One Axes for each pattern; None makes a figure, four panels in a row.

    Returns
    -------
    The Axes, or for several patterns an array of them. High scores are drawn on top.

    Raises
    ------
    KeyError
        If ``scores`` has no such column, or ``use_rep`` does not exist.
    ValueError
        If the rows of ``scores`` are not the cells, or as in :func:`plkd.pl.umap`.

    Examples
    --------
    >>> query.obsm["X_plkd"] = model.get_latent_representation(query)
    >>> scores = model.get_pattern_attribution(query)
    >>> ax = plkd.pl.pattern_umap(query, scores, scores.columns[0])
    """
    check_type("adata", adata, AnnData, "an AnnData")
    check_type("scores", scores, pd.DataFrame, "a DataFrame, cells x patterns")
    names = [patterns] if isinstance(patterns, str) else names_of("patterns", patterns, '["B cell"]')
    if not names or len(set(names)) < len(names):
        raise ValueError(f"patterns={names}; expected columns of scores, at least one and each once.")
    for name in names:
        if name not in scores:
            raise KeyError(f"patterns={name!r} is no column of scores; expected some of {list(scores.columns)[:20]}.")
    if not scores.index.equals(adata.obs_names):
        raise ValueError(
            f"scores has {len(scores)} rows that are not the {adata.n_obs} cells of adata, in their order; expected one for each. "
            "Fix: `scores.loc[adata.obs_names]`."
        )
    titles = [title.replace(r"\$", "$") for title in pattern_names(names)]
    if len(set(titles)) < len(titles):
        titles = [str(name) for name in names]
    cells = AnnData(obs=scores[names].set_axis(titles, axis=1))
    if use_rep in adata.obsm:
        cells.obsm[use_rep] = adata.obsm[use_rep]
    if ax is None and len(names) > 1:
        n_columns = min(len(names), _MOST_COLUMNS)
        n_rows = -(-len(names) // n_columns)
        _, grid = plt.subplots(
            n_rows, n_columns, figsize=(3.6 * n_columns, 3 * n_rows), layout="constrained", squeeze=False
        )
        for spare in grid.ravel()[len(names) :]:
            spare.remove()
        ax = grid.ravel()[: len(names)]
    return draw_umap(
        cells,
        titles[0] if isinstance(patterns, str) else titles,
        use_rep=use_rep,
        n_neighbors=n_neighbors,
        random_state=random_state,
        ax=ax,
        high_on_top=True,
    )
