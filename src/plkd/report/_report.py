"""`Report`: how good the calls of labelled cells are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plkd import metrics
from plkd.metrics._calls import Calls, check_calls
from plkd.report._plain import plain


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """Say how good the calls of labelled cells are, and what they come from.

    Parameters
    ----------
    truth
        True label of each cell, shape ``(n_cells,)``; a Series needs the index of ``probabilities``. Cells where it is
        missing are left out. Calls of cells whose label has no column are wrong.
    probabilities
        Cells x labels, rows summing to 1, as ``predict(soft=True)`` returns them. The cells should not have trained the
        model.
    uncalibrated
        The same before calibration, for comparison; None leaves it out.
    about
        What else to show, section by section: ``{section: text}`` or ``{section: {name: value}}`` with numbers, texts,
        sequences or mappings as values; names ending in ``seconds`` are durations.

    Raises
    ------
    TypeError
        If probabilities are no frame, or ``about`` is no mapping.
    ValueError
        If they are no probabilities, the cells differ, or no cell has a true label.

    Examples
    --------
    >>> import pandas as pd
    >>> import plkd
    >>> probabilities = pd.DataFrame({"B": [0.9, 0.6, 0.2], "T": [0.1, 0.4, 0.8]})
    >>> report = plkd.Report(["B", "T", "T"], probabilities)
    >>> report.labels["recall"].to_dict()
    {'B': 1.0, 'T': 0.5}
    >>> report.labels.loc["T", "confused_with"]
    'B'
    """

    truth: Sequence[str] | np.ndarray | pd.Series
    probabilities: pd.DataFrame
    uncalibrated: pd.DataFrame | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check everything before it is asked for."""
        if not isinstance(self.about, Mapping):
            raise TypeError(f"about is a {type(self.about).__name__}; expected {{section: {{name: value}}}}.")
        _ = self._calls
        if self.uncalibrated is not None:
            before = check_calls(self.truth, self.uncalibrated)
            if before.labels != self._calls.labels:
                raise ValueError(
                    "uncalibrated has other columns than probabilities; expected the same labels in order."
                )

    @cached_property
    def _calls(self) -> Calls:
        return check_calls(self.truth, self.probabilities)

    @cached_property
    def overall(self) -> pd.Series:
        """Scores over all cells.

        ``n_cells``; ``accuracy``; ``macro_f1``, the mean over the labels that are true or called anywhere; ``weighted_f1``,
        their mean weighted by the labels' cells; :func:`~plkd.metrics.brier_score`;
        :func:`~plkd.metrics.calibration_error`; the last two also ``_uncalibrated``, where that is known.
        """
        labels = self.labels
        scores: dict[str, float] = {
            "n_cells": len(self._calls.truth),
            "accuracy": float(self._calls.right.mean()),
            "macro_f1": float(labels["f1"].mean()),
            "weighted_f1": float(np.average(labels["f1"].fillna(0), weights=labels["n_cells"])),
        }
        for ending, frame in (("", self.probabilities), ("_uncalibrated", self.uncalibrated)):
            if frame is not None:
                scores[f"brier_score{ending}"] = metrics.brier_score(self.truth, frame)
                scores[f"calibration_error{ending}"] = metrics.calibration_error(self.truth, frame)
        return pd.Series(scores, name="overall", dtype=float)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """One row per label, in the order of the columns, those without a column last.

        ``n_cells`` (of that true label), ``n_called``, ``precision``, ``recall``, ``f1`` (NaN where they do not exist: no
        cell called, no cell true, neither), ``confidence`` (mean over the cells called so; next to ``precision`` it says
        whether it can be trusted), ``confused_with`` (what most of the label's other cells were called, empty if none)
        and ``n_confused`` (how many).
        """
        counts = self.confusion.reindex(columns=self.confusion.index, fill_value=0)
        table = counts.to_numpy()
        right, n_cells, n_called = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        wrong = table - np.diag(right)
        most = wrong.argmax(axis=1)
        n_confused = wrong[np.arange(len(table)), most]
        mean = pd.Series(self._calls.confidence).groupby(self._calls.called).mean()
        with np.errstate(invalid="ignore"):
            return pd.DataFrame(
                {
                    "n_cells": n_cells,
                    "n_called": n_called,
                    "precision": right / n_called,
                    "recall": right / n_cells,
                    "f1": 2 * right / (n_called + n_cells),
                    "confidence": mean.reindex(counts.index).to_numpy(dtype=float),
                    "confused_with": np.where(n_confused > 0, counts.index.to_numpy(dtype=object)[most], ""),
                    "n_confused": n_confused,
                },
                index=counts.index.rename("label"),
            )

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """Number of cells by true label (rows; those without a column last) and called label (columns)."""
        calls = self._calls
        rows = [*calls.labels, *sorted(set(calls.truth) - set(calls.labels))]
        counts = np.zeros((len(rows), len(calls.labels)), dtype=int)
        np.add.at(counts, (pd.Index(rows).get_indexer(calls.truth), calls.probabilities.argmax(axis=1)), 1)
        return pd.DataFrame(
            counts,
            index=pd.Index(rows, name="true", dtype=object),
            columns=pd.Index(calls.labels, name="called", dtype=object),
        )

    @cached_property
    def reliability(self) -> pd.DataFrame:
        """Confidence and accuracy by bin, as :func:`plkd.metrics.reliability` gives them."""
        return metrics.reliability(self.truth, self.probabilities)

    def __str__(self) -> str:
        from plkd.report._text import as_text

        return as_text(self)

    def __repr__(self) -> str:
        return str(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dicts, lists, texts and numbers that JSON can hold; NaN as None.

        Examples
        --------
        >>> sorted(model.report().to_dict())
        ['about', 'confusion', 'labels', 'overall', 'reliability']
        """
        return plain(
            {
                "overall": self.overall.astype(object).to_dict() | {"n_cells": int(self.overall["n_cells"])},
                "labels": self.labels.to_dict("index"),
                "confusion": self.confusion.to_dict("split", index=True),
                "reliability": self.reliability.to_dict("list"),
                "about": self.about,
            }
        )

    def to_html(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one page with figures that needs no other file and no network.

        Parameters
        ----------
        path
            File to write; it is whole or not there.
        overwrite
            Replace a file that is there.

        Raises
        ------
        FileNotFoundError
            If the folder does not exist.
        ValueError
            If the file exists and ``overwrite`` is False, or ``path`` is a folder or none.
        OSError
            If it cannot be written; what was there is unchanged.

        Examples
        --------
        >>> model.report().to_html("scores.html")
        """
        from plkd._files import as_path, replace_when_written
        from plkd.report._html import as_html

        path = as_path(path, "path")
        if path.is_dir():
            raise ValueError(f'{path} is a folder; expected a file. Fix: `report.to_html("{path / "report.html"}")`.')
        if path.exists() and not overwrite:
            raise ValueError(f"{path} already exists. Fix: name another file, or pass overwrite=True.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path.parent} does not exist. Fix: make the folder, or name another file.")
        page = as_html(self)
        with replace_when_written(path) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="replace")
