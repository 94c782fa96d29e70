"""Which patterns and which features a Student's call rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from plkd.data import Cells
from plkd.inference._batches import batches, to_device
from plkd.inference._first_layer import first_layers
from plkd.nn import InputScaling, Student, dense, product, unweighted_batch

#: Points on the way from nothing to the cell, the closer the nearer to nothing: there LayerNorm bends most.
_N_POINTS, _POWER = 128, 4


@dataclass(frozen=True)
class FeatureAttribution:
    """What the calls of each label rest on, averaged over the cells called so.

    Attributes
    ----------
    scores
        By modality, shape ``(n_labels, n_features)``, in units of the logit; NaN for labels that no cell is called.
    explained
        The called label's logit less the mean over labels, less the same of a cell without any values; shape ``(n_labels,)``.
        Integrated gradients sum to this.
    n_cells
        Cells called so, shape ``(n_labels,)``.
    """

    scores: dict[str, np.ndarray]
    explained: np.ndarray
    n_cells: np.ndarray


# Callers may have switched gradients off, either way.
@torch.inference_mode(mode=False)
def pattern_attribution(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    membership: Mapping[str, sp.csc_matrix],
    *,
    batch_size: int | None = None,
) -> np.ndarray:
    """Return integrated gradients of each cell's called label, summed over the features of each pattern.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode.
    cells, indices
        Aligned cells and which of them.
    membership
        By modality, features x patterns; any stored entry counts as one membership.
    batch_size
        Cells at a time; None chooses.

    Returns
    -------
    Shape ``(n_obs, n_patterns)``, patterns modality after modality, in units of the logit: how much of the called label's
    logit, less the mean over labels, rests on the pattern's features. A feature of several patterns counts in full in each.
    """
    connected = {name: (matrix != 0).astype(np.float32) for name, matrix in membership.items()}
    parts = [np.empty((0, sum(matrix.shape[1] for matrix in connected.values())), dtype=np.float32)]
    for *_, attributed in _by_cell(scaling, student, cells, indices, _points(integrated=True), batch_size):
        parts.append(np.hstack([attributed[name].cpu().numpy() @ matrix for name, matrix in connected.items()]))
    return np.vstack(parts)


# Callers may have switched gradients off, either way.
@torch.inference_mode(mode=False)
def feature_attribution(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    integrated: bool,
    batch_size: int | None = None,
) -> FeatureAttribution:
    r"""Return what the calls of each label rest on, feature by feature.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode.
    cells, indices
        Aligned cells and which of them.
    integrated
        Integrated gradients, of which :func:`pattern_attribution` gives the sums over patterns; otherwise gradient x input.
    batch_size
        Cells at a time; None chooses.

    Notes
    -----
    Integrated gradients (Sundararajan et al. 2017, equation 1) go from a cell whose scaled values are all 0 to the cell,
    :math:`x_j \int_0^1 \partial_j f(t x) \, dt`, with :math:`f` the called label's logit less the mean over labels. The first layer is
    linear, so that the integral is taken of the gradients of its outputs, which are few, and multiplied with its weights
    once. Gauss-Legendre quadrature in :math:`s`, :math:`t = s^4`.
    """
    n_labels = student.head.out_features
    # The sums in double precision: one label may have a million cells.
    sums = {name: np.zeros((n_labels, len(layer.weight))) for name, layer in scaling.items()}
    explained, n_cells = np.zeros(n_labels), np.zeros(n_labels, dtype=np.int64)
    for called, gained, attributed in _by_cell(
        scaling, student, cells, indices, _points(integrated=integrated), batch_size
    ):
        explained += np.bincount(called.cpu().numpy(), gained.double().cpu().numpy(), n_labels)
        n_cells += np.bincount(called.cpu().numpy(), minlength=n_labels)
        is_called = torch.nn.functional.one_hot(called, n_labels).to(gained.dtype)
        for name, scores in attributed.items():
            sums[name] += (is_called.t() @ scores).double().cpu().numpy()
    with np.errstate(invalid="ignore"):
        return FeatureAttribution(
            {name: total / n_cells[:, None] for name, total in sums.items()}, explained / n_cells, n_cells
        )


def _by_cell(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    points: Sequence[tuple[float, float]],
    batch_size: int | None,
) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Yield by mini-batch the cells' called labels, what their contrasts gain over a cell without values, and what this rests on.

    The last is cells x features, by modality.
    """
    device, first = student.head.weight.device, first_layers(scaling, student, cells)
    answer = _Behind(student, [layer.bias for layer in first.values()])
    for batch in batches(cells, indices, batch_size, progress=None):
        batch = to_device(batch, device)
        present = batch["present"]
        with torch.no_grad():
            x = unweighted_batch(scaling, batch)
            products = [product(x[name], layer.weight) for name, layer in first.items()]
            logits = answer.logits(products, present)
            called = logits.argmax(dim=1)
            nothing = answer.contrast([torch.zeros_like(h) for h in products], present, called)
            gained = logits.max(dim=1).values - logits.mean(dim=1) - nothing
        gradients = _path_gradient(answer, products, present, called, points)
        with torch.no_grad():
            attributed = {
                name: dense(x[name]) * (gradient @ layer.weight.t())
                for (name, layer), gradient in zip(first.items(), gradients, strict=True)
            }
        yield called, gained, attributed


def _points(*, integrated: bool) -> list[tuple[float, float]]:
    """Return points on the way from nothing (0) to the cell (1), and their weights."""
    if not integrated:
        return [(1.0, 1.0)]
    roots, weights = np.polynomial.legendre.leggauss(_N_POINTS)
    s, weights = (roots + 1) / 2, weights / 2
    return list(zip((s**_POWER).tolist(), (weights * _POWER * s ** (_POWER - 1)).tolist(), strict=True))


@dataclass(frozen=True)
class _Behind:
    """What the Student makes of its first layers' products, each of shape ``(n_obs, n_hidden[0])``, without their biases."""

    student: Student
    biases: Sequence[Tensor]

    def logits(self, products: Sequence[Tensor], present: Mapping[str, Tensor]) -> Tensor:
        towers = cast("list[nn.Sequential]", list(self.student.towers))
        latents = [tower[1:](h + bias) for h, bias, tower in zip(products, self.biases, towers, strict=True)]
        return self.student.joined(latents, present)[0]

    def contrast(self, products: Sequence[Tensor], present: Mapping[str, Tensor], called: Tensor) -> Tensor:
        """Return the called label's logit less the mean over labels, shape ``(n_obs,)``."""
        logits = self.logits(products, present)
        return logits.gather(1, called[:, None])[:, 0] - logits.mean(dim=1)


def _path_gradient(
    answer: _Behind,
    products: Sequence[Tensor],
    present: Mapping[str, Tensor],
    called: Tensor,
    points: Sequence[tuple[float, float]],
) -> list[Tensor]:
    """Return the weighted sum over points of the gradients at the first layers' products, by modality."""
    total = [torch.zeros_like(h) for h in products]
    for place, weight in points:
        with torch.enable_grad():
            at = [(h * place).requires_grad_() for h in products]
            gradients = torch.autograd.grad(answer.contrast(at, present, called).sum(), at)
        for sums, gradient in zip(total, gradients, strict=True):
            sums += weight * gradient
    return total
