"""Run the Student over many cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from plkd.data import Cells
from plkd.inference._axes import Axes
from plkd.inference._batches import batches, to_device
from plkd.inference._first_layer import FirstLayer, first_layers
from plkd.inference._parallel import at_once, in_parallel
from plkd.nn import InputLinear, InputScaling, Student, product, unweighted_batch


@dataclass
class StudentOutput:
    """Outputs for all cells.

    Attributes
    ----------
    logits
        Shape ``(n_obs, n_labels)``, float32.
    latent
        Shape ``(n_obs, n_latent)``, float32.
    places
        By modality where the cells lie on given axes, shape ``(n_obs, n_axes)``, float32; empty where none were given.
    """

    logits: np.ndarray
    latent: np.ndarray
    places: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, rows: np.ndarray | slice) -> StudentOutput:
        """Return those of some cells."""
        return StudentOutput(self.logits[rows], self.latent[rows], {k: own[rows] for k, own in self.places.items()})


def run_student(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    axes: Mapping[str, Axes] | None = None,
    batch_size: int | None = None,
    progress: str | None = None,
    outputs: Callable[..., Iterable[StudentOutput]] | None = None,
) -> StudentOutput:
    """Return the Student's logits and latent for cells, in the order of ``indices``.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode.
    cells
        Aligned cells.
    indices
        Cell numbers.
    axes
        By modality, of :func:`find_axes`; the cells' places on them are returned too. None: on none.
    batch_size
        Cells of a mini-batch, of which up to four are computed at once on a CPU; None: these hold about 128 MiB of dense values.
    progress
        Name of a progress bar; None shows none.
    outputs
        What runs the Student, as :func:`student_outputs` does; None: that.
    """
    run = student_outputs if outputs is None else outputs
    whole = _empty(student, axes or {}, len(indices))
    done = 0
    for part in run(scaling, student, cells, indices, axes=axes, batch_size=batch_size, progress=progress):
        stop = done + len(part.logits)
        whole.logits[done:stop], whole.latent[done:stop] = part.logits, part.latent
        for kind, own in part.places.items():
            whole.places[kind][done:stop] = own
        done = stop
    return whole


def student_logits(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    batch_size: int | None = None,
    progress: str | None = None,
    outputs: Callable[..., Iterable[StudentOutput]] | None = None,
) -> np.ndarray:
    """Return the logits of :func:`run_student` alone: of many cells the latent would take most of the memory."""
    run = student_outputs if outputs is None else outputs
    logits = np.empty((len(indices), student.head.out_features), dtype=np.float32)
    done = 0
    for part in run(scaling, student, cells, indices, batch_size=batch_size, progress=progress):
        stop = done + len(part.logits)
        logits[done:stop] = part.logits
        done = stop
    return logits


def student_outputs(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    axes: Mapping[str, Axes] | None = None,
    batch_size: int | None = None,
    progress: str | None = None,
) -> Iterator[StudentOutput]:
    """Yield what :func:`run_student` returns mini-batch by mini-batch."""
    device, first = student.head.weight.device, _first_products(scaling, student, cells, axes or {})

    def computed(batch: Mapping[str, Any]) -> StudentOutput:
        return _output(scaling, student, first, to_device(batch, device), axes or {})

    found = batches(cells, indices, batch_size, progress=progress, at_once=at_once(device))
    yield from in_parallel(computed, found, device)


@torch.inference_mode()
def _first_products(
    scaling: Mapping[str, InputScaling], student: Student, cells: Cells, axes: Mapping[str, Axes]
) -> dict[str, FirstLayer]:
    """Return for each modality all that its scaled values are multiplied by: the first layer, and the axes where there are any.

    One product reads the values once.
    """
    found = first_layers(scaling, student, cells)
    for kind, own in axes.items():
        weight = torch.cat([found[kind].weight, own.loadings], dim=1)
        found[kind] = FirstLayer(weight, torch.cat([found[kind].bias, -own.middle]))
    return found


@torch.inference_mode()
def _output(
    scaling: Mapping[str, InputScaling],
    student: Student,
    first: Mapping[str, FirstLayer],
    batch: Mapping[str, Any],
    axes: Mapping[str, Axes],
) -> StudentOutput:
    values = unweighted_batch(scaling, batch)
    latents, places = [], {}
    for kind, tower in zip(student.modalities, cast("list[nn.Sequential]", list(student.towers)), strict=True):
        found = product(values[kind], first[kind].weight) + first[kind].bias
        n_hidden = cast("InputLinear", tower[0]).out_features
        latents.append(tower[1:](found[:, :n_hidden]))
        if kind in axes:
            places[kind] = found[:, n_hidden:].cpu().numpy()
    logits, latent = student.joined(latents, batch["present"])
    return StudentOutput(logits.float().cpu().numpy(), latent.float().cpu().numpy(), places)


def _empty(student: Student, axes: Mapping[str, Axes], n_obs: int) -> StudentOutput:
    widths = {kind: own.loadings.shape[1] for kind, own in axes.items()}
    return StudentOutput(
        np.empty((n_obs, student.head.out_features), dtype=np.float32),
        np.empty((n_obs, student.head.in_features), dtype=np.float32),
        {kind: np.empty((n_obs, width), dtype=np.float32) for kind, width in widths.items()},
    )
