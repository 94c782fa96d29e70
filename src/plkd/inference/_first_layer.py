"""The Student's first layer, as it reads a data set: the features' weights go into it, and what is said for features not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from plkd.data import Cells, JoinedCells
from plkd.nn import InputLinear, InputScaling, Student


@dataclass(frozen=True)
class FirstLayer:
    """What scaled values without weights are multiplied by, and what is added.

    Attributes
    ----------
    weight
        Shape ``(n_features, n_hidden)``.
    bias
        Shape ``(n_hidden,)``.
    """

    weight: Tensor
    bias: Tensor


@torch.no_grad()
def first_layers(scaling: Mapping[str, InputScaling], student: Student, cells: Cells) -> dict[str, FirstLayer]:
    """Return the Student's first layers by modality, for one data set.

    What the data set does not have is expected from what it has (:meth:`plkd.nn.InputScaling.completed`).

    Parameters
    ----------
    scaling, student
        The networks.
    cells
        Aligned cells. Of joined data sets, each of which lacks others, nothing is expected.
    """
    first = {}
    for kind, tower in zip(student.modalities, cast("list[nn.Sequential]", list(student.towers)), strict=True):
        layer, own = cast("InputLinear", tower[0]), scaling[kind]
        weight: Tensor = own.weight[:, None] * layer.weight
        bias: Tensor = layer.bias
        found = None if isinstance(cells, JoinedCells) else cells.modalities[kind].found_tensor
        if found is not None and not bool(found.all()):
            weight, bias = own.completed(weight, bias, found.to(weight.device))
        first[kind] = FirstLayer(weight, bias)
    return first
