"""How a data set sees each feature, beside how the reference did: found from its cells alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from plkd.data import Cells
from plkd.inference._axes import unweighted_values
from plkd.nn import InputLinear, InputScaling, PatternTokenizer, Student, Teacher

#: Calls that are as sure count, or the surer half, if that is more.
_SURE = 0.9
#: Values, or cells, reckoned to both sides of each comparison, and with how many a label counts half.
_PRIOR, _HALF = 5.0, 10.0
#: The largest ratio of what is seen to what is expected.
_MOST_RATIO = 5.0


@dataclass(frozen=True)
class Change:
    """What makes of the values of a data set's features what the reference's would be: ``factor * value + shift``.

    Attributes
    ----------
    factor, shift
        Of scaled values without weights, shape ``(n_features,)``; factors above 0.
    """

    factor: np.ndarray
    shift: np.ndarray


def find_changes(
    scaling: Mapping[str, InputScaling],
    cells: Cells,
    looked_at: np.ndarray,
    profiles: Mapping[str, np.ndarray],
    chances_of: Callable[[Mapping[str, Change] | None], np.ndarray],
    *,
    n_rounds: int,
    batch_size: int | None = None,
    progress: str | None = None,
) -> dict[str, Change]:
    r"""Return by kind how cells of one data set see the features, from calls and the reference's means by label.

    Parameters
    ----------
    scaling
        By kind; the features' weights are not used.
    cells, looked_at
        Aligned cells, and the numbers of those that tell; one at least.
    profiles
        Mean scaled values of the reference by kind, shape ``(n_labels, n_features)``.
    chances_of
        What says with which probability each of these cells has each label, shape ``(n_looked_at, n_labels)``, of their values
        changed so; None: as they are.
    n_rounds
        How often calls are made, and what they say of the features is found, in turn; 1: of the values as they are alone.
    batch_size
        Cells of a mini-batch; None: as many as hold about 128 MiB of dense values.
    progress
        Name of a progress bar; None shows none.

    Returns
    -------
    The change of each kind's values; of features that the data set lacks, and of kinds in which no cell was measured, none:
    factors of 1 and shifts of 0.

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
    values = unweighted_values(scaling, cells, looked_at, batch_size=batch_size, progress=progress)
    for own in values.values():
        own.eliminate_zeros()
    measured = cells.measured()[looked_at]
    changes: dict[str, Change] = {}
    for _ in range(n_rounds):
        called = _sure_calls(chances_of(changes or None))
        for i, kind in enumerate(scaling):
            own = called[measured[:, i]]
            own = sp.diags((np.diff(values[kind].indptr) > 0).astype(float)) @ own  # an empty cell is no evidence
            n_cells = np.asarray(own.sum(axis=0)).ravel()
            # Labels that no cell is called by say nothing, and there may be many.
            used = np.flatnonzero(n_cells)
            own, n_cells, means = own[:, used], n_cells[used], profiles[kind][used].astype(np.float64)
            seen, expected = (own.T @ values[kind]).toarray(), n_cells[:, None] * means
            found = cells.found_in(kind, looked_at)
            if found is not None:
                seen = np.where(found, seen, expected)  # what the data set does not have says nothing
            middle = np.sqrt(n_cells) @ means / max(np.sqrt(n_cells).sum(), 1e-12)
            changes[kind] = _shifted(seen, expected, n_cells) if kind == "protein" else _scaled(seen, expected, middle)
    return changes


# Answers of an Annotator made while gradients are off are explained later, where they are needed.
@torch.inference_mode(mode=False)
@torch.no_grad()
def changed_scaling(scaling: Mapping[str, InputScaling], changes: Mapping[str, Change]) -> dict[str, InputScaling]:
    """Return copies with the factors in the features' weights."""
    other = deepcopy(dict(scaling))
    for kind, layer in scaling.items():
        factor, shift = (torch.as_tensor(own).to(layer.weight) for own in (changes[kind].factor, changes[kind].shift))
        other[kind].weight.copy_(layer.weight * factor)
        if other[kind].completes:  # as the data set shows it
            other[kind].mean.sub_(shift).div_(factor)
            other[kind].loadings.div_(factor[:, None])
            other[kind].noise.div_(factor.square())
    return other


@torch.inference_mode(mode=False)
@torch.no_grad()
def changed_student(scaling: Mapping[str, InputScaling], student: Student, changes: Mapping[str, Change]) -> Student:
    """Return a copy with the shifts, through the features' weights before the change, in the first biases."""
    pupil = deepcopy(student)
    for kind, tower in zip(pupil.modalities, cast("list[nn.Sequential]", list(pupil.towers)), strict=True):
        layer = cast("InputLinear", tower[0])
        layer.bias.add_(_weighted_shift(scaling[kind], changes[kind]) @ layer.weight)
    return pupil


@torch.inference_mode(mode=False)
@torch.no_grad()
def changed_teacher(scaling: Mapping[str, InputScaling], teacher: Teacher, changes: Mapping[str, Change]) -> Teacher:
    """Return a copy with the shifts, through the features' weights before the change, in the biases of the tokens."""
    other = deepcopy(teacher)
    layers = zip(
        other.modalities,
        cast("list[PatternTokenizer]", list(other.tokenizers)),
        cast("list[InputLinear]", list(other.free)),
        strict=True,
    )
    for kind, tokenizer, free in layers:
        shift = _weighted_shift(scaling[kind], changes[kind])[None]
        if tokenizer.n_patterns:
            tokenizer.bias.copy_(tokenizer(shift)[0])
        free.bias.add_((shift @ free.weight)[0])
    return other


def _weighted_shift(scaling: InputScaling, change: Change) -> Tensor:
    return scaling.weight * torch.as_tensor(change.shift).to(scaling.weight)


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
