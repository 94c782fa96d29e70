"""Run the Student over many cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from plkd.data import Cells
from plkd.inference._axes import Axes
from plkd.inference._batches import batches, to_device
from plkd.nn import InputScaling, Student, unweighted_batch, weigh_batch


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


@torch.inference_mode()
def run_student(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    axes: Mapping[str, Axes] | None = None,
    batch_size: int | None = None,
    progress: str | None = None,
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
        Cells at a time; None holds about 128 MiB of dense values.
    progress
        Name of a progress bar; None shows none.
    """
    device = student.head.weight.device
    logits = np.empty((len(indices), student.head.out_features), dtype=np.float32)
    latent = np.empty((len(indices), student.head.in_features), dtype=np.float32)
    axes = axes or {}
    places = {kind: np.empty((len(indices), own.loadings.shape[1]), dtype=np.float32) for kind, own in axes.items()}
    done = 0
    for batch in batches(cells, indices, batch_size, progress=progress):
        batch = to_device(batch, device)
        values = unweighted_batch(scaling, batch)
        out = student(weigh_batch(scaling, values), batch["present"])
        stop = done + len(out[0])
        for kind, own in axes.items():
            places[kind][done:stop] = own.place(values[kind]).cpu().numpy()
        logits[done:stop], latent[done:stop] = out[0].float().cpu().numpy(), out[1].float().cpu().numpy()
        done = stop
    return StudentOutput(logits, latent, places)
