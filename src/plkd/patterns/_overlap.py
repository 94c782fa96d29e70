"""Match the peaks of two data sets by genomic overlap."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import sparse

from plkd.patterns._peaks import overlapping_pairs, read_names


def overlap_map(
    model_peaks: Iterable[str], query_peaks: Iterable[str], *, min_overlap: float = 0.5
) -> sparse.csr_matrix:
    """Say which peaks of a query are peaks of a model: those that overlap enough, or have the same name.

    Parameters
    ----------
    model_peaks, query_peaks
        Names such as ``chr1:100-200``, in any form that :func:`plkd.patterns.parse_peaks` reads. Names that are no
        intervals match equal names only.
    min_overlap
        Least share of the shorter of the two peaks that must lie in the other, above 0 and at most 1.

    Returns
    -------
    Shape ``(n_query, n_model)``, float32, 1 where a query peak is a model peak; a peak may be several of the other set.

    Raises
    ------
    ValueError
        If ``min_overlap`` is out of range.

    Examples
    --------
    >>> overlap_map(["chr1:100-200", "chr2:0-50"], ["1-150-400", "chr1:100-140"]).toarray().tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    if not 0 < min_overlap <= 1:
        msg = f"min_overlap={min_overlap}: expected a share of the shorter peak, above 0 and at most 1, such as 0.5."
        raise ValueError(msg)
    names = [[str(name) for name in peaks] for peaks in (query_peaks, model_peaks)]
    chrom, start, end = zip(*(read_names(side) for side in names), strict=True)
    read = [np.flatnonzero(end[i] > start[i]) for i in (0, 1)]
    query, model = overlapping_pairs(*((chrom[i][read[i]], start[i][read[i]], end[i][read[i]]) for i in (0, 1)))
    query, model = read[0][query], read[1][model]
    shared = np.minimum(end[0][query], end[1][model]) - np.maximum(start[0][query], start[1][model])
    shorter = np.minimum(end[0][query] - start[0][query], end[1][model] - start[1][model])
    enough = shared >= min_overlap * shorter
    equal_query, equal_model = _equal(*names)
    rows, columns = np.concatenate([query[enough], equal_query]), np.concatenate([model[enough], equal_model])
    ones = np.ones(rows.size, dtype=np.float32)
    matches = sparse.csr_matrix((ones, (rows, columns)), shape=(len(names[0]), len(names[1])))
    # A pair with equal names overlaps too: both entries were added up.
    matches.data[:] = 1
    return matches


def _equal(query: list[str], model: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pair equal names, repeated ones included."""
    pairs = pd.merge(
        pd.DataFrame({"name": query, "query": np.arange(len(query))}),
        pd.DataFrame({"name": model, "model": np.arange(len(model))}),
        on="name",
    )
    return pairs["query"].to_numpy(dtype=np.int64), pairs["model"].to_numpy(dtype=np.int64)
