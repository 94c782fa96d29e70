"""Fit the model's confidence on cells that were kept from training."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from plkd.confidence import Calibration, Confidence, LabelCentres, Part, fit_calibration, fit_centres
from plkd.data import Cells, ModalitySpec
from plkd.inference import run_student, run_teacher
from plkd.module import PLKDModule
from plkd.nn import InputScaling, Student
from plkd.presets import Preset, StudentTraining
from plkd.train import Folds, Split, cross_fit, make_folds

logger = logging.getLogger("plkd")

#: Calls that would be right on cells of the reference's own laboratory are taken to be wrong this often elsewhere, where the
#: reference is of one batch and so cannot show it.
ALLOWANCE = 0.04
#: More cells say little more.
_MOST_SCORED = 20_000
_MOST_CENTRED = 5_000
#: A set of modalities with fewer held-out cells, and a Teacher with fewer, are not calibrated apart.
_LEAST_CELLS = 20


class ConfidenceMixin:
    """Adds calibration, novelty and held-out predictions to the model."""

    # What the model class provides.
    module: PLKDModule
    _settings: Preset
    _specs: Sequence[ModalitySpec]
    _scaling: Callable[[], dict[str, Any]]
    _start_bias: Callable[..., None]
    #: Arrays of the confidence and its note; None: not calibrated. Saved with the model.
    confidence_: dict[str, Any] | None = None
    #: Held-out predictions: ``cells`` (numbers), ``codes`` (true labels), ``logits``. Saved with the model.
    held_out_: dict[str, np.ndarray] | None = None
    if TYPE_CHECKING:

        @property
        def labels(self) -> list[str]: ...

    @property
    def _confidence(self) -> Confidence | None:
        """What held-out cells say about the Student's answers; None for a model that was not calibrated."""
        if self.confidence_ is None:
            return None
        kinds = [spec.kind for spec in self._specs]
        return Confidence.from_arrays(kinds, self.confidence_["arrays"], self.confidence_["note"])

    @property
    def _teacher_calibration(self) -> Calibration | None:
        saved = None if self.confidence_ is None else self.confidence_["teacher"]
        return None if saved is None else Calibration.from_arrays(saved)

    def _fit_confidence(
        self, training: StudentTraining, cells: Cells, split: Split, *, teacher: bool, progress: bool
    ) -> None:
        """Train Students without parts of the reference and keep what they say about those."""
        self.confidence_ = self.held_out_ = None
        if self._settings.confidence.n_folds == 0:
            return
        start = time.perf_counter()
        rng = np.random.default_rng(zlib.crc32(split.train.tobytes()))
        taking_part = np.union1d(split.train, split.validation)
        folds = make_folds(cells.labels, cells.batch, taking_part, rng, n_folds=self._settings.confidence.n_folds)
        scored = np.flatnonzero(folds.scored)
        if len(folds) < 2 or not len(scored):
            logger.warning(
                "Confidence is not calibrated: no label has two cells, so that none can be held out. Probabilities are the "
                "softmax as it is, and novelty is not known."
            )
            return
        if len(scored) > _MOST_SCORED:
            scored = np.sort(rng.choice(scored, _MOST_SCORED, replace=False))
        subsets = _subsets(cells, scored)
        found = self._held_out_outputs(training, cells, folds, scored, subsets, progress=progress)
        # Batches tell how far one laboratory's cells lie from another's; a single batch cannot.
        allowance = ALLOWANCE if len(np.unique(cells.batch[taking_part])) == 1 else 0.0
        parts = {
            subset: Part.fit(
                logits,
                cells.labels[numbers],
                distances,
                _centres(
                    self._scaling(), self.module.student, cells.only(*subset), _all_of(cells, subset, split.train)
                ),
                allowance=allowance,
            )
            for subset, (numbers, logits, distances) in found.items()
        }
        note = folds.note + (f"; one batch: confidence lowered by {allowance:.0%}" if allowance else "")
        confidence = Confidence(tuple(cells.modalities), parts, note)
        self.confidence_ = {"arrays": confidence.to_arrays(), "note": note, "teacher": None}
        if teacher and len(split.validation) >= _LEAST_CELLS:
            logits = run_teacher(self._scaling(), self.module.teacher, cells, split.validation).logits
            calibration = fit_calibration(logits, cells.labels[split.validation], allowance=allowance)
            self.confidence_["teacher"] = calibration.to_arrays()
        numbers, logits, _ = found[subsets[-1]]
        self.held_out_ = {"cells": numbers, "codes": cells.labels[numbers], "logits": logits}
        seconds = time.perf_counter() - start
        logger.info("Confidence: %d held-out cells, %s, in %.1f s", len(scored), note, seconds)

    def _held_out_outputs(
        self,
        training: StudentTraining,
        cells: Cells,
        folds: Folds,
        scored: np.ndarray,
        subsets: Sequence[tuple[str, ...]],
        *,
        progress: bool,
    ) -> dict[tuple[str, ...], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return for each set of modalities the held-out cells, their logits and their distances to the labels' centres."""
        found: dict[tuple[str, ...], list[tuple[np.ndarray, ...]]] = {subset: [] for subset in subsets}
        students = cross_fit(
            self.module,
            cells,
            folds,
            student=self._settings.student,
            training=training,
            weight_power=self._settings.scaling.weight_power,
            start_bias=lambda student, train: self._start_bias(student, training, cells, train),
        )
        for number, student, scaling in tqdm(
            students, total=len(folds), desc="Confidence", unit="fold", disable=not progress
        ):
            train, held = folds.split(number)
            held = np.intersect1d(held, scored)
            for subset in subsets:
                seen, own = cells.only(*subset), _all_of(cells, subset, held)
                if not len(own):
                    continue
                centres = _centres(scaling, student, seen, _all_of(cells, subset, train))
                out = run_student(scaling, student, seen, own)
                found[subset].append((own, out.logits, centres.distance(out.latent)))
        return {subset: _joined(outputs) for subset, outputs in found.items() if outputs}


def _subsets(cells: Cells, scored: np.ndarray) -> list[tuple[str, ...]]:
    """Return the sets of modalities that enough cells have, the largest last; at least the most frequent one."""
    kinds = list(cells.modalities)
    every = [some for n in range(1, len(kinds) + 1) for some in combinations(kinds, n)]
    n_cells = {subset: len(_all_of(cells, subset, scored)) for subset in every}
    enough = [subset for subset in every if n_cells[subset] >= _LEAST_CELLS]
    return enough or [max(every, key=lambda subset: n_cells[subset])]


def _all_of(cells: Cells, subset: Sequence[str], numbers: np.ndarray) -> np.ndarray:
    """Return those of some cells that were measured in all modalities of a set."""
    measured = [cells.modalities[kind].measured(cells.n_obs)[numbers] for kind in subset]
    return numbers[np.all(measured, axis=0)]


def _centres(scaling: Mapping[str, InputScaling], student: Student, cells: Cells, train: np.ndarray) -> LabelCentres:
    some = train[:: -(-len(train) // _MOST_CENTRED)] if len(train) > _MOST_CENTRED else train
    return fit_centres(run_student(scaling, student, cells, some).latent, cells.labels[some])


def _joined(outputs: Sequence[tuple[np.ndarray, ...]]) -> Any:
    """Return the folds' outputs in the order of the cells."""
    numbers, logits, distances = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    order = np.argsort(numbers, kind="stable")
    return numbers[order], logits[order], distances[order]
