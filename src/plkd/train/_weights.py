"""How much each feature tells the labels apart in the reference."""

from __future__ import annotations

import numpy as np
import torch

from plkd.data import Cells
from plkd.nn import InputScaling

#: Dense values held at a time.
_VALUES_AT_A_TIME = 2**23


@torch.no_grad()
def label_weights(cells: Cells, train: np.ndarray, kind: str, scaling: InputScaling, *, power: float) -> np.ndarray:
    r"""Return a weight for each feature of a modality: the spread of the labels' mean values, to a power.

    An adaptive optimiser moves the weights of every feature by about the same amount, so that the many features that say
    nothing add noise that a linear model with a penalty would not have. Weighing the input undoes this.

    Parameters
    ----------
    cells
        The reference.
    train
        The labelled cells that train; held-out cells take no part, and cells without the modality neither.
    kind
        Which modality.
    scaling
        The model's input scaling of that modality; its present weights are not used.
    power
        Exponent, ``> 0``.

    Returns
    -------
    Shape ``(n_features,)``, float32: :math:`w_g = a \, \mathrm{sd}_l(\bar x_{lg})^{power}`, where :math:`\bar x_{lg}`
    is the mean over the training cells with label l, every label counts alike, and a keeps the summed variance of the
    weighted features at that of the unweighted ones. All 1 where no feature differs between labels.
    """
    train = train[cells.modalities[kind].measured(cells.n_obs)[train]]
    present = scaling.weight.clone()
    n_features = len(present)
    if not len(train):
        return np.ones(n_features, dtype=np.float32)
    codes, labels = np.unique(cells.labels[train], return_inverse=True)
    sums, squares = np.zeros((len(codes), n_features)), np.zeros(n_features)
    scaling.weight.fill_(1)
    at_a_time = int(np.clip(_VALUES_AT_A_TIME // n_features, 16, 1024))
    for start in range(0, len(train), at_a_time):
        batch = cells[train[start : start + at_a_time]]
        scale, found = batch["scale"][kind]
        x = batch["x"][kind].to(present.device)
        found = None if found is None else found.to(present.device)
        x = scaling(x, logged=scale == "log", found=found).double().cpu().numpy()
        np.add.at(sums, labels[start : start + at_a_time], x)
        squares += np.square(x).sum(axis=0)
    scaling.weight.copy_(present)
    means = sums / np.bincount(labels)[:, None]
    variance = squares / len(train) - np.square(sums.sum(axis=0) / len(train))
    weights = means.std(axis=0) ** power
    weighted = float((variance * np.square(weights)).sum())
    if weighted <= 0:
        return np.ones(n_features, dtype=np.float32)
    return (weights * np.sqrt(variance.sum() / weighted)).astype(np.float32)
