"""`brier_score`: how far probabilities are from what was true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plkd.metrics._calls import check_calls


def brier_score(truth: Sequence[str] | np.ndarray | pd.Series, probabilities: pd.DataFrame) -> float:
    """Return the Brier score of several labels :cite:p:`Brier50`: lower is better, 0 at best, 2 at worst.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``; a Series needs the index of ``probabilities``. Cells where it is
        missing are left out. A label without a column adds 1, the square of the probability that it should have had.
    probabilities
        Cells x labels, rows summing to 1.

    Returns
    -------
    Squared distance between the probabilities and the truth (1 for the true label, 0 for the others), summed over
    labels, mean over cells.

    Raises
    ------
    TypeError
        If ``probabilities`` is no frame.
    ValueError
        If they are no probabilities, the cells differ, or no cell has a true label.

    Examples
    --------
    >>> import pandas as pd
    >>> from plkd import metrics
    >>> metrics.brier_score(["B", "T"], pd.DataFrame({"B": [1.0, 0.5], "T": [0.0, 0.5]}))
    0.25
    """
    calls = check_calls(truth, probabilities)
    columns = calls.columns
    of_truth = np.where(columns >= 0, calls.probabilities[np.arange(len(columns)), columns], 0)
    # sum over labels of (p - y)^2, of which y is 1 for one label
    return float((np.square(calls.probabilities).sum(axis=1) - 2 * of_truth + 1).mean())
