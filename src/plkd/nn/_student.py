"""The Student: a small MLP on the scaled features of each modality, and one head for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from plkd.nn._gain import modality_shares
from plkd.nn._sparse import InputLinear, Values

#: Layers behind the last linear one of a modality: LayerNorm, GELU, dropout.
_AFTER = 3


class Student(nn.Module):
    r"""Linear, LayerNorm, GELU and dropout for each hidden layer, then a linear head.

    Each modality has hidden layers of its own and the head is common. What the modalities say for a label adds up, each by
    its share; the latent of a cell is the mean of its modalities' latents, weighted alike, so that cells with different
    modalities lie side by side.

    Parameters
    ----------
    n_features
        For each modality the number of features.
    n_labels
        Number of labels.
    n_hidden
        Widths of the hidden layers of each modality; the latent is the last one.
    dropout
        Dropout after each hidden layer.

    Attributes
    ----------
    gain
        How much each modality counts beside others, in [0, 1], shape ``(n_modalities,)``; 1 until training sets it on
        held-out cells (:func:`plkd.nn.modality_shares`).

    Notes
    -----
    With latents :math:`h_m`, shares :math:`s_m` and the head's weights :math:`W` and bias :math:`b` the logits are
    :math:`b + \sum_m s_m W h_m`: the product of experts of Hinton (2002), in which the labels' frequencies (the bias) count
    once, however many modalities there are.
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
        self.modalities, self.n_hidden = tuple(n_features), tuple(n_hidden)
        self.register_buffer("gain", torch.ones(len(self.modalities)))
        self.towers = nn.ModuleList(_tower(n_features[name], n_hidden, dropout) for name in self.modalities)
        self.head = nn.Linear(n_hidden[-1], n_labels)

    def forward(self, x: Mapping[str, Values], present: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return logits, shape ``(n_obs, n_labels)``, and the latent, shape ``(n_obs, n_hidden[-1])``.

        Parameters
        ----------
        x
            Scaled values by modality, each of shape ``(n_obs, n_features)``, dense or sparse.
        present
            By modality, whether each cell was measured in it, bool, shape ``(n_obs,)``; None: every cell in every one. Zeros
            of a modality that was measured count, a missing modality does not.
        """
        return self.joined(self.alone(x), present)

    def joined(self, latents: Sequence[Tensor], present: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return what :meth:`forward` does, from the modalities' own latents (:meth:`alone`)."""
        if len(latents) == 1:
            return self.head(latents[0]), latents[0]
        if present is None:
            present = {name: latents[0].new_ones(len(latents[0]), dtype=torch.bool) for name in self.modalities}
        shares = modality_shares(present, self.modalities, self.gain)
        evidence = torch.stack([latent * shares[:, i : i + 1] for i, latent in enumerate(latents)]).sum(dim=0)
        return self.head(evidence), evidence / shares.sum(dim=1, keepdim=True)

    def alone(self, x: Mapping[str, Values]) -> list[Tensor]:
        """Return each modality's own latent, in the order of ``modalities``, each of shape ``(n_obs, n_hidden[-1])``."""
        return self.activated(self.projected(x))

    def projected(self, x: Mapping[str, Values]) -> list[Tensor]:
        """Return what the last hidden layer of each modality makes :meth:`alone` of: its linear part alone."""
        return [tower[:-_AFTER](x[name]) for name, tower in zip(self.modalities, self._towers(), strict=True)]

    def activated(self, projected: Sequence[Tensor], *, dropout: bool = True) -> list[Tensor]:
        """Return the modalities' own latents from :meth:`projected`; in training some of them dropped, unless told otherwise."""
        end = None if dropout else -1
        return [tower[-_AFTER:end](h) for h, tower in zip(projected, self._towers(), strict=True)]

    def _towers(self) -> list[nn.Sequential]:
        return cast("list[nn.Sequential]", list(self.towers))


def _tower(n_features: int, n_hidden: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [InputLinear(n_features, n_hidden[0])]
    for n_in, n_out in zip(n_hidden[:-1], n_hidden[1:], strict=True):
        layers += [nn.LayerNorm(n_in), nn.GELU(), nn.Dropout(dropout), nn.Linear(n_in, n_out)]
    return nn.Sequential(*layers, nn.LayerNorm(n_hidden[-1]), nn.GELU(), nn.Dropout(dropout))
