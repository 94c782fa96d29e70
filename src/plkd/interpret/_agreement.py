"""`attention_by_modality` and `agreement`: what the Teacher looked at, and whether the Student's calls rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def attention_by_modality(
    model: Any,
    adata: AnnData | MuData | None = None,
    *,
    groupby: str | Sequence[str] | np.ndarray | pd.Series | None = None,
    indices: Sequence[int] | np.ndarray | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Return how much of the Teacher's attention reaches each modality, by roll-out.

    Parameters
    ----------
    model
        A trained :class:`plkd.PLKD`.
    adata, groupby, indices, batch_size
        As in :meth:`plkd.PLKD.get_pattern_attention`.

    Returns
    -------
    Frame, cells (or groups) x modalities, rows sum to 1: the shares of each modality's tokens, the free ones too, summed. A modality
    of more tokens gets more by their number alone; compare ``model.token_kinds.value_counts(normalize=True)``, and
    :meth:`plkd.PLKD.get_modality_weights` for what decided the calls.

    Raises
    ------
    TypeError
        If ``model`` has no attention.

    Examples
    --------
    >>> plkd.interpret.attention_by_modality(joint, mdata, groupby="cell_type").columns.tolist()
    ['rna', 'prot', 'atac']
    """
    _check_teacher(model)
    attention = model.get_pattern_attention(adata, groupby=groupby, indices=indices, batch_size=batch_size)
    by_modality = attention.T.groupby(model.token_kinds, sort=False).sum().T
    return by_modality.rename_axis(columns=None)


def agreement(
    model: Any,
    adata: AnnData | MuData | None = None,
    *,
    indices: Sequence[int] | np.ndarray | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Say how far Teacher and Student agree: on the labels, and on the patterns.

    Parameters
    ----------
    model
        A trained :class:`plkd.PLKD`.
    adata, indices, batch_size
        As in :meth:`plkd.PLKD.predict`.

    Returns
    -------
    Frame, a row for each label that the Student calls:

    * ``n_cells``: cells that it calls so;
    * ``same_label``: the share of them that the Teacher calls alike;
    * ``size``: Spearman's rank correlation, over patterns, of the Teacher's mean attention and the size of the Student's mean
      attribution;
    * ``contrast``: the same of what sets the label apart: both less their means over the labels, the attribution with its sign.

    Correlations are in [-1, 1]: 0 means that attention says nothing about attribution. NaN where the model has one pattern, or all
    values are alike, and ``contrast`` where one label alone is called.

    Raises
    ------
    TypeError
        If ``model`` has no attention.

    Notes
    -----
    Large patterns get larger attributions, as sums of more genes; a ``size`` above 0 may come of that alone. The Teacher's free
    tokens are no patterns, and left out.

    Examples
    --------
    >>> table = plkd.interpret.agreement(model, query)
    >>> list(table)
    ['n_cells', 'same_label', 'size', 'contrast']
    """
    _check_teacher(model)
    given = {"indices": indices, "batch_size": batch_size}
    called = model.predict(adata, **given)
    teacher = model.predict(adata, model="teacher", **given)
    patterns = list(model.patterns.names)
    attention = model.get_pattern_attention(adata, indices=indices, groupby=called)[patterns]
    attribution = model.get_pattern_attribution(adata, groupby=called, **given)[patterns]
    labels = [label for label in model.labels if label in attention.index]
    if not labels:
        # Of no cells there is no mean.
        columns = {"n_cells": int, "same_label": float, "size": float, "contrast": float}
        return pd.DataFrame(index=pd.Index([], name="label"), columns=list(columns)).astype(columns)
    a, b = attention.loc[labels].to_numpy(np.float64), attribution.loc[labels].to_numpy(np.float64)
    return pd.DataFrame(
        {
            "n_cells": [int((called == label).sum()) for label in labels],
            "same_label": [float((teacher[called == label] == label).mean()) for label in labels],
            "size": [_spearman(x, np.abs(y)) for x, y in zip(a, b, strict=True)],
            "contrast": [_spearman(x, y) for x, y in zip(a - a.mean(axis=0), b - b.mean(axis=0), strict=True)],
        },
        index=pd.Index(labels, name="label"),
    )


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's correlation; NaN, without a warning, where one does not vary."""
    ranks = np.stack([rankdata(x), rankdata(y)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt(np.square(centred).sum(axis=1).prod())
    return float(centred.prod(axis=0).sum() / size) if size > 0 else float("nan")


def _check_teacher(model: Any) -> None:
    if not hasattr(model, "get_pattern_attention"):
        raise TypeError(
            f"model is a {type(model).__name__}, which has no Teacher; expected a plkd.PLKD. Fix: "
            "`plkd.PLKD.load(path, adata=reference)`."
        )
