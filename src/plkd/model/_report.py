"""`report`: how good a trained model's calls are, and what it comes from."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plkd._arguments import check_type
from plkd.confidence import Confidence, crossed_probabilities
from plkd.data import Cells, ModalitySpec
from plkd.inference import probability_frame
from plkd.patterns import PatternSet
from plkd.report import Report
from plkd.report._card import CardFacts, as_card
from plkd.train import Split

_LIBRARIES = ("plkd", "scvi-tools", "torch", "lightning", "anndata", "scikit-learn", "numpy", "pandas")
#: A label with fewer cells is pointed out: its scores are chance to a good part.
_FEW = 10
_LEAST_CROSSED = 20
_LICENSE = re.compile(r"[\w.+-]+")


class ReportMixin:
    """Adds :meth:`report` and :meth:`model_card` to the model."""

    # What the model class provides.
    validation_indices_: np.ndarray
    history_: dict[str, pd.DataFrame] | None
    held_out_: dict[str, np.ndarray] | None
    #: Facts of the last training, which the report shows and the model is saved with.
    training_: dict[str, Any] | None
    _specs: Sequence[ModalitySpec]
    _patterns: PatternSet
    _reference_cells: Callable[[], Cells]
    _check_ready: Callable[[str], None]
    predict: Callable[..., Any]
    if TYPE_CHECKING:

        @property
        def labels(self) -> list[str]: ...
        @property
        def _confidence(self) -> Confidence | None: ...

    def report(self) -> Report:
        """Say how good calls are on labelled cells of the reference that were kept from training.

        Returns
        -------
        Scores overall and by label, confusion, calibration; beside them the reference, training, what was dropped, and
        versions. Printed it is text; :meth:`plkd.Report.to_html` writes one page.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If no cells were held out; for a model that was not calibrated also if it lacks its reference.

        Notes
        -----
        In training, Students of the model's settings learn without a part of the reference each (whole batches where there
        are at least three) and call the cells left out; these calls are what is scored, and each cell's probabilities come from a
        calibration that was fitted to other cells (of fewer than 20 cells: from the model's own). Those Students learn from the labels alone, without the Teacher. A model
        that was not calibrated (``n_folds=0``) is scored itself, on its validation cells.

        Examples
        --------
        >>> report = model.report()
        >>> report.labels.index.tolist()
        ['type_0', 'type_1', 'type_2']
        >>> report.to_html("report.html")
        """
        self._check_ready("student")
        if self.held_out_ is not None and self._confidence is not None:
            return self._report_on_folds(self.held_out_, self._confidence)
        return self._report_on_validation()

    def model_card(self, description: str | None = None, *, license: str | None = None) -> str:
        """Return a model card: what the model was trained on, how good it is, what it cannot do.

        For those who get the model from you. :meth:`export_student` puts one into the Annotator's file.

        Parameters
        ----------
        description
            What only you know, in Markdown: which cells the reference holds (tissue, species, donors, protocols, where it
            is published), where its labels come from, whom to ask. None says that there is none.
        license
            Short name of the licence of the model, such as ``"cc-by-4.0"``. None leaves it out.

        Returns
        -------
        Markdown: number of cells by label, batches, features, patterns, scores on held-out cells (:meth:`report`),
        limits, versions. It names the labels and the sources of patterns, and no cell and no batch. At its top is the
        header that the Hugging Face Hub reads.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        TypeError, ValueError
            If ``description`` is no text, or ``license`` no short name.

        Examples
        --------
        >>> card = model.model_card("PBMC of eight donors, 10x 3' v3.", license="cc-by-4.0")
        """
        if description is not None:
            check_type("description", description, str, "text, or None")
        if license is not None and (not isinstance(license, str) or _LICENSE.fullmatch(license) is None):
            raise ValueError(f"license={license!r}; expected a short name without spaces. Fix: license='cc-by-4.0'.")
        self._check_ready("student")
        try:
            report = self.report()
        except ValueError:
            report = None
        return as_card(
            CardFacts(
                modalities=[(spec.called, spec.kind, len(spec.features), spec.scale) for spec in self._specs],
                labels={label: ((self.training_ or {}).get("labels") or {}).get(label) for label in self.labels},
                sources=self._patterns.sources,
                about=self._about("none") if report is None else report.about,
                calibrated=self._confidence is not None,
            ),
            report,
            description,
            license,
        )

    def _report_on_folds(self, held_out: dict[str, np.ndarray], confidence: Confidence) -> Report:
        cells = pd.Index(held_out["cells"])
        called = {spec.kind: spec.called for spec in self._specs}
        temperatures = {
            " + ".join(called[kind] for kind in subset): part.calibration.temperature
            for subset, part in confidence.parts.items()
        }
        note = {
            "held-out cells": confidence.note,
            "called by": "Students that did not see them, without the Teacher",
            "temperature of the Student that answers": temperatures
            if len(temperatures) > 1
            else next(iter(temperatures.values())),
        }
        return Report(
            np.array(self.labels, dtype=object)[held_out["codes"]],
            pd.DataFrame(_calibrated(held_out, confidence), index=cells, columns=self.labels),
            uncalibrated=probability_frame(held_out["logits"], self.labels, cells),
            about=self._about(note),
        )

    def _report_on_validation(self) -> Report:
        held_out = np.asarray(self.validation_indices_, dtype=np.int64)
        if not len(held_out):
            raise ValueError("No cells were held out of training. Fix: `model.train(train_size=0.9)`.")
        cells = self._reference_cells()
        if held_out.max() >= cells.n_obs or (cells.labels[held_out] < 0).any():
            raise ValueError(
                "The attached data are not the reference that the model was trained on. Fix: `PLKD.load(path, adata=ref)`."
            )
        note = "none: probabilities are the softmax of the logits, on the cells held out for validation"
        return Report(
            np.array(self.labels, dtype=object)[cells.labels[held_out]],
            self.predict(indices=held_out, soft=True),
            about=self._about(note),
        )

    def _about(self, calibration: Any) -> dict[str, Any]:
        """Return what the report says beside the scores, section by section."""
        # Nothing is known of the training of models saved before it was kept.
        facts = self.training_ or {"reference": {}, "training": {}, "dropped": {}, "versions": {}}
        report = self._patterns.report
        reasons = [] if report is None else report.dropped["reason"]
        epochs = {phase: _n_epochs(self.history_ or {}, phase) for phase in ("teacher", "student")}
        return {
            "reference": {
                **facts["reference"],
                "features": {spec.called: len(spec.features) for spec in self._specs},
                "labels": len(self.labels),
                "patterns": len(self._patterns),
            },
            "training": {**facts["training"], "epochs": {phase: n for phase, n in epochs.items() if n}},
            "calibration": calibration,
            "dropped": {
                **facts["dropped"],
                "patterns": dict(Counter(str(reason).split(":")[0] for reason in reasons).most_common()),
                "features in no pattern": [] if report is None else report.uncovered,
            },
            "versions": facts["versions"],
        }


def training_facts(
    cells: Cells, labels: Sequence[str], split: Split, *, seconds: dict[str, float], device: Any, kd_weight: float
) -> dict[str, Any]:
    """Return what a report says of the reference and of training, in plain values.

    Parameters
    ----------
    cells
        The reference.
    labels
        Names of its labels.
    split
        Which cells trained.
    seconds
        What each phase took.
    device
        What it ran on.
    kd_weight
        Share of the distillation in the Student's loss.
    """
    n_cells = np.bincount(cells.labels[cells.labels >= 0], minlength=len(labels))
    few = {label: int(n) for label, n in zip(labels, n_cells, strict=True) if n < _FEW}
    return {
        "reference": {
            "cells": int(cells.n_obs),
            "batches": len(np.unique(cells.batch)),
            f"labels of fewer than {_FEW} cells": few,
        },
        "labels": {label: int(n) for label, n in zip(labels, n_cells, strict=True)},
        "training": {"seconds": seconds, "device": str(device), "share of the Teacher": kd_weight},
        "dropped": {
            "cells without a label": int((cells.labels < 0).sum()),
            "cells with a doubtful label": len(split.doubtful),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
    }


def _calibrated(held_out: dict[str, np.ndarray], confidence: Confidence) -> np.ndarray:
    """Return the probabilities of held-out cells, from calibrations that were fitted to others measured alike.

    Of fewer than 20 cells in all: from the model's own.
    """
    logits, codes, measured = held_out["logits"], held_out["codes"], held_out["measured"]
    # Of the Students that did not see the cells, not of the one that answers: its temperature is another.
    allowance = next(iter(confidence.parts.values())).calibration.allowance
    few = len(codes) < _LEAST_CROSSED
    found = (
        confidence.probabilities(logits, measured) if few else crossed_probabilities(logits, codes, allowance=allowance)
    )
    for pattern in np.unique(measured, axis=0):
        subset = tuple(kind for kind, there in zip(confidence.kinds, pattern, strict=True) if there)
        own = (measured == pattern).all(axis=1)
        # Fewer were not calibrated apart, or say too little of themselves.
        if subset in confidence.parts and own.sum() >= _LEAST_CROSSED:
            found[own] = crossed_probabilities(logits[own], codes[own], allowance=allowance)
    return found


def _n_epochs(history: dict[str, pd.DataFrame], phase: str) -> int:
    return max((len(frame) for key, frame in history.items() if key.startswith(f"{phase}_")), default=0)
