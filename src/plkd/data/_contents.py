"""What a reference's matrix holds that a user would want to know: nothing at all, cells without counts, features that tell nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from plkd.data._mend import owner, taking_counts
from plkd.data._rows import Rows
from plkd.patterns import KIND

logger = logging.getLogger("plkd")

_BLOCK = 4096


def check_contents(rows: Rows, where: str, *, kind: str, features: Sequence[str]) -> None:
    """Refuse a matrix of zeros; say which cells have no counts of proteins or peaks, and which of these are the same in all cells.

    Only matrices in memory are looked at, those of genes no further than the first count.

    Parameters
    ----------
    rows
        The matrix, as :func:`detect_scale` accepted it.
    where
        Its place in words, for messages.
    kind
        Kind of the features.
    features
        Names of the columns.

    Raises
    ------
    ValueError
        If there is no value but zero.
    """
    if not rows.in_memory:
        return
    n_cells, lowest, highest = 0, np.full(rows.n_features, np.inf), np.zeros(rows.n_features)
    for start in range(0, rows.n_obs, _BLOCK):
        block = rows.read(slice(start, start + _BLOCK))
        if kind == "rna" and block.count_nonzero():
            return
        low, high = _range(block, dense=KIND[kind].is_panel)
        lowest, highest = np.minimum(lowest, low), np.maximum(highest, high)
        n_cells += int((np.asarray(block.sum(axis=1)).ravel() > 0).sum())
    if not highest.any():
        raise ValueError(
            f"{where} holds nothing but zeros ({rows.n_obs} cells x {rows.n_features} {KIND[kind].features}); expected counts. "
            f"Fix: {taking_counts(where, kind)}."
        )
    if n_cells < rows.n_obs:
        logger.warning(
            "%d of %d cells have no counts in %s, which is read as measured with nothing found. %s",
            rows.n_obs - n_cells,
            rows.n_obs,
            where,
            _leaving_out_empty(where),
        )
    same = np.flatnonzero(lowest == highest)
    if len(same):
        examples = ", ".join(repr(str(features[i])) for i in same[:3])
        logger.info(
            "%d of %d %s in %s have one value in all cells and tell nothing, e.g. %s",
            len(same),
            rows.n_features,
            KIND[kind].features,
            where,
            examples,
        )


def _range(block: sp.csr_matrix, *, dense: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each feature; of many features 0, and the number of cells that have a value."""
    if dense:
        values = block.toarray()
        return values.min(axis=0), values.max(axis=0)
    return np.zeros(block.shape[1]), np.bincount(block.indices[block.data > 0], minlength=block.shape[1])


def _leaving_out_empty(where: str) -> str:
    whose = owner(where)
    if whose == "adata":
        return (
            "If they were not measured, pass a MuData, whose modalities may hold different cells: `PLKD.setup_mudata`."
        )
    kept = f"np.asarray({where}.sum(axis=1)).ravel() > 0"
    return (
        "If they were not measured, leave them out of the modality: "
        f"`mdata.mod{whose.removeprefix('mdata')} = {whose}[{kept}].copy()`, `mdata.update()`."
    )
