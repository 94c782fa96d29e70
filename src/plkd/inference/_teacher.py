"""Run the Teacher over many cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from plkd.data import Cells
from plkd.inference._batches import batches, to_device
from plkd.nn import InputScaling, Teacher, attention_rollout, scale_batch

#: Cells at a time where all attention weights are held: n_tokens^2 values per cell and block.
_WITH_WEIGHTS = 64
_FUSED = 256


@dataclass
class TeacherOutputs:
    """Outputs for all cells, float32: ``logits``, ``latent`` and, if asked for, ``rollout`` ``(n_obs, n_tokens)``."""

    logits: np.ndarray
    latent: np.ndarray
    rollout: np.ndarray | None


@torch.inference_mode()
def run_teacher(
    scaling: Mapping[str, InputScaling],
    teacher: Teacher,
    cells: Cells,
    indices: np.ndarray,
    *,
    batch_size: int | None = None,
    attention: bool = False,
    raw: bool = False,
) -> TeacherOutputs:
    """Return the Teacher's outputs for cells, in the order of ``indices``.

    Parameters
    ----------
    scaling, teacher
        The networks, in evaluation mode.
    cells, indices
        Aligned cells, and which of them.
    batch_size
        Cells at a time; None: 256, or 64 with attention.
    attention, raw
        Return the roll-out, and in its released form (:func:`plkd.nn.attention_rollout`).
    """
    device = teacher.head.weight.device
    logits = np.empty((len(indices), teacher.head.out_features), dtype=np.float32)
    latent = np.empty((len(indices), teacher.width), dtype=np.float32)
    rollout = np.empty((len(indices), teacher.n_tokens), dtype=np.float32) if attention else None
    done = 0
    size = (_WITH_WEIGHTS if attention else _FUSED) if batch_size is None else batch_size
    for batch in batches(cells, indices, size, progress=None):
        batch = to_device(batch, device)
        out = teacher(scale_batch(scaling, batch), batch["present"], attention=attention)
        stop = done + len(out.logits)
        logits[done:stop], latent[done:stop] = out.logits.float().cpu().numpy(), out.latent.float().cpu().numpy()
        if rollout is not None:
            rollout[done:stop] = attention_rollout(out.attention, raw=raw).float().cpu().numpy()
        done = stop
    return TeacherOutputs(logits, latent, rollout)
