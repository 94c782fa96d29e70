"""How much each modality counts in a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def modality_shares(present: Mapping[str, Tensor], names: Sequence[str], gain: Tensor) -> Tensor:
    """Return how much each modality of each cell counts.

    Parameters
    ----------
    present
        By modality, whether each cell was measured in it, bool, shape ``(n_obs,)``.
    names
        The modalities, in the order of ``gain``.
    gain
        Gain of each modality, in [0, 1], at least one of them 1, shape ``(n_modalities,)``.

    Returns
    -------
    Shape ``(n_obs, n_modalities)``, in [0, 1]: 0 for a modality that the cell lacks, else its gain relative to the largest
    among those that the cell has. A cell of one modality therefore counts it in full, whatever its gain.
    """
    measured = torch.stack([present[name] for name in names], dim=1)
    gains = measured * gain
    largest = gains.max(dim=1, keepdim=True).values
    # Where all gains of a cell's modalities are 0 they count alike.
    return torch.where(largest > 0, gains / largest.clamp_min(torch.finfo(gains.dtype).tiny), measured.to(gains.dtype))
