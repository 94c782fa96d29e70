"""The Student: a small MLP on the scaled features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from plkd.nn._gain import modality_shares
from plkd.nn._sparse import InputLinear, Values


class Student(nn.Module):
    """Linear, LayerNorm, GELU and dropout for each hidden layer, then a linear head.

    The first layer is one linear map with bias per modality, summed over those that the cell was measured in.

    Parameters
    ----------
    n_features
        For each modality the number of features.
    n_labels
        Number of labels.
    n_hidden
        Widths of the hidden layers; the latent is the last one.
    dropout
        Dropout after each hidden layer.

    Attributes
    ----------
    gain
        How much each modality counts beside others, in [0, 1], shape ``(n_modalities,)``; 1 until training sets it on
        held-out cells (:func:`plkd.nn.modality_shares`).
    """

    gain: Tensor

    def __init__(
        self,
        n_features: Mapping[str, int],
        n_labels: int,
        *,
        n_hidden: Sequence[int] = (256, 128),
        dropout: float = 0.1,
    ):
        super().__init__()
        self.modalities = tuple(n_features)
        self.register_buffer("gain", torch.ones(len(self.modalities)))
        self.inputs = nn.ModuleList(InputLinear(n_features[name], n_hidden[0]) for name in self.modalities)
        layers: list[nn.Module] = [nn.LayerNorm(n_hidden[0]), nn.GELU(), nn.Dropout(dropout)]
        for n_in, n_out in zip(n_hidden[:-1], n_hidden[1:], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(n_hidden[-1], n_labels)

    def forward(self, x: Mapping[str, Values], present: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return logits, shape ``(n_obs, n_labels)``, and the latent, shape ``(n_obs, n_hidden[-1])``.

        Parameters
        ----------
        x
            Scaled values by modality, each of shape ``(n_obs, n_features)``, dense or sparse.
        present
            By modality, whether each cell was measured in it, bool, shape ``(n_obs,)``; None: every cell in every one. A
            missing modality's bias is left out too, so that zeros and *not measured* differ.
        """
        parts = [layer(x[name]) for name, layer in zip(self.modalities, self.inputs, strict=True)]
        if len(parts) > 1:
            if present is None:
                present = {name: parts[0].new_ones(len(parts[0]), dtype=torch.bool) for name in self.modalities}
            shares = modality_shares(present, self.modalities, self.gain)
            parts = [part * shares[:, i : i + 1] for i, part in enumerate(parts)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        latent = self.hidden(total)
        return self.head(latent), latent
