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
from plkd.train import Split, cross_fit, make_folds
from plkd.train._checkpoint import Checkpoint

logger = logging.getLogger("plkd")

#: Calls that would be right on cells of the reference's own laboratory are taken to be wrong this often elsewhere, where the
#: reference is of one batch and so cannot show it.
ALLOWANCE = 0.04
#: More cells say little more; of each label this many are kept for its centre where there are as many.
_MOST_SCORED = 20_000
_MOST_CENTRED = 5_000
_LEAST_OF_A_LABEL = 50
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
    #: Held-out predictions: ``cells`` (numbers), ``codes`` (true labels), ``logits`` from all that a cell was measured in. Saved
    #: with the model.
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
        self,
        training: StudentTraining,
        cells: Cells,
        split: Split,
        *,
        teacher: bool,
        progress: bool,
        checkpoint: Checkpoint | None,
        done: Mapping[int, Mapping[str, np.ndarray]],
    ) -> None:
        """Train Students without parts of the reference and keep what they say about those.

        Parameters
        ----------
        training, cells, split
            As the model's own Student was trained.
        teacher
            Whether there is a Teacher to calibrate too.
        progress
            Show a progress bar.
        checkpoint
            Keeps each finished fold; None: nothing is kept.
        done
            Outputs for folds that were finished before an interruption, by number.
        """
        self.confidence_ = self.held_out_ = None
        if self._settings.confidence.n_folds == 0:
            return
        start = time.perf_counter()
        rng = np.random.default_rng(zlib.crc32(split.train.tobytes()))
        taking_part = np.union1d(split.train, split.validation)
        folds = make_folds(
            cells.labels,
            cells.batch,
            taking_part,
            rng,
            n_folds=self._settings.confidence.n_folds,
            measured=cells.measured(),
        )
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
        by_fold = dict(done)
        students = cross_fit(
            self.module,
            cells,
            folds,
            student=self._settings.student,
            training=training,
            weight_power=self._settings.scaling.weight_power,
            start_bias=lambda student, train: self._start_bias(student, training, cells, train),
            numbers=[number for number in range(len(folds)) if number not in done],
        )
        bar = tqdm(students, "Confidence", len(folds), initial=len(done), unit="fold", disable=not progress)
        for number, student, scaling in bar:
            train, held = folds.split(number)
            by_fold[number] = _fold_outputs(student, scaling, cells, train, np.intersect1d(held, scored), subsets)
            if checkpoint is not None:
                checkpoint.add_fold(number, by_fold[number])
        found = _joined([by_fold[number] for number in range(len(folds))])
        # Batches tell how far one laboratory's cells lie from another's; a single batch cannot.
        allowance = ALLOWANCE if len(np.unique(cells.batch[taking_part])) == 1 else 0.0
        parts = {}
        for subset in subsets:
            own = _all_of(cells, subset, found["cells"])
            rows, name = np.searchsorted(found["cells"], own), "+".join(subset)
            centres = _centres(self._scaling(), self.module.student, cells, subset, split.train)
            parts[subset] = Part.fit(
                found[f"{name}.logits"][rows],
                cells.labels[own],
                found[f"{name}.distance"][rows],
                centres,
                allowance=allowance,
            )
        note = folds.note + (f"; one batch: confidence lowered by {allowance:.0%}" if allowance else "")
        confidence = Confidence(tuple(cells.modalities), parts, note)
        self.confidence_ = {"arrays": confidence.to_arrays(), "note": note, "teacher": None}
        if teacher and len(split.validation) >= _LEAST_CELLS:
            logits = run_teacher(self._scaling(), self.module.teacher, cells, split.validation).logits
            calibration = fit_calibration(logits, cells.labels[split.validation], allowance=allowance)
            self.confidence_["teacher"] = calibration.to_arrays()
        self.held_out_ = {"cells": found["cells"], "codes": cells.labels[found["cells"]], "logits": found["logits"]}
        seconds = time.perf_counter() - start
        logger.info("Confidence: %d held-out cells, %s, in %.1f s", len(scored), note, seconds)


def _fold_outputs(
    student: Student,
    scaling: Mapping[str, InputScaling],
    cells: Cells,
    train: np.ndarray,
    held: np.ndarray,
    subsets: Sequence[tuple[str, ...]],
) -> dict[str, np.ndarray]:
    """Return the held-out cells of a fold, their logits, and for each set of modalities logits and distances to the centres.

    Zeros stand where a cell was not measured in all of a set.
    """
    found = {"cells": held, "logits": run_student(scaling, student, cells, held).logits}
    for subset in subsets:
        own = _all_of(cells, subset, held)
        rows, name = np.searchsorted(held, own), "+".join(subset)
        logits, distance = np.zeros_like(found["logits"]), np.zeros(len(held))
        if len(own):
            out = run_student(scaling, student, cells.only(*subset), own)
            logits[rows] = out.logits
            distance[rows] = _centres(scaling, student, cells, subset, train).distance(out.latent)
        found |= {f"{name}.logits": logits, f"{name}.distance": distance}
    return found


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


def _centres(
    scaling: Mapping[str, InputScaling], student: Student, cells: Cells, subset: Sequence[str], train: np.ndarray
) -> LabelCentres:
    """Return the centres of cells measured in a set of modalities; of a label without such cells, of those measured in some."""
    known = np.isin(cells.labels, cells.labels[_all_of(cells, subset, train)])
    measured = np.stack([cells.modalities[kind].measured(cells.n_obs) for kind in subset])
    train = train[np.where(known, measured.all(axis=0), measured.any(axis=0))[train]]
    some = _thinned(train, cells.labels[train])
    return fit_centres(run_student(scaling, student, cells.only(*subset), some).latent, cells.labels[some])


def _thinned(cells: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return about 5,000 of the cells in the labels' shares, but 50 of each label where there are as many."""
    step = -(-len(cells) // _MOST_CENTRED)
    kept = [np.array([], dtype=np.int64)]
    for label in np.unique(labels):
        own = cells[labels == label]
        kept.append(own[:: max(1, min(step, len(own) // _LEAST_OF_A_LABEL))])
    return np.sort(np.concatenate(kept))


def _joined(outputs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the folds' outputs together, in the order of the cells."""
    order = np.argsort(np.concatenate([each["cells"] for each in outputs]), kind="stable")
    return {name: np.concatenate([each[name] for each in outputs])[order] for name in outputs[0]}
