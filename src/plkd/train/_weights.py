"""How much each gene tells the labels apart in the reference."""

from __future__ import annotations

import numpy as np
import torch

from plkd.data import Cells
from plkd.nn import RNAScaling

_CELLS_AT_A_TIME = 1024


@torch.no_grad()
def label_weights(cells: Cells, train: np.ndarray, scaling: RNAScaling, *, power: float) -> np.ndarray:
    r"""Return a weight for each gene: the spread of the labels' mean expression, to a power.

    An adaptive optimiser moves the weights of every gene by about the same amount, so that the many genes that say
    nothing add noise that a linear model with a penalty would not have. Weighing the input undoes this.

    Parameters
    ----------
    cells
        The reference, of one modality.
    train
        The labelled cells that train; held-out cells take no part.
    scaling
        The model's input scaling; its present weights are not used.
    power
        Exponent, ``> 0``.

    Returns
    -------
    Shape ``(n_features,)``, float32: :math:`w_g = a \, \mathrm{sd}_l(\bar x_{lg})^{power}`, where :math:`\bar x_{lg}`
    is the mean over the training cells with label l, every label counts alike, and a keeps the summed variance of the
    weighted genes at that of the unweighted ones. All 1 where no gene differs between labels.
    """
    codes, labels = np.unique(cells.labels[train], return_inverse=True)
    (name,) = cells.modalities
    present = scaling.weight.clone()
    sums = np.zeros((len(codes), len(present)))
    squares = np.zeros(len(present))
    scaling.weight.fill_(1)
    for start in range(0, len(train), _CELLS_AT_A_TIME):
        batch = cells[train[start : start + _CELLS_AT_A_TIME]]
        kind, share = batch["scale"][name]
        device = scaling.weight.device
        x = scaling(batch["x"][name].to(device), logged=kind == "log", share=share).double().cpu().numpy()
        np.add.at(sums, labels[start : start + _CELLS_AT_A_TIME], x)
        squares += np.square(x).sum(axis=0)
    scaling.weight.copy_(present)
    means = sums / np.bincount(labels)[:, None]
    variance = squares / len(train) - np.square(sums.sum(axis=0) / len(train))
    weights = means.std(axis=0) ** power
    weighted = float((variance * np.square(weights)).sum())
    if weighted <= 0:
        return np.ones(len(present), dtype=np.float32)
    return (weights * np.sqrt(variance.sum() / weighted)).astype(np.float32)
