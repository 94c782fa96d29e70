"""How much each feature, and each modality, tells the labels apart in the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from plkd.data import Cells
from plkd.inference import to_device
from plkd.nn import InputScaling, SparseRows, unweighted_batch

#: Dense values held at a time.
_VALUES_AT_A_TIME = 2**23


#: What is left, of its standard deviation, of a modality whose values have nothing to do with the labels.
_LEAST = 0.01


@dataclass(frozen=True)
class LabelSpread:
    """How the scaled values of a modality spread over and within labels.

    Attributes
    ----------
    codes
        The labels in use, increasing, shape ``(n_labels,)``.
    means
        Mean of each feature for each of them, shape ``(n_labels, n_features)``.
    counts
        Training cells of each label that were measured, shape ``(n_labels,)``.
    variance
        Variance of each feature over those cells, shape ``(n_features,)``.
    """

    codes: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    variance: np.ndarray

    @property
    def explained(self) -> float:
        """Share of the summed variance that labels explain, in [0, 1], less what they would by chance."""
        n_cells, n_labels = self.counts.sum(), len(self.counts)
        share = self.counts / n_cells
        between = share @ np.square(self.means - share @ self.means)
        within = self.variance - between
        real = between - within * (n_labels - 1) / max(n_cells - n_labels, 1)
        return float(np.maximum(real, 0).sum() / max(self.variance.sum(), 1e-12))


def feature_weights(
    cells: Cells, train: np.ndarray, scaling: Mapping[str, InputScaling], *, power: float
) -> dict[str, np.ndarray]:
    """Return a weight for each feature by kind: ``label_weights``, and a limit to what a modality may weigh.

    A modality of many noisy features, such as peaks, would otherwise be fitted sooner than the one that tells the labels.
    Its summed variance is therefore held to that of the first modality times the ratio of the shares of variance that labels
    explain in each.

    Parameters
    ----------
    cells
        The reference.
    train
        The labelled cells that train; held-out cells take no part, and cells without a modality none in its weights.
    scaling
        The model's input scaling by kind; present weights are not used.
    power
        Exponent of ``label_weights``, ``> 0``.
    """
    weights: dict[str, np.ndarray] = {}
    first: tuple[float, float] | None = None
    for kind, layer in scaling.items():
        spread = label_spread(cells, train, kind, layer)
        if spread is None:
            weights[kind] = np.ones(len(layer.weight), dtype=np.float32)
            continue
        total, explained = float(spread.variance.sum()), spread.explained
        factor = 1.0
        if first is None:
            first = total, max(explained, 1e-12)
        else:
            factor = np.clip(np.sqrt(first[0] * explained / first[1] / max(total, 1e-12)), _LEAST, 1.0)
        weights[kind] = (label_weights(spread, power=power) * factor).astype(np.float32)
    return weights


def label_weights(spread: LabelSpread, *, power: float) -> np.ndarray:
    r"""Return a weight for each feature of a modality: the spread of the labels' mean values, to a power.

    An adaptive optimiser moves the weights of every feature by about the same amount, so that the many features that say
    nothing add noise that a linear model with a penalty would not have. Weighing the input undoes this.

    Parameters
    ----------
    spread
        Result of :func:`label_spread`.
    power
        Exponent, ``> 0``.

    Returns
    -------
    Shape ``(n_features,)``, float32: :math:`w_g = a \, \mathrm{sd}_l(\bar x_{lg})^{power}`, where :math:`\bar x_{lg}`
    is the mean over the training cells with label l, every label counts alike, and a keeps the summed variance of the
    weighted features at that of the unweighted ones. All 1 where no feature differs between labels.
    """
    weights = spread.means.std(axis=0) ** power
    weighted = float((spread.variance * np.square(weights)).sum())
    if weighted <= 0:
        return np.ones(len(weights), dtype=np.float32)
    return (weights * np.sqrt(spread.variance.sum() / weighted)).astype(np.float32)


@torch.no_grad()
def label_spread(cells: Cells, train: np.ndarray, kind: str, scaling: InputScaling) -> LabelSpread | None:
    """Return means by label and variances of a modality's scaled, unweighted values; None where no cell was measured.

    Parameters
    ----------
    cells, train
        As in :func:`feature_weights`.
    kind
        Which modality.
    scaling
        Its input scaling.
    """
    train = train[cells.measured_in(kind)[train]]
    if not len(train):
        return None
    own = cells.only(kind)
    device, n_features = scaling.weight.device, len(scaling.weight)
    codes, labels = np.unique(cells.labels[train], return_inverse=True)
    sums, squares = np.zeros((len(codes), n_features)), np.zeros(n_features)
    at_a_time = int(np.clip(_VALUES_AT_A_TIME // n_features, 16, 1024))
    for start in range(0, len(train), at_a_time):
        batch = to_device(own[train[start : start + at_a_time]], device)
        values = unweighted_batch({kind: scaling}, batch)[kind]
        own_labels = labels[start : start + at_a_time]
        if isinstance(values, SparseRows):
            at = values.columns.cpu().numpy()
            x = values.values.double().cpu().numpy()
            np.add.at(sums, (own_labels[values.rows.cpu().numpy()], at), x)
            squares += np.bincount(at, weights=np.square(x), minlength=n_features)
        else:
            x = values.double().cpu().numpy()
            np.add.at(sums, own_labels, x)
            squares += np.square(x).sum(axis=0)
    counts = np.bincount(labels)
    variance = squares / len(train) - np.square(sums.sum(axis=0) / len(train))
    return LabelSpread(codes, sums / counts[:, None], counts, variance)
