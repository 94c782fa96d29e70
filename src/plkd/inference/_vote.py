"""One label for all cells of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.data import as_text, obs_column


def clusters_of(data: AnnData | MuData, over_clustering: Any, chosen: np.ndarray) -> pd.Series | None:
    """Return the cluster of each chosen cell; None if no clusters are given.

    Parameters
    ----------
    data
        The query.
    over_clustering
        Column of ``obs`` (of a MuData also of its modalities'), or one value per cell of ``data``. A Series is matched by
        the names of the cells, unless its index merely counts.
    chosen
        Numbers of the cells to vote.

    Returns
    -------
    Text, ``""`` for a cell in no cluster; the Series' name is what messages call the clusters.

    Raises
    ------
    KeyError
        If ``obs`` has no such column.
    ValueError
        If there is not one value per cell.
    """
    if over_clustering is None:
        return None
    if isinstance(over_clustering, str):
        column, name = obs_column(data, over_clustering, "over_clustering"), f"obs[{over_clustering!r}]"
    else:
        column, name = _one_per_cell(over_clustering, data.obs_names), "over_clustering"
    return pd.Series(as_text(column)[chosen], index=data.obs_names[chosen], name=name, dtype=object)


def _one_per_cell(values: Any, cells: pd.Index) -> pd.Series:
    if isinstance(values, pd.Series) and not isinstance(values.index, pd.RangeIndex):
        if values.index.equals(cells):
            return values
        if not (values.index.is_unique and cells.is_unique):
            raise ValueError(
                "over_clustering is a Series and cell names repeat, so it cannot be matched. Fix: pass "
                "`over_clustering.to_numpy()`, in the order of the cells."
            )
        lacking = cells.difference(values.index)
        if len(lacking):
            raise ValueError(
                f"over_clustering is a Series that lacks {len(lacking)} of {len(cells)} cells, e.g. {list(lacking[:3])}; "
                "expected a value for each name in obs_names (NaN: in no cluster). Fix: `over_clustering.reindex("
                "adata.obs_names)`, or `over_clustering.to_numpy()` if it is in the order of the cells."
            )
        return values.loc[cells]
    if np.ma.isMaskedArray(values):
        raise TypeError(
            "over_clustering is a masked array; expected a value for every cell, NaN in no cluster. Fix: "
            "`over_clustering.astype(object).filled(np.nan)`."
        )
    # Not numpy's: that one fails at lists of lists.
    shape = getattr(values, "shape", (len(values),) if isinstance(values, Sequence) else ())
    if shape != (len(cells),):
        raise ValueError(
            f"over_clustering has shape {shape}; expected ({len(cells)},), one value per cell of the query, or the name of "
            "a column of obs."
        )
    return pd.Series(values if isinstance(values, pd.Categorical) else list(values))


def majority_vote(table: pd.DataFrame, probabilities: pd.DataFrame, clusters: pd.Series) -> pd.DataFrame:
    """Give the cells of each cluster the label that most of them have.

    Parameters
    ----------
    table
        Annotation with ``label`` (categorical), ``confidence`` and ``runner_up``; a boolean column ``rejected`` marks cells
        that neither vote nor take another label. Not changed.
    probabilities
        The cells' label probabilities, cells x labels, rows as in ``table``.
    clusters
        The cells' clusters as text, rows as in ``table``; ``""`` for a cell in none, which keeps its label.

    Returns
    -------
    The table with the voted label as ``label``, its probability in the cell as ``confidence`` and the most probable of the
    other labels as ``runner_up``, and two more columns: ``cell_label``, the label each cell had of itself, and
    ``vote_share``, the share of its cluster's cells, rejected ones included, that had the voted label, in [0, 1]; NaN for
    cells in no cluster and in clusters where no cell votes.

    Notes
    -----
    Equal numbers of votes go to the label with the larger sum of confidence, then to the first in the order of the labels.
    """
    rejected = table["rejected"].to_numpy(dtype=bool) if "rejected" in table else np.zeros(len(table), dtype=bool)
    own = probabilities.columns.get_indexer(table["label"].astype(object))
    confidence = table["confidence"].to_numpy().copy()
    # -1 is no cluster, and as a position the last: a place of its own at the end of what is kept for each cluster.
    cluster, names = pd.factorize(clusters.replace("", None))
    votes = (cluster >= 0) & ~rejected
    winner, n_votes = _winners(cluster[votes], own[votes], confidence[votes], len(names))
    n_cells = np.bincount(cluster[cluster >= 0], minlength=len(names) + 1)
    share = np.where(n_votes > 0, n_votes / np.maximum(n_cells, 1), np.nan)

    changed = np.flatnonzero(votes & (winner[cluster] != own))
    voted = winner[cluster[changed]]
    confidence[changed] = probabilities.to_numpy()[changed, voted]
    label, runner_up = table["label"].array.copy(), table["runner_up"].array.copy()
    label[changed] = list(probabilities.columns[voted])
    # What a cell is most like, if it is not called so, is the most probable of the other labels.
    runner_up[changed] = list(probabilities.columns[own[changed]])
    return table.assign(
        label=label, confidence=confidence, runner_up=runner_up, cell_label=table["label"], vote_share=share[cluster]
    )


def _winners(
    cluster: np.ndarray, label: np.ndarray, confidence: np.ndarray, n_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each cluster's label and its number of votes; -1 and 0 where there is none, and in one place more at the end."""
    pairs, position = np.unique(np.stack([cluster, label], axis=1), axis=0, return_inverse=True)
    position = position.ravel()
    n_votes = np.bincount(position, minlength=len(pairs))
    # Rounded, so that equal sums are equal in whatever order the cells come.
    summed = np.round(np.bincount(position, weights=confidence, minlength=len(pairs)), 9)
    best_first = np.lexsort((pairs[:, 1], -summed, -n_votes, pairs[:, 0]))
    pairs, n_votes = pairs[best_first], n_votes[best_first]
    _, first = np.unique(pairs[:, 0], return_index=True)
    winner, most = np.full(n_clusters + 1, -1), np.zeros(n_clusters + 1, dtype=np.int64)
    winner[pairs[first, 0]], most[pairs[first, 0]] = pairs[first, 1], n_votes[first]
    return winner, most
