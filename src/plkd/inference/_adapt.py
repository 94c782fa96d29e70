"""How a query sees each feature, beside how the reference did: found from the query alone, and put into the Student."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from plkd.confidence import Confidence
from plkd.data import Cells
from plkd.inference._axes import sample_cells
from plkd.inference._batches import batch_size_for
from plkd.inference._change import Change, changed_scaling, changed_student, find_changes
from plkd.inference._run import student_logits
from plkd.nn import InputScaling, Student

logger = logging.getLogger("plkd")

#: Calls, and what they say of the features, are renewed in turn so often.
_ROUNDS = 3
#: Features seen so many times more, or less, are worth a word.
_MUCH = 2.0


def adapt(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    chosen: np.ndarray,
    confidence: Confidence,
    *,
    batch_size: int | None = None,
    progress: str | None = None,
) -> tuple[dict[str, InputScaling], Student, Confidence]:
    """Return input scaling, Student and confidence for data sets that see features as these cells do.

    Another protocol, laboratory or species catches more of some genes and less of others, in cells of all types. Each label's
    surest cells say how much more, beside the reference's cells of the label; what most labels say is made up for, and the
    calls are made anew, three times in all.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode; not changed.
    cells
        Aligned cells of one data set.
    chosen
        Cell numbers, one at least; about 10,000 of them are looked at.
    confidence
        With the reference's mean values by label.
    batch_size
        Cells of a mini-batch; None: as many as hold about 128 MiB of dense values.
    progress
        Name of a progress bar; None shows none.

    Returns
    -------
    The scaling by kind, its weights times the factors; the Student, the shifts in the biases of its first layers; the
    confidence, its labels' mean values on the data set's scale. All are copies.

    Notes
    -----
    The changes are those of :func:`~plkd.inference.find_changes`, by the calls of the Student.
    """
    batch_size_for(cells, batch_size)  # refused before anything is read
    looked_at = chosen[sample_cells(len(chosen))]
    if not cells.in_memory:  # read once, not in every round
        cells, looked_at = cells.loaded(looked_at), np.arange(len(looked_at))
    measured = cells.measured()[looked_at]

    def chances_of(changes: Mapping[str, Change] | None) -> np.ndarray:
        networks = _changed(scaling, student, changes) if changes else (scaling, student)
        return confidence.probabilities(student_logits(*networks, cells, looked_at, batch_size=batch_size), measured)

    changes = find_changes(
        scaling,
        cells,
        looked_at,
        confidence.profiles,
        chances_of,
        n_rounds=_ROUNDS,
        batch_size=batch_size,
        progress=progress,
    )
    for i, (kind, change) in enumerate(changes.items()):
        if measured[:, i].any():
            logged = -change.shift if kind == "protein" else -2 * np.log(change.factor)
            n_other = int((np.abs(logged) > np.log(_MUCH)).sum())
            told = "Adapted to %d cells: of %d features (%s) %d are seen over twice or under half as much as in the reference"
            logger.info(told, measured[:, i].sum(), len(logged), kind, n_other)
    profiles = {kind: _on_scale(own, changes[kind], kind) for kind, own in confidence.profiles.items()}
    return *_changed(scaling, student, changes), replace(confidence, profiles=profiles)


def check_adaptable(confidence: Confidence | None) -> Confidence:
    """Return the confidence of a model that can be adapted.

    Raises
    ------
    ValueError
        If the model was not calibrated, or by a version of plkd that kept no mean values.
    """
    if confidence is None or not confidence.profiles:
        found = (
            "was not calibrated" if confidence is None else "is of an earlier plkd, which kept no means of its labels"
        )
        raise ValueError(
            f"The model {found}, so nothing says what its labels look like in the reference. Fix: train it anew, with "
            '`preset=plkd.presets.default.replace(confidence={"n_folds": 5})`, and export it.'
        )
    return confidence


def _on_scale(profiles: np.ndarray, change: Change, kind: str) -> np.ndarray:
    """Return mean values of the reference as the data set would show them."""
    moved = (profiles - change.shift) / change.factor
    return (moved if kind == "protein" else np.maximum(moved, 0)).astype(np.float32)


def _changed(
    scaling: Mapping[str, InputScaling], student: Student, changes: Mapping[str, Change]
) -> tuple[dict[str, InputScaling], Student]:
    return changed_scaling(scaling, changes), changed_student(scaling, student, changes)
