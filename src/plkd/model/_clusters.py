"""Clusters that stand in for labels where a reference has none."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import MiniBatchKMeans

from plkd.data import ModalitySpec, Rows, Table
from plkd.model._embedding import embed_cells
from plkd.model._reference import ReferenceTable

logger = logging.getLogger("plkd")

_SEED = 0
#: Width of Harmony's soft clusters. At its default of 0.1 batches that lie far apart share no cluster, and stay where they are.
_HARMONY_SIGMA = 0.3


def cluster_cells(tables: Sequence[tuple[ModalitySpec, Table]], n_obs: int, batch: np.ndarray) -> np.ndarray:
    """Cluster the cells that have the modalities most cells have.

    Parameters
    ----------
    tables
        The reference's modalities.
    n_obs
        Number of cells.
    batch
        Batch codes, shape ``(n_obs,)``.

    Returns
    -------
    Codes from 0, shape ``(n_obs,)``; ``-1`` for cells that lack one of these modalities. The same data give the same codes.

    Raises
    ------
    ImportError
        If there are several batches and harmonypy is not installed.

    Notes
    -----
    Embedding (:func:`plkd.model._embedding.embed_cells`), Harmony over batches, k-means. About a third of
    the square root of the number of cells, between 8 and 40, are more clusters than there are types: neighbouring ones cost
    little, whereas types in one cluster would be pulled together.
    """
    chosen, embedding = embed_cells(
        {spec.kind: (ReferenceTable(spec, Rows(table.matrix)), table.position) for spec, table in tables},
        np.arange(n_obs),
    )
    if len(np.unique(batch[chosen])) > 1:
        embedding = _without_batches(embedding, batch[chosen])
    n_clusters = int(np.clip(np.sqrt(len(embedding)) / 3, 8, 40))
    n_clusters = min(n_clusters, max(2, len(embedding) // 5))
    codes = np.full(n_obs, -1)
    codes[chosen] = MiniBatchKMeans(n_clusters, n_init=5, random_state=_SEED).fit_predict(embedding)
    logger.info("No labels: %d clusters of %d cells stand in for them", n_clusters, int(chosen.sum()))
    return codes


def _without_batches(embedding: np.ndarray, batch: np.ndarray) -> np.ndarray:
    try:
        import harmonypy
    except ImportError as error:
        raise ImportError(
            "labels_key=None with several batches needs harmonypy. Fix: `pip install 'plkd[integration]'`, or set up "
            "without batch_key."
        ) from error
    corrected = harmonypy.run_harmony(
        embedding,
        pd.DataFrame({"batch": batch.astype(str)}),
        "batch",
        sigma=_HARMONY_SIGMA,
        random_state=_SEED,
        verbose=False,
    ).Z_corr
    return corrected if corrected.shape == embedding.shape else corrected.T
