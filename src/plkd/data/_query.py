"""A query as cells of a model: aligned, checked, never changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from anndata import AnnData

from plkd.align import COMFORT, align_features
from plkd.data._cells import Cells, Modality
from plkd.data._matrix import get_matrix, layer_names
from plkd.data._rows import Rows
from plkd.data._scale import detect_scale

logger = logging.getLogger("plkd")


def open_query(
    adata: AnnData,
    features: Sequence[str] | np.ndarray,
    *,
    modality: str,
    layer: str | None,
    share_of: Callable[[np.ndarray], float],
    trained_on: str = "counts",
    called: str = "Query",
) -> Cells:
    """Open a data set for a model: features aligned by name, scale recognised, one line said of both.

    Parameters
    ----------
    adata
        In memory, a view or backed; neither changed nor copied whole. Needs no labels and no batches.
    features
        The model's features, in its order.
    modality
        Name of the modality in the model.
    layer
        Layer the reference was registered with; None means ``X``.
    share_of
        Gives the reference's mean share of the features marked present.
    trained_on
        Scale of the reference, ``"counts"`` or ``"log"``.
    called
        What the line of the log calls the data set.

    Raises
    ------
    TypeError
        If ``adata`` is no AnnData.
    KeyError
        If the layer is not there.
    ValueError
        If too few features are found, or values are negative or not finite.
    """
    if not isinstance(adata, AnnData):
        raise TypeError(f"The query is a {type(adata).__name__}; expected an AnnData.")
    matrix, where = get_matrix(adata, layer)
    alignment = align_features(features, adata.var_names)
    rows = Rows(matrix, alignment.columns)
    scale = detect_scale(Rows(rows.matrix) if rows.in_memory else rows, where, other_layers=layer_names(adata))
    say = logger.warning if alignment.fraction < COMFORT else logger.info
    say("%s: %d cells, %s", called, adata.n_obs, alignment)
    if scale != trained_on:
        logger.warning(
            "The query holds %s, the reference held %s; labels may suffer. Fix: pass both on the same scale.",
            _IN_WORDS[scale],
            _IN_WORDS[trained_on],
        )
    share = share_of(alignment.present) if scale == "counts" else 1.0
    return Cells({modality: Modality(rows, scale, share, where)}, adata.n_obs)


_IN_WORDS = {"counts": "counts", "log": "log-normalised values"}
