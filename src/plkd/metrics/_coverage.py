"""`coverage`: how often prediction sets hold the true label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plkd.metrics._calls import check_frame, check_truth


def coverage(truth: Sequence[str] | np.ndarray | pd.Series, sets: pd.DataFrame) -> pd.DataFrame:
    """Return for each true label how often its cells' prediction sets hold it.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``; a Series needs the index of ``sets``. Cells where it is missing are
        left out. A label without a column is in no set.
    sets
        Cells x labels, boolean: whether the cell's set holds the label.

    Returns
    -------
    One row per label that occurs, in the order of the columns, those without a column last: ``n_cells``, ``coverage``
    (share of the cells whose set holds their label), ``set_size`` (mean number of labels in their sets). The overall
    values are the means weighted by ``n_cells``.

    Raises
    ------
    TypeError
        If ``sets`` is no frame.
    ValueError
        If it is not boolean, the cells differ, or no cell has a true label.

    Examples
    --------
    >>> import pandas as pd
    >>> from plkd import metrics
    >>> sets = pd.DataFrame({"B": [True, True], "T": [False, True]})
    >>> metrics.coverage(["B", "T"], sets)["set_size"].to_dict()
    {'B': 1.0, 'T': 2.0}
    """
    labels = check_frame(sets, "sets")
    if not all(pd.api.types.is_bool_dtype(dtype) for dtype in sets.dtypes):
        raise ValueError(f"sets holds {sorted({str(dtype) for dtype in sets.dtypes})}; expected boolean columns.")
    known, kept = check_truth(truth, sets, "sets")
    held, known = sets.to_numpy(dtype=bool)[kept], known[kept]
    covered = (held & (known[:, None] == np.array(labels, dtype=object))).any(axis=1)
    occurring = set(known)
    order = [label for label in labels if label in occurring] + sorted(occurring - set(labels))
    table = pd.DataFrame({"n_cells": 1, "coverage": covered, "set_size": held.sum(axis=1)})
    by_label = table.astype(float).groupby(known).agg({"n_cells": "size", "coverage": "mean", "set_size": "mean"})
    return by_label.loc[order].rename_axis("label")
