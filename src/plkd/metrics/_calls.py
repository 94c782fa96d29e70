"""What the metrics are given, checked once: true labels and probabilities that belong to the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plkd._arguments import one_per_cell

#: Rows may miss 1 by what single precision and rounding to three digits leave.
_TOLERANCE = 5e-3


@dataclass(frozen=True, eq=False)
class Calls:
    """Cells with a true label, and what was said about them.

    Parameters
    ----------
    truth
        True labels as text, shape ``(n_cells,)``.
    labels
        Labels of the columns as text.
    probabilities
        Shape ``(n_cells, n_labels)``.
    kept
        Which of the cells that were given have a true label, boolean.
    """

    truth: np.ndarray
    labels: list[str]
    probabilities: np.ndarray
    kept: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """The number of the true label's column of each cell, -1 where there is none."""
        return pd.Index(self.labels, dtype=object).get_indexer(self.truth)

    @property
    def called(self) -> np.ndarray:
        """The most probable label of each cell; the first of equals."""
        return np.array(self.labels, dtype=object)[self.probabilities.argmax(axis=1)]

    @property
    def confidence(self) -> np.ndarray:
        """The probability of that label."""
        return self.probabilities.max(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Whether that label is the true one."""
        return self.probabilities.argmax(axis=1) == self.columns


def check_calls(truth: Sequence[str] | np.ndarray | pd.Series, probabilities: pd.DataFrame) -> Calls:
    """Check true labels and probabilities and return those of the cells with a true label.

    Raises
    ------
    TypeError
        If the probabilities are no frame.
    ValueError
        If they are no probabilities, labels repeat, the cells differ, or no cell has a true label.
    """
    labels = check_frame(probabilities, "probabilities")
    values = as_numbers(probabilities)
    wrong = ~(np.isfinite(values) & (values >= -_TOLERANCE) & (values <= 1 + _TOLERANCE)).all(axis=1)
    wrong |= np.abs(values.sum(axis=1) - 1) > _TOLERANCE
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{int(wrong.sum())} of {len(values)} rows are no probabilities, e.g. {probabilities.index[first]!r} sums to "
            f"{values[first].sum():.4g}; expected values from 0 to 1 that sum to 1. Fix: pass `predict(soft=True)`."
        )
    known, kept = check_truth(truth, probabilities, "probabilities")
    return Calls(known[kept], labels, values[kept].clip(0, 1), kept)


def check_truth(
    truth: Sequence[str] | np.ndarray | pd.Series, frame: pd.DataFrame, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return true labels as text, and which there are."""
    if isinstance(truth, pd.Series) and not truth.index.equals(frame.index):
        raise ValueError(
            f"truth and {name} are indexed by different cells, or in different order; expected the same. Fix: "
            f"`truth.loc[{name}.index]`, or `truth.to_numpy()` if the order is the same."
        )
    values = pd.Series(one_per_cell("truth", truth), dtype=object)
    if len(values) != len(frame):
        raise ValueError(f"truth holds {len(values)} labels, {name} {len(frame)} cells; expected one label per cell.")
    kept = values.notna().to_numpy()
    if not kept.any():
        raise ValueError(f"None of the {len(values)} cells has a true label; expected some.")
    return values.astype(str).to_numpy(dtype=object), kept


def check_frame(frame: pd.DataFrame, name: str) -> list[str]:
    """Return the labels of a frame cells x labels as text."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} is a {type(frame).__name__}; expected a DataFrame, cells x labels.")
    labels = [str(label) for label in frame.columns]
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"{name} has {len(labels)} columns, {len(set(labels))} names; expected one column per label.")
    return labels


def as_numbers(frame: pd.DataFrame) -> np.ndarray:
    """Return the values of a frame in double precision."""
    try:
        return frame.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("probabilities holds values that are no numbers. Fix: pass `predict(soft=True)`.") from error
