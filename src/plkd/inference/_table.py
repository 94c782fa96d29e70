"""Answers as tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.special import softmax

from plkd.inference._vote import majority_vote

logger = logging.getLogger("plkd")


def annotate_cells(
    logits: np.ndarray, labels: Sequence[str], obs_names: pd.Index, *, clusters: pd.Series | None = None
) -> pd.DataFrame:
    """Return the annotation of cells, for the model and the Annotator alike.

    Parameters
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    labels
        In the order of the columns.
    obs_names
        Names of the cells.
    clusters
        The cells' clusters, from :func:`clusters_of`, to vote in (:func:`majority_vote`); None: no vote.

    Returns
    -------
    Columns as of :func:`annotation_table` and, with clusters, of :func:`majority_vote`.
    """
    probabilities = probability_frame(logits, labels, obs_names)
    table = annotation_table(probabilities)
    if clusters is None:
        return table
    voted = majority_vote(table, probabilities, clusters)
    logger.info(
        "Majority vote over %d clusters of %s: %d labels changed",
        clusters[clusters != ""].nunique(),
        clusters.name,
        (voted["label"] != voted["cell_label"]).sum(),
    )
    return voted


def probability_frame(logits: np.ndarray, labels: Sequence[str], obs_names: pd.Index) -> pd.DataFrame:
    """Return label probabilities, cells x labels, rows summing to 1: the one path from logits to probabilities.

    Parameters
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    labels
        In the order of the columns.
    obs_names
        Names of the cells.
    """
    return pd.DataFrame(softmax(logits.astype(np.float64), axis=1), index=obs_names, columns=list(labels))


def annotation_table(probabilities: pd.DataFrame) -> pd.DataFrame:
    """Return label, confidence and runner-up of each cell.

    Parameters
    ----------
    probabilities
        Cells x labels, from :func:`probability_frame`.

    Returns
    -------
    Columns ``label`` (categorical over all labels), ``confidence`` (the label's probability, in [0, 1]) and
    ``runner_up`` (the second most probable label, categorical).
    """
    values = probabilities.to_numpy()
    order = np.argsort(-values, axis=1, kind="stable")[:, :2]
    dtype = pd.CategoricalDtype(list(probabilities.columns))
    return pd.DataFrame(
        {
            "label": pd.Categorical.from_codes(order[:, 0], dtype=dtype),
            "confidence": np.take_along_axis(values, order[:, :1], axis=1)[:, 0],
            "runner_up": pd.Categorical.from_codes(order[:, 1], dtype=dtype),
        },
        index=probabilities.index,
    )


def add_annotation(adata: AnnData, table: pd.DataFrame, *, key_added: str = "plkd") -> None:
    """Write an annotation into ``adata.obs``.

    Parameters
    ----------
    adata
        The annotated data.
    table
        Result of ``annotate``, indexed by ``obs_names``; cells it lacks get missing values.
    key_added
        Columns become ``<key_added>_label``, ``<key_added>_confidence``, ...

    Raises
    ------
    ValueError
        If the table's cells are not those of ``adata``, or names repeat and the order differs.
    """
    if not table.index.equals(adata.obs_names):
        unknown = table.index.difference(adata.obs_names)
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} cells of the table are not in adata, e.g. {list(unknown[:3])}; expected the table that "
                "annotate() returned for this adata."
            )
        if not (table.index.is_unique and adata.obs_names.is_unique):
            raise ValueError("Cell names repeat, so the table cannot be matched. Fix: `adata.obs_names_make_unique()`.")
        table = table.reindex(adata.obs_names)
    for column in table.columns:
        adata.obs[f"{key_added}_{column}"] = (
            table[column].to_numpy() if table[column].dtype.kind == "f" else table[column].array
        )
