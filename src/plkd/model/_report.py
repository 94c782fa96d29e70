"""`report`: how good a trained model's calls are, and what it comes from."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plkd.data import Cells, ModalitySpec
from plkd.patterns import PatternSet
from plkd.report import Report

_LIBRARIES = ("plkd", "scvi-tools", "torch", "lightning", "anndata", "scikit-learn", "numpy", "pandas")
#: A label with fewer cells is pointed out: its scores are chance to a good part.
_FEW = 10


class ReportMixin:
    """Adds :meth:`report` to the model."""

    # What the model class provides.
    validation_indices_: np.ndarray
    history_: dict[str, pd.DataFrame] | None
    _specs: Sequence[ModalitySpec]
    _patterns: PatternSet
    _reference_cells: Callable[[], Cells]
    _check_ready: Callable[[str], None]
    predict: Callable[..., Any]
    if TYPE_CHECKING:

        @property
        def labels(self) -> list[str]: ...

    def report(self) -> Report:
        """Say how good the Student's calls are on labelled cells that were held out of training.

        Returns
        -------
        Scores overall and by label, confusion, calibration; beside them the reference, what was dropped from it, training
        and versions. Printed it is text; :meth:`plkd.Report.to_html` writes one page.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If no cells were held out, or the model lacks its reference.
        """
        self._check_ready("student")
        held_out = np.asarray(self.validation_indices_, dtype=np.int64)
        if not len(held_out):
            raise ValueError("No cells were held out of training. Fix: `model.train(train_size=0.9)`.")
        cells = self._reference_cells()
        if held_out.max() >= cells.n_obs or (cells.labels[held_out] < 0).any():
            raise ValueError(
                "The attached data are not the reference that the model was trained on. Fix: `PLKD.load(path, adata=ref)`."
            )
        truth = np.array(self.labels, dtype=object)[cells.labels[held_out]]
        return Report(truth, self.predict(indices=held_out, soft=True), about=self._about(cells))

    def _about(self, cells: Cells) -> dict[str, Any]:
        """Return what the report says of the reference and of the model, section by section."""
        n_cells = pd.Series(np.bincount(cells.labels[cells.labels >= 0], minlength=len(self.labels)), self.labels)
        few = {label: int(n) for label, n in n_cells.items() if n < _FEW}
        report = self._patterns.report
        uncovered = [] if report is None else report.uncovered
        reasons = [] if report is None else report.dropped["reason"]
        phases = {phase: _n_epochs(self.history_ or {}, phase) for phase in ("teacher", "student")}
        return {
            "reference": {
                "cells": cells.n_obs,
                "features": {spec.called: len(spec.features) for spec in self._specs},
                "labels": len(self.labels),
                f"labels of fewer than {_FEW} cells": few,
                "batches": len(np.unique(cells.batch)),
                "patterns": len(self._patterns),
            },
            "training": {"epochs": {phase: n for phase, n in phases.items() if n}},
            "calibration": "none: probabilities are the softmax of the logits",
            "dropped": {
                "cells without a label": int((cells.labels < 0).sum()),
                "patterns": dict(Counter(str(reason).split(":")[0] for reason in reasons).most_common()),
                "features in no pattern (the free tokens and the Student see them)": uncovered,
            },
            "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
        }


def _n_epochs(history: dict[str, pd.DataFrame], phase: str) -> int:
    return max((len(frame) for key, frame in history.items() if key.startswith(f"{phase}_")), default=0)
