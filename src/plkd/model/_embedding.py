"""Cells in few dimensions, without labels and without a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

from plkd.model._reference import ReferenceTable, scaled_values

_COMPONENTS = 30
_SEED = 0


def embed_cells(
    tables: Mapping[str, tuple[ReferenceTable, np.ndarray | None]], numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return cells by truncated singular value decomposition of each modality's scaled values.

    Parameters
    ----------
    tables
        The modalities, each with the row of every cell (``-1`` where it was not measured; None: all cells, in order).
    numbers
        The cells, shape ``(n_obs,)``.

    Returns
    -------
    Which of the cells are embedded, bool, shape ``(n_obs,)``: those that have the modality most of them have. And their
    components: at most 30 of each modality that all of these have, centred and scaled alike. The same data give the same.
    """
    row_of = {kind: numbers if position is None else position[numbers] for kind, (_, position) in tables.items()}
    n_measured = {kind: int((rows >= 0).sum()) for kind, rows in row_of.items()}
    embedded = row_of[max(n_measured, key=lambda kind: n_measured[kind])] >= 0
    parts = []
    for kind, (table, _) in tables.items():
        rows = row_of[kind][embedded]
        if (rows < 0).any():
            continue
        values = scaled_values(table, rows)
        if min(values.shape) > 1:
            svd = TruncatedSVD(min(_COMPONENTS, min(values.shape) - 1), random_state=_SEED)
            components = svd.fit_transform(values)
        else:
            components = values.toarray() if sp.issparse(values) else values
        components -= components.mean(axis=0)
        parts.append(components / max(float(np.sqrt(np.square(components).sum(axis=1).mean())), 1e-12))
    return embedded, np.hstack(parts)
