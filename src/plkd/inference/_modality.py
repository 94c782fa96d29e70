"""Answers from one modality alone, and which modality decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from plkd.data import Cells, ModalitySpec
from plkd.inference._run import student_logits
from plkd.nn import InputScaling, Student

JOINT = "joint"


def kind_of(modality: str, specs: Sequence[ModalitySpec]) -> str | None:
    """Return the kind of a modality given by the user's name or its kind; None for ``"joint"``.

    Raises
    ------
    TypeError, ValueError
        If the model has none of that name.
    """
    if not isinstance(modality, str):
        raise TypeError(f"modality={modality!r}; expected 'joint' or one of {[spec.called for spec in specs]}.")
    if modality == JOINT:
        return None
    for spec in specs:
        if modality in (spec.called, spec.kind):
            return spec.kind
    raise ValueError(f"modality={modality!r}; expected 'joint' or one of {[spec.called for spec in specs]}.")


def restricted(cells: Cells, kind: str | None, chosen: np.ndarray, names: pd.Index) -> Cells:
    """Return the cells as if only one modality had been measured; all of them if ``kind`` is None.

    Raises
    ------
    ValueError
        If a chosen cell was not measured in it.
    """
    if kind is None:
        return cells
    lacking = chosen[~cells.measured_in(kind)[chosen]]
    if len(lacking):
        raise ValueError(
            f"{len(lacking)} cells have no {kind}, e.g. {list(names[lacking[:3]])}; expected all of them measured in it. "
            "Fix: choose the others by `indices`, or use modality='joint'."
        )
    return cells.only(kind)


def modality_weights(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    batch_size: int | None = None,
) -> np.ndarray:
    """Return how much each modality decided the Student's call.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode.
    cells, indices
        Aligned cells and which of them.
    batch_size
        Cells at a time; None chooses.

    Returns
    -------
    Shape ``(n_obs, n_modalities)``, rows sum to 1; modalities that a cell lacks have 0.

    Notes
    -----
    Shapley values of the called label's log-probability: what a modality adds to it, averaged over all orders in which the
    modalities may be added to none (each label alike), negative values taken as 0, as a share. Where no modality adds
    anything, those that the cell has share alike.
    """
    kinds = list(cells.modalities)
    measured = cells.measured()[indices]
    called = student_logits(scaling, student, cells, indices, batch_size=batch_size).argmax(axis=1)[:, None]
    value: dict[frozenset[str], np.ndarray] = {frozenset(): np.full(len(indices), -np.log(student.head.out_features))}
    for subset in _subsets(kinds):
        some = measured[:, [kinds.index(kind) for kind in subset]].any(axis=1)
        value[subset] = value[frozenset()].copy()
        if some.any():
            logits = student_logits(scaling, student, cells.only(*subset), indices[some], batch_size=batch_size)
            value[subset][some] = np.take_along_axis(log_softmax(logits.astype(np.float64), axis=1), called[some], 1)[
                :, 0
            ]
    added = np.zeros((len(indices), len(kinds)))
    for order in permutations(range(len(kinds))):
        before: frozenset[str] = frozenset()
        for i in order:
            after = before | {kinds[i]}
            added[:, i] += value[after] - value[before]
            before = after
    # A modality that a cell lacks adds nothing, up to rounding.
    added = np.where(measured, np.maximum(added, 0), 0)
    nothing = added.sum(axis=1) == 0
    added[nothing] = measured[nothing]
    return added / added.sum(axis=1, keepdims=True)


def _subsets(kinds: Sequence[str]) -> list[frozenset[str]]:
    return [frozenset(some) for n in range(1, len(kinds) + 1) for some in combinations(kinds, n)]
