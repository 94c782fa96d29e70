"""Changes of the training input that the labels survive."""

from __future__ import annotations

import torch
from torch import Tensor


def hide_features(x: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Set random features to zero, a different share of them in every cell.

    A query lacks genes and drops others out; a cell whose library size is corrected for the hidden genes is the same
    cell without them.

    Parameters
    ----------
    x
        Scaled values by modality, each ``(n_obs, n_features)``.
    rate
        Mean share of the features hidden; each cell's own share is uniform in ``[0, 2 * rate]`` (at most 1).
    """
    if rate == 0:
        return x
    hidden = {}
    for name, values in x.items():
        own = torch.rand(values.shape[0], 1, device=values.device) * min(2 * rate, 1.0)
        hidden[name] = values * (torch.rand_like(values) >= own)
    return hidden
