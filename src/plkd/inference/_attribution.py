"""Which patterns a Student's call rests on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch

from plkd.data import Cells
from plkd.inference._batches import batches, to_device
from plkd.nn import InputScaling, Student, dense, scale_batch


def pattern_attribution(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    membership: Mapping[str, sp.csc_matrix],
    *,
    batch_size: int | None = None,
) -> np.ndarray:
    """Return gradient x input of each cell's called label, summed over the features of each pattern.

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
    Shape ``(n_obs, n_patterns)``, patterns modality after modality, in units of the logit: how much the called label's
    logit, less the mean over labels, rests on the pattern's features. Patterns that share features share their part.
    """
    device = student.head.weight.device
    connected = {name: (matrix != 0).astype(np.float32) for name, matrix in membership.items()}
    parts = [np.empty((0, sum(matrix.shape[1] for matrix in connected.values())), dtype=np.float32)]
    for batch in batches(cells, indices, batch_size, progress=None):
        # Callers may have switched gradients off, either way.
        with torch.inference_mode(mode=False), torch.enable_grad():
            batch = to_device(batch, device)
            x = {k: dense(v).clone().requires_grad_() for k, v in scale_batch(scaling, batch).items()}
            logits, _ = student(x, {k: v.clone() for k, v in batch["present"].items()})
            called = logits.max(dim=1).values - logits.mean(dim=1)
            gradients = torch.autograd.grad(called.sum(), list(x.values()))
        products = {k: (g * v.detach()).cpu().numpy() for (k, v), g in zip(x.items(), gradients, strict=True)}
        parts.append(np.hstack([products[name] @ matrix for name, matrix in connected.items()]))
    return np.vstack(parts)
