"""How a query sees each feature, beside how the reference did: found from the query alone, and put into the Student."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import nn

from plkd.confidence import Confidence
from plkd.data import Cells
from plkd.inference._axes import sample_cells, unweighted_values
from plkd.inference._run import student_logits
from plkd.nn import InputLinear, InputScaling, Student

logger = logging.getLogger("plkd")

#: Calls, and what they say of the features, are renewed in turn so often.
_ROUNDS = 3
#: Values, and cells, of no difference that are reckoned in: few cells change little.
_PRIOR = 30.0
#: The largest ratio of what is seen to what is expected.
_MOST_RATIO = 5.0
#: Features seen so many times more, or less, are worth a word.
_MUCH = 2.0


@dataclass(frozen=True)
class Change:
    """What makes the values of a query's features what the reference's would be: ``factor * value + shift``.

    Attributes
    ----------
    factor, shift
        Shape ``(n_features,)``, of scaled values without weights.
    ratio
        How much more of each feature is seen than expected, shape ``(n_features,)``.
    """

    factor: np.ndarray
    shift: np.ndarray
    ratio: np.ndarray


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
    r"""Return input scaling, Student and confidence for data sets that see features as these cells do.

    Another protocol, laboratory or species catches more of some genes and less of others, in cells of all types. How much
    more, the sum of a gene's values over the query says beside what cells of the reference with the same labels would have; the
    calls that this rests on are then made anew, three times in all.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode; not changed.
    cells
        Aligned cells of one data set.
    chosen
        Cell numbers; about 10,000 of them are looked at.
    confidence
        With the reference's mean values by label.
    batch_size, progress
        As of :func:`student_logits`.

    Returns
    -------
    The scaling by kind, its weights times the factors; the Student, the shifts in the biases of its first layers; the
    confidence, its labels' mean values on the data set's scale.

    Notes
    -----
    With :math:`p_{ic}` the probability of label c in cell i, :math:`n_c` their sums, :math:`a_c \propto n_c^{-1/2}` what a cell of
    the label counts (as in training, between a vote per cell and a vote per label), :math:`v_{ig}` a value and
    :math:`\mu_{cg}` its mean in the reference, :math:`s_g = \sum_{ic} a_c p_{ic} v_{ig}` is seen and
    :math:`e_g = \sum_c a_c n_c \mu_{cg}` expected. The shares of labels in the query so do not matter, as they would where means of
    data sets are matched (platform effects of RCTD, Cable et al. 2022). A value becomes
    :math:`f_g v_{ig} + (e_g - f_g s_g) / (n + 30)` with :math:`f_g = r_g^{-1/2}` and
    :math:`r_g = (s_g + 30) / (e_g + 30)` in [1/5, 5]: means agree. Were all noise that of counting, the shift alone would be best,
    since signal and variance then fall alike and each gene is worth its old weight; were there none, the factor
    :math:`1 / r_g`; the root is half way. Ratios of proteins are logged already: they are shifted alone.
    """
    looked_at = chosen[sample_cells(len(chosen))]
    values = unweighted_values(scaling, cells, looked_at, batch_size=batch_size, progress=progress)
    measured = cells.measured()[looked_at]
    changed, pupil, changes = dict(scaling), student, dict[str, Change]()
    for _ in range(_ROUNDS):
        logits = student_logits(changed, pupil, cells, looked_at, batch_size=batch_size)
        chances = confidence.probabilities(logits, measured)
        for i, kind in enumerate(scaling):
            own, profiles = chances[measured[:, i]], confidence.profiles[kind]
            own = own * _label_weights(own.sum(axis=0))
            seen, expected = values[kind].T @ own.sum(axis=1), own.sum(axis=0) @ profiles
            found = cells.modalities[kind].found
            if found is not None:
                seen = np.where(found, seen, expected)  # what the data set does not have says nothing
            changes[kind] = _change(seen, expected, own.sum(), logged=kind == "protein")
        changed, pupil = _changed(scaling, student, changes)
    for kind, change in changes.items():
        n_other = int((np.abs(np.log(change.ratio)) > np.log(_MUCH)).sum())
        logger.info(
            "Adapted to %d cells: of %d features (%s) %d are seen over twice or under half as much as in the reference",
            len(looked_at),
            len(change.ratio),
            kind,
            n_other,
        )
    moved = {kind: (own - changes[kind].shift) / changes[kind].factor for kind, own in confidence.profiles.items()}
    return changed, pupil, replace(confidence, profiles={kind: own.astype(np.float32) for kind, own in moved.items()})


def check_adaptable(confidence: Confidence | None, n_cells: int) -> Confidence:
    """Return the confidence of a model that can be adapted.

    Raises
    ------
    ValueError
        If the model was not calibrated, or by a version of plkd that kept no mean values; if there are no cells.
    """
    if confidence is None or not confidence.profiles:
        raise ValueError(
            "The model was not calibrated (or by an earlier plkd), so it does not know what its labels look like. Fix: train it "
            'with the preset\'s confidence: `plkd.presets.default.replace(confidence={"n_folds": 5})`.'
        )
    if n_cells == 0:
        raise ValueError("There are no cells to adapt to. Fix: pass the query, or `indices` of some of its cells.")
    return confidence


def _label_weights(n_cells: np.ndarray) -> np.ndarray:
    """Return what a cell of each label counts, shape ``(n_labels,)``, so that all together count what they are."""
    weights = np.maximum(n_cells, 1) ** -0.5
    return weights * n_cells.sum() / max(float(n_cells @ weights), 1e-12)


def _change(seen: np.ndarray, expected: np.ndarray, n_cells: float, *, logged: bool) -> Change:
    """Return the change of one modality, from sums over so many cells."""
    ratio = np.ones_like(seen) if logged else (seen + _PRIOR) / (expected + _PRIOR)
    ratio = np.clip(ratio, 1 / _MOST_RATIO, _MOST_RATIO)
    factor = ratio**-0.5
    return Change(factor, (expected - factor * seen) / (n_cells + _PRIOR), ratio)


@torch.no_grad()
def _changed(
    scaling: Mapping[str, InputScaling], student: Student, changes: Mapping[str, Change]
) -> tuple[dict[str, InputScaling], Student]:
    """Return copies with the factors in the features' weights, and the shifts, through these, in the first biases."""
    other, pupil = deepcopy(dict(scaling)), deepcopy(student)
    for kind, tower in zip(pupil.modalities, cast("list[nn.Sequential]", list(pupil.towers)), strict=True):
        layer, weight = cast("InputLinear", tower[0]), scaling[kind].weight
        factor, shift = (torch.as_tensor(own).to(weight) for own in (changes[kind].factor, changes[kind].shift))
        other[kind].weight.copy_(weight * factor)
        layer.bias += (weight * shift) @ layer.weight
    return other, pupil
