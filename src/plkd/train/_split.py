"""Which cells teach, which are held out, which have no label."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

logger = logging.getLogger("plkd")

#: Of fewer training cells per label, on average, the Teacher learns less than a Student on the labels alone.
_TEACHABLE = 7
#: A batch is held out only if every label and every modality keeps this share of its cells in training.
KEPT_SHARE = 0.9


@dataclass(frozen=True)
class Split:
    """Cell numbers of each part, and one line saying how they were chosen.

    Attributes
    ----------
    train, validation, test
        Labelled cells, int64, sorted.
    unlabeled
        Cells without a label, int64, sorted; they join the training as ``unlabeled_ratio`` says.
    note
        How the validation cells were chosen, for the log.
    doubtful
        Labelled cells that do not train since others contradict their labels, int64, sorted.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    unlabeled: np.ndarray
    note: str
    doubtful: np.ndarray = field(default_factory=lambda: np.array([], dtype=np.int64))

    def without(self, doubtful: np.ndarray) -> Split:
        """Return the split with some cells kept from training; those held out stay where they are."""
        doubtful = np.intersect1d(doubtful, self.train)
        return replace(self, train=np.setdiff1d(self.train, doubtful), doubtful=np.union1d(self.doubtful, doubtful))


def split_cells(
    labels: np.ndarray,
    batch: np.ndarray,
    rng: np.random.Generator,
    *,
    train_size: float = 0.9,
    validation_size: float | None = None,
    external_indexing: Sequence[np.ndarray] | None = None,
    measured: np.ndarray | None = None,
) -> Split:
    """Hold out whole batches where every label and every modality can spare them, otherwise a part of every label.

    Parameters
    ----------
    labels
        Label codes, shape ``(n_obs,)``, ``-1`` where unlabelled.
    batch
        Batch codes, shape ``(n_obs,)``.
    rng
        Draws the cells.
    train_size
        Share of the labelled cells to train on, in (0, 1].
    validation_size
        Share to hold out; None takes the rest. What is left over becomes the test cells.
    external_indexing
        Arrays of cell numbers for training, validation and (optional) test, used as they are.
    measured
        Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``; None: all were.

    Returns
    -------
    The split. A label's only cell always trains.

    Raises
    ------
    ValueError
        If the sizes do not fit, or ``external_indexing`` overlaps, leaves the data, or has no labelled training cell.
    """
    unlabeled = np.flatnonzero(labels < 0)
    if external_indexing is not None:
        return _external(labels, unlabeled, external_indexing)
    held = 1 - train_size if validation_size is None else validation_size
    if not 0 < train_size <= 1 or held < 0 or train_size + held > 1 + 1e-9:
        raise ValueError(
            f"train_size={train_size} and validation_size={validation_size} do not fit; expected train_size in (0, 1] "
            "and a sum of at most 1, e.g. train_size=0.9."
        )
    labelled = np.flatnonzero(labels >= 0)
    if not len(labelled):
        raise ValueError(
            f"None of the {len(labels)} cells has a label that the model knows; expected labelled cells to train on. "
            "Fix: attach the reference, `PLKD.load(path, adata=ref)`."
        )
    tested = 1 - train_size - held
    test = _stratified(labels, labelled, tested, rng) if tested > 1e-9 else np.array([], dtype=np.int64)
    rest = np.setdiff1d(labelled, test)
    share = held / (1 - tested) if held else 0.0
    groups = [labels[rest] == label for label in np.unique(labels[rest])]
    groups += [] if measured is None else list(measured[rest].T)
    batches = _whole_batches(np.column_stack(groups), batch[rest], share, rng) if share else []
    if batches:
        validation = rest[np.isin(batch[rest], batches)]
        note = f"{len(batches)} whole batches held out for validation ({len(validation)} cells)"
    else:
        validation = _stratified(labels, rest, share, rng)
        several = len(np.unique(batch[rest])) > 1
        why = (
            " (no batch can be held out without costing a label or modality over 10 % of its cells)" if several else ""
        )
        note = f"{len(validation)} cells held out for validation, stratified by label{why}"
    return Split(np.setdiff1d(rest, validation), validation, test, unlabeled, note)


def _stratified(labels: np.ndarray, cells: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    chosen = [np.array([], dtype=np.int64)]
    for label in np.unique(labels[cells]):
        members = cells[labels[cells] == label]
        n_held = min(math.floor(len(members) * share + 0.5), len(members) - 1)
        chosen.append(rng.permutation(members)[:n_held])
    return np.sort(np.concatenate(chosen))


def _whole_batches(groups: np.ndarray, batch: np.ndarray, share: float, rng: np.random.Generator) -> list[int]:
    """Return batches that fit into ``share`` of the cells and that every group can spare; may be empty.

    ``groups`` says whether each cell is in each group, bool, shape ``(n_obs, n_groups)``.
    """
    codes = np.unique(batch)
    total = groups.sum(axis=0)
    held: list[int] = []
    n_held, held_counts = 0, np.zeros_like(total)
    for code in rng.permutation(codes):
        own = batch == code
        n_all, counts = n_held + int(own.sum()), held_counts + groups[own].sum(axis=0)
        if len(held) + 1 == len(codes) or n_all > share * len(batch):
            continue
        if (total - counts >= KEPT_SHARE * total).all():
            held.append(int(code))
            n_held, held_counts = n_all, counts
    return held


def _external(labels: np.ndarray, unlabeled: np.ndarray, external_indexing: Sequence[np.ndarray]) -> Split:
    if not isinstance(external_indexing, Sequence):
        raise TypeError(
            f"external_indexing is a {type(external_indexing).__name__}; expected [train, validation], arrays of cell numbers."
        )
    parts = [_numbers(part, len(labels)) for part in external_indexing]
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            f"external_indexing holds {len(parts)} arrays; expected [train, validation] or [.., .., test]."
        )
    parts += [np.array([], dtype=np.int64)] * (3 - len(parts))
    together = np.concatenate(parts)
    if len(np.unique(together)) != len(together):
        raise ValueError("external_indexing: some cells are in two parts; expected disjoint arrays of cell numbers.")
    if len(together) and (together.min() < 0 or together.max() >= len(labels)):
        raise ValueError(f"external_indexing: expected cell numbers from 0 to {len(labels) - 1}.")
    train, validation, test = (np.sort(part[labels[part] >= 0]) for part in parts)
    if not len(train):
        raise ValueError("external_indexing: no labelled cell to train on; expected some in its first array.")
    return Split(train, validation, test, unlabeled, f"split given: {len(validation)} cells for validation")


def _numbers(part: Any, n_obs: int) -> np.ndarray:
    part = np.asarray(part).ravel()
    if part.dtype == bool and len(part) == n_obs:
        return np.flatnonzero(part)
    if len(part) and not np.issubdtype(part.dtype, np.integer):
        raise ValueError(f"external_indexing holds {part.dtype}; expected cell numbers, or masks over all cells.")
    return part.astype(np.int64)


def share_of_teacher(labels: np.ndarray) -> float:
    """Return the share of the distillation in the Student's loss where none is given: 1, and 0, with a warning, where labels have few cells.

    Parameters
    ----------
    labels
        Label codes of the training cells, shape ``(n_obs,)``.
    """
    # The mean, so that many rare labels beside large ones do not count as few cells.
    each = len(labels) / max(len(np.unique(labels)), 1)
    if not len(labels) or each >= _TEACHABLE:
        return 1.0
    logger.warning(
        "Labels have %.3g training cells on average: the Student learns from the labels alone, since of fewer than %d the Teacher learns "
        "less than they say. Label more cells, or distil all the same: "
        '`model.train(plan_kwargs={"student": {"kd_weight": 1}})`.',
        each,
        _TEACHABLE,
    )
    return 0.0
