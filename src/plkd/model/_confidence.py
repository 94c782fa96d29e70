"""Fit the model's confidence on cells that were kept from training."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from plkd.confidence import (
    SIZES,
    Calibration,
    Confidence,
    LabelCentres,
    Part,
    doubtful_labels,
    fit_calibration,
    fit_centres,
    matched_temperature,
)
from plkd.data import Cells, ModalitySpec
from plkd.inference import run_in_surroundings, run_student, run_teacher
from plkd.model._embedding import embed_cells
from plkd.model._reference import ReferenceTable
from plkd.module import PLKDModule
from plkd.nn import InputScaling, Student
from plkd.presets import Preset, StudentTraining
from plkd.train import Split, check_converged, cross_fit, make_folds
from plkd.train._checkpoint import Checkpoint
from plkd.train._gains import set_gains
from plkd.train._weights import label_spread

logger = logging.getLogger("plkd")

#: Calls that would be right on cells of the reference's own laboratory are taken to be wrong this often elsewhere, where the
#: reference is of one batch and so cannot show it.
ALLOWANCE = 0.05
#: More held-out cells say little more.
_MOST_SCORED = 100_000
#: Of these so many are kept with the model, for its report.
_MOST_KEPT = 20_000
#: Cells that the labels' centres are computed from, and how many of each label at least.
_MOST_CENTRED = 5_000
_LEAST_OF_A_LABEL = 50
#: Queries of each size that are made of the cells of a fold.
_MOST_QUERIES = 4
#: A set of modalities with fewer held-out cells, and a Teacher with fewer, are not calibrated apart.
_LEAST_CELLS = 20


@dataclass(frozen=True)
class LeftOut:
    """What Students say of the cells that they did not see.

    Attributes
    ----------
    found
        ``cells`` (numbers, increasing), ``logits`` from all that a cell was measured in, and for each set of modalities its
        logits and its distances to the labels, alone and with its neighbours.
    subsets
        Those sets.
    note
        How the parts of the reference were made.
    n_batches
        Number of batches of the reference.
    """

    found: dict[str, np.ndarray]
    subsets: Sequence[tuple[str, ...]]
    note: str
    n_batches: int


class ConfidenceMixin:
    """Adds calibration, novelty and held-out predictions to the model."""

    # What the model class provides.
    module: PLKDModule
    _settings: Preset
    _specs: Sequence[ModalitySpec]
    _scaling: Callable[[], dict[str, Any]]
    _start_bias: Callable[..., None]
    registry: dict[str, Any]
    #: Arrays of the confidence and its note, or None where the model is not calibrated. Saved with the model.
    confidence_: dict[str, Any] | None = None
    #: Held-out predictions, namely ``cells`` (numbers), ``codes`` (true labels), ``measured`` (in which modalities), ``logits`` from all
    #: that a cell was measured in. Saved with the model.
    held_out_: dict[str, np.ndarray] | None = None
    doubtful_indices_: np.ndarray
    if TYPE_CHECKING:

        @property
        def labels(self) -> list[str]: ...

    @property
    def doubtful_indices(self) -> np.ndarray:
        """Numbers of the reference cells whose labels others contradict, and which did not train; int64, sorted."""
        return self.doubtful_indices_

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

    def _leave_out(
        self,
        training: StudentTraining,
        cells: Cells,
        split: Split,
        *,
        progress: bool,
        checkpoint: Checkpoint | None,
    ) -> LeftOut | None:
        """Train Students without parts of the reference and keep what they say about those; None where that cannot be.

        Parameters
        ----------
        training, cells, split
            As the model's own Student is trained.
        progress
            Show a progress bar.
        checkpoint
            Finished folds are kept beside it; None: nothing is kept.
        """
        if self._settings.confidence.n_folds == 0:
            return None
        taking_part = np.unique(np.concatenate([split.train, split.doubtful, split.validation]))
        rng = np.random.default_rng(zlib.crc32(taking_part.tobytes()))
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
            return None
        if len(scored) > _MOST_SCORED:
            scored = np.sort(rng.choice(scored, _MOST_SCORED, replace=False))
        subsets = _subsets(cells, scored)
        store = None if checkpoint is None else checkpoint.fold_store(zlib.crc32(folds.fold.tobytes()))
        by_fold = {} if store is None else dict(store.found)
        students = cross_fit(
            self.module,
            cells,
            folds,
            student=self._settings.student,
            training=training,
            weight_power=self._settings.scaling.weight_power,
            start_bias=lambda student, train: self._start_bias(student, training, cells, train),
            numbers=[number for number in range(len(folds)) if number not in by_fold],
        )
        bar = tqdm(students, "Confidence", len(folds), initial=len(by_fold), unit="fold", disable=not progress)
        for number, student, scaling in bar:
            train, held = folds.split(number)
            by_fold[number] = _fold_outputs(student, scaling, cells, train, np.intersect1d(held, scored), subsets)
            if store is not None:
                store.add(number, by_fold[number])
        found = _joined([by_fold[number] for number in range(len(folds))])
        logger.info("Confidence: %d held-out cells, %s", len(scored), folds.note)
        return LeftOut(found, subsets, folds.note, len(np.unique(cells.batch[taking_part])))

    def _doubtful(self, left_out: LeftOut | None, cells: Cells, split: Split) -> np.ndarray:
        """Return the numbers of training cells whose labels are doubted; none where clusters stand in for labels."""
        clustered = self.registry["setup_args"]["labels_key"] is None
        if left_out is None or clustered or not self._settings.confidence.drop_doubtful:
            return np.array([], dtype=np.int64)
        numbers = left_out.found["cells"]
        trains = np.isin(numbers, split.train)
        tables = {
            spec.kind: (ReferenceTable(spec, own.rows), own.position)
            for spec, own in ((spec, cells.modalities[spec.kind]) for spec in self._specs)
        }
        embedded, embedding = embed_cells(tables, numbers)
        called, some = left_out.found["logits"][embedded].argmax(axis=1), numbers[embedded]
        doubtful = some[doubtful_labels(called, cells.labels[some], embedding, trains=trains[embedded])]
        if len(doubtful):
            logger.info(
                "%d of %d labels are doubtful: Students that did not see the cells and their neighbours call them otherwise. "
                "These cells do not train (model.doubtful_indices)",
                len(doubtful),
                trains[embedded].sum(),
            )
        return doubtful

    def _fit_confidence(
        self, left_out: LeftOut | None, cells: Cells, split: Split, *, teacher: bool, distilled: bool
    ) -> None:
        """Calibrate the trained networks by what was found of the cells left out."""
        self.confidence_ = self.held_out_ = None
        if left_out is None:
            return
        found = left_out.found
        # Batches tell how far one laboratory's cells lie from another's; a single batch cannot.
        allowance = ALLOWANCE if left_out.n_batches == 1 else 0.0
        parts = {}
        for subset in left_out.subsets:
            own = _all_of(cells, subset, found["cells"])
            rows, name = np.searchsorted(found["cells"], own), "+".join(subset)
            centres = _centres(self._scaling(), self.module.student, cells, subset, split.train)
            parts[subset] = Part.fit(
                found[f"{name}.logits"][rows],
                cells.labels[own],
                found[f"{name}.distance"][rows],
                found[f"{name}.surrounded"][rows],
                centres,
                allowance=allowance,
            )
            if distilled:
                parts[subset] = self._as_sure(parts[subset], found, cells, subset, split)
        note = left_out.note + (f"; one batch: confidence lowered by {allowance:.0%}" if allowance else "")
        profiles = _profiles(self._scaling(), cells, split.train, self.module.n_labels)
        confidence = Confidence(tuple(cells.modalities), parts, profiles, note)
        self.confidence_ = {"arrays": confidence.to_arrays(), "note": note, "teacher": None}
        if teacher and len(split.validation) >= _LEAST_CELLS:
            logits = run_teacher(self._scaling(), self.module.teacher, cells, split.validation).logits
            calibration = fit_calibration(logits, cells.labels[split.validation], allowance=allowance)
            self.confidence_["teacher"] = calibration.to_arrays()
        kept = slice(None, None, -(-len(found["cells"]) // _MOST_KEPT))
        numbers = found["cells"][kept]
        self.held_out_ = {
            "cells": numbers,
            "codes": cells.labels[numbers],
            "measured": cells.measured()[numbers],
            "logits": found["logits"][kept],
        }

    def _as_sure(
        self, part: Part, found: Mapping[str, np.ndarray], cells: Cells, subset: tuple[str, ...], split: Split
    ) -> Part:
        """Return the confidence with the temperature of the distilled Student.

        The Students of the folds learned from labels alone and are surer, or less sure, than one of mixtures. The cells held out
        for validation trained neither.
        """
        both = _all_of(cells, subset, np.intersect1d(split.validation, found["cells"]))
        if len(both) < _LEAST_CELLS:
            return part
        logits = run_student(self._scaling(), self.module.student, cells.only(*subset), both).logits
        others = found["+".join(subset) + ".logits"][np.searchsorted(found["cells"], both)]
        temperature = matched_temperature(logits, others, part.calibration)
        return replace(part, calibration=replace(part.calibration, temperature=temperature))


def _fold_outputs(
    student: Student,
    scaling: Mapping[str, InputScaling],
    cells: Cells,
    train: np.ndarray,
    held: np.ndarray,
    subsets: Sequence[tuple[str, ...]],
) -> dict[str, np.ndarray]:
    """Return the held-out cells of a fold, their logits, and for each set of modalities logits and distances to the labels.

    Zeros stand where a cell was not measured in all of a set.
    """
    student.gain.fill_(1)
    # Of the fold itself, as the model's own gains are of its held-out cells.
    set_gains(
        student.gain,
        lambda some: run_student(scaling, student, cells, some).logits,
        cells.labels,
        cells.measured(),
        held,
    )
    found = {"cells": held, "logits": run_student(scaling, student, cells, held).logits}
    check_converged(student, found["logits"], "student")
    profiles = _profiles(scaling, cells, train, student.head.out_features)
    for subset in subsets:
        own = _all_of(cells, subset, held)
        rows, name = np.searchsorted(held, own), "+".join(subset)
        logits, distance = np.zeros_like(found["logits"]), np.zeros(len(held))
        surrounded = np.full((len(held), len(SIZES)), np.nan)
        if len(own):
            centres, some = _centres(scaling, student, cells, subset, train), cells.only(*subset)
            out = run_student(scaling, student, some, own)
            logits[rows], distance[rows] = out.logits, centres.distance(out.latent)
            surrounded[rows] = _surrounded(scaling, student, some, own, profiles, distance[rows])
        found |= {f"{name}.logits": logits, f"{name}.distance": distance, f"{name}.surrounded": surrounded}
    return found


def _surrounded(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    held: np.ndarray,
    profiles: Mapping[str, np.ndarray],
    distance: np.ndarray,
) -> np.ndarray:
    """Return distances of cells and their neighbours, shape ``(n_held, n_sizes)``, with cells of the fold taken for queries.

    A column for each size of a query: as many of the fold's cells at random, up to four times. NaN stands for the others.
    """
    found = np.full((len(held), len(SIZES)), np.nan)
    order = np.random.default_rng(0).permutation(len(held))
    for column, size in enumerate(SIZES):
        for part in range(min(_MOST_QUERIES, len(held) // size)):
            query = np.sort(order[part * size : (part + 1) * size])
            out, places = run_in_surroundings(scaling, student, cells, held[query], profiles)
            together = None if places is None else places.surround(distance[query], out.logits)
            if together is not None:
                found[query, column] = together
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
    measured = [cells.measured_in(kind)[numbers] for kind in subset]
    return numbers[np.all(measured, axis=0)]


def _centres(
    scaling: Mapping[str, InputScaling], student: Student, cells: Cells, subset: Sequence[str], train: np.ndarray
) -> LabelCentres:
    """Return the centres of cells measured in a set of modalities; of a label without such cells, of those measured in some."""
    known = np.isin(cells.labels, cells.labels[_all_of(cells, subset, train)])
    measured = np.stack([cells.measured_in(kind) for kind in subset])
    train = train[np.where(known, measured.all(axis=0), measured.any(axis=0))[train]]
    some = _thinned(train, cells.labels[train])
    return fit_centres(run_student(scaling, student, cells.only(*subset), some).latent, cells.labels[some])


def _profiles(
    scaling: Mapping[str, InputScaling], cells: Cells, train: np.ndarray, n_labels: int
) -> dict[str, np.ndarray]:
    """Return by modality the mean scaled values of about 5,000 cells by label; of a label without such cells, of all."""
    found = {}
    for kind, layer in scaling.items():
        own = train[cells.measured_in(kind)[train]]
        spread = label_spread(cells, _thinned(own, cells.labels[own]), kind, layer)
        if spread is None:
            found[kind] = np.zeros((n_labels, len(layer.weight)), dtype=np.float32)
            continue
        overall = spread.counts @ spread.means / spread.counts.sum()
        found[kind] = np.tile(overall.astype(np.float32), (n_labels, 1))
        found[kind][spread.codes] = spread.means
    return found


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
