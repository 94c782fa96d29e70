"""Refuse a reference that cannot be trained on, before anything is registered."""

from __future__ import annotations

import difflib
import logging
from typing import Any

import numpy as np
from anndata import AnnData

from plkd.data import get_matrix
from plkd.model._fields import as_text

logger = logging.getLogger("plkd")


def check_reference(
    adata: Any, labels_key: str, unlabeled_category: str, layer: str | None, batch_key: str | None
) -> None:
    """Check everything that ``setup_anndata`` needs.

    Raises
    ------
    TypeError
        If ``adata`` is no AnnData.
    ValueError
        If it is a view or empty, feature names repeat, fewer than two labels are in use, or a batch is missing.
    KeyError
        If a column or the layer does not exist; the message lists what there is.
    """
    if not isinstance(adata, AnnData):
        raise TypeError(f"adata is a {type(adata).__name__}; expected an AnnData. Fix: pass `adata`, not its path.")
    if adata.is_view:
        raise ValueError("adata is a view of another AnnData and cannot be set up. Fix: `adata = adata.copy()` first.")
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(f"adata has {adata.n_obs} cells and {adata.n_vars} features; expected some of both.")
    if not adata.var_names.is_unique:
        repeated = list(adata.var_names[adata.var_names.duplicated()].unique()[:3])
        raise ValueError(f"adata.var_names repeat, e.g. {repeated}. Fix: `adata.var_names_make_unique()`.")
    get_matrix(adata, layer)
    labels = as_text(obs_column(adata, labels_key, "labels_key"))
    known = labels[(labels != "") & (labels != unlabeled_category)]
    names, counts = np.unique(known.astype(str), return_counts=True)
    if len(names) < 2:
        raise ValueError(
            f"obs[{labels_key!r}] holds {len(names)} labels ({list(names)}) besides {unlabeled_category!r}; expected at "
            "least 2, since with one there is nothing to tell apart. Fix: name another column as labels_key."
        )
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < 3]
    if few:
        logger.warning("Labels with fewer than 3 cells are learned poorly and cannot be validated: %s", ", ".join(few))
    n_unlabeled = len(labels) - len(known)
    if n_unlabeled:
        logger.info("%d of %d cells have no label (missing, empty or %r)", n_unlabeled, len(labels), unlabeled_category)
    if batch_key is not None:
        n_missing = int((as_text(obs_column(adata, batch_key, "batch_key")) == "").sum())
        if n_missing:
            raise ValueError(
                f"obs[{batch_key!r}] is missing for {n_missing} cells; expected a batch for every reference cell. "
                f'Fix: `adata.obs["{batch_key}"] = adata.obs["{batch_key}"].astype(str)` or drop these cells.'
            )


def obs_column(adata: AnnData, key: str, argument: str) -> Any:
    """Return a column of ``obs``, or say which there are.

    Raises
    ------
    KeyError
        If there is none of this name.
    """
    if key in adata.obs:
        return adata.obs[key]
    columns = [str(c) for c in adata.obs.columns if not str(c).startswith("_scvi")]
    close = difflib.get_close_matches(str(key), columns, n=1)
    hint = f" Did you mean {argument}={close[0]!r}?" if close else ""
    raise KeyError(f"{argument}={key!r} is no column of adata.obs; found {columns[:20]}.{hint}")
