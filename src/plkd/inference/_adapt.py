"""How a query sees each feature, beside how the reference did: found from the query alone, and put into the Student."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from plkd.confidence import Confidence
from plkd.data import Cells
from plkd.inference._axes import sample_cells, unweighted_values
from plkd.inference._batches import batch_size_for
from plkd.inference._run import student_logits
from plkd.nn import InputLinear, InputScaling, Student

logger = logging.getLogger("plkd")

#: Calls, and what they say of the features, are renewed in turn so often.
_ROUNDS = 3
#: Calls that are as sure count, or the surer half, if that is more.
_SURE = 0.9
#: Values, or cells, reckoned to both sides of each comparison, and with how many a label counts half.
_PRIOR, _HALF = 5.0, 10.0
#: The largest ratio of what is seen to what is expected.
_MOST_RATIO = 5.0
#: Features seen so many times more, or less, are worth a word.
_MUCH = 2.0


@dataclass(frozen=True)
class Change:
    """What makes of the values of a query's features what the reference's would be: ``factor * value + shift``.

    Attributes
    ----------
    factor, shift
        Of scaled values without weights, shape ``(n_features,)``.
    """

    factor: np.ndarray
    shift: np.ndarray


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
    Cells count that are called with a probability of .9, or of the median, if that is less, and have values at all. With
    :math:`s_{cg}` the sum of a feature's values over the :math:`n_c` cells called c, and :math:`t_{cg} = n_c \mu_{cg}` what it
    would be in the reference, :math:`\log r_g` is the median over the labels of
    :math:`\log (s_{cg} + 5) / (t_{cg} + 5)`, weighted by :math:`m / (m + 10)`, m the larger of both sums, and of 0 with the
    weight 1; in [1/5, 5]. So a label speaks of the features that it has, no matter how many its cells are, and no label by
    itself. Values become :math:`r_g^{-1/2} v_{ig} + (1 - r_g^{1/2}) \bar\mu_g`, :math:`\bar\mu_g` the mean of
    :math:`\mu_{cg}` with weights :math:`n_c^{1/2}`: they keep their mean. Were all noise that of counting, the shift alone, in full,
    would be best, since signal and variance of a gene that is caught less fall alike; were there none, the factor
    :math:`1 / r_g`; the root is half way. Ratios of proteins are logged already: the median of
    :math:`(s_{cg} - t_{cg}) / (n_c + 5)`, a label's weight :math:`n_c / (n_c + 10)`, is taken off.
    """
    batch_size_for(cells, batch_size)  # refused before anything is read
    looked_at = chosen[sample_cells(len(chosen))]
    if not cells.in_memory:  # read once, not in every round
        cells, looked_at = cells.loaded(looked_at), np.arange(len(looked_at))
    values = unweighted_values(scaling, cells, looked_at, batch_size=batch_size, progress=progress)
    for own in values.values():
        own.eliminate_zeros()
    measured = cells.measured()[looked_at]
    changed, pupil, changes = dict(scaling), student, dict[str, Change]()
    for _ in range(_ROUNDS):
        logits = student_logits(changed, pupil, cells, looked_at, batch_size=batch_size)
        called = _sure_calls(confidence.probabilities(logits, measured))
        for i, kind in enumerate(scaling):
            own = called[measured[:, i]]
            own = sp.diags((np.diff(values[kind].indptr) > 0).astype(float)) @ own  # an empty cell is no evidence
            n_cells = np.asarray(own.sum(axis=0)).ravel()
            # Labels that no cell is called by say nothing, and there may be many.
            used = np.flatnonzero(n_cells)
            own, n_cells = own[:, used], n_cells[used]
            means = confidence.profiles[kind][used].astype(np.float64)
            seen, expected = (own.T @ values[kind]).toarray(), n_cells[:, None] * means
            found = cells.modalities[kind].found
            if found is not None:
                seen = np.where(found, seen, expected)  # what the data set does not have says nothing
            middle = np.sqrt(n_cells) @ means / max(np.sqrt(n_cells).sum(), 1e-12)
            changes[kind] = _shifted(seen, expected, n_cells) if kind == "protein" else _scaled(seen, expected, middle)
        changed, pupil = _changed(scaling, student, changes)
    for i, (kind, change) in enumerate(changes.items()):
        if measured[:, i].any():
            logged = -change.shift if kind == "protein" else -2 * np.log(change.factor)
            n_other = int((np.abs(logged) > np.log(_MUCH)).sum())
            told = "Adapted to %d cells: of %d features (%s) %d are seen over twice or under half as much as in the reference"
            logger.info(told, measured[:, i].sum(), len(logged), kind, n_other)
    profiles = {kind: _on_scale(own, changes[kind], kind) for kind, own in confidence.profiles.items()}
    return changed, pupil, replace(confidence, profiles=profiles)


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


def _sure_calls(chances: np.ndarray) -> sp.csr_matrix:
    """Return which label each cell is called, where that is sure: 0 and 1, cells x labels."""
    best = chances.max(axis=1)
    sure = np.flatnonzero(best >= min(_SURE, np.median(best)))
    return sp.csr_matrix((np.ones(len(sure)), (sure, chances[sure].argmax(axis=1))), shape=chances.shape)


def _scaled(seen: np.ndarray, expected: np.ndarray, middle: np.ndarray) -> Change:
    """Return the change from sums by label, ``(n_labels, n_features)``, about the reference's mean of each feature."""
    # Means on another data set's scale, once moved, may lie below 0.
    expected = np.maximum(expected, 0)
    larger = np.maximum(seen, expected)
    said = weighted_median(np.log((seen + _PRIOR) / (expected + _PRIOR)), larger / (larger + _HALF))
    root = np.exp(np.clip(said, -np.log(_MOST_RATIO), np.log(_MOST_RATIO)) / 2)
    return Change(1 / root, (1 - root) * middle)


def _shifted(seen: np.ndarray, expected: np.ndarray, n_cells: np.ndarray) -> Change:
    """Return the change of values that are logged already, from sums by label over so many cells each."""
    differences = (seen - expected) / (n_cells + _PRIOR)[:, None]
    weights = np.broadcast_to((n_cells / (n_cells + _HALF))[:, None], differences.shape)
    return Change(np.ones(seen.shape[1]), -weighted_median(differences, weights))


def weighted_median(said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median of each column, of its values and of a 0 with the weight 1; shape ``(n_columns,)``.

    The least value at which, with all below it, half of the weight is reached.
    """
    said = np.vstack([said, np.zeros(said.shape[1])])
    order = said.argsort(axis=0, kind="stable")
    weights = np.take_along_axis(np.vstack([weights, np.ones(said.shape[1])]), order, axis=0).cumsum(axis=0)
    middle = (weights >= weights[-1] / 2).argmax(axis=0)
    return np.take_along_axis(said, order, axis=0)[middle, np.arange(said.shape[1])]


def _on_scale(profiles: np.ndarray, change: Change, kind: str) -> np.ndarray:
    """Return mean values of the reference as the data set would show them."""
    moved = (profiles - change.shift) / change.factor
    return (moved if kind == "protein" else np.maximum(moved, 0)).astype(np.float32)


# Answers of an Annotator made while gradients are off are explained later, where they are needed.
@torch.inference_mode(mode=False)
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
        if other[kind].completes:  # as the data set shows it
            other[kind].mean.sub_(shift).div_(factor)
            other[kind].loadings.div_(factor[:, None])
            other[kind].noise.div_(factor.square())
        layer.bias.add_((weight * shift) @ layer.weight)
    return other, pupil
