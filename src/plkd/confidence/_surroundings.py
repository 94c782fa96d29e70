"""How far a cell and its neighbours in the query lie from what the Student takes them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from plkd.confidence._neighbours import nearest

#: Fewer cells have no neighbours to speak of.
LEAST_CELLS = 50
#: Numbers of cells for which distances are brought to a scale: few cells lie further out, for their directions follow noise.
SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
#: The neighbour that tells how wide a neighbourhood is.
_WIDTH = 5
#: So many labels of so many cells are needed to tell how far the query lies off as a whole: of one type of cells, known or
#: new, nobody can.
_LEAST_LABELS, _LEAST_OF_A_LABEL = 3, 10


@dataclass(frozen=True)
class Places:
    """Where the cells of a query lie in directions of its own, and where the mean cells of the reference's labels would.

    Attributes
    ----------
    cells
        By modality, shape ``(n_obs, n_axes)``.
    labels
        By modality, shape ``(n_labels, n_axes)``.
    sample
        In which of the cells neighbours are looked for, bool, shape ``(n_obs,)``.
    """

    cells: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    sample: np.ndarray

    def of(self, rows: np.ndarray, kinds: Sequence[str]) -> Places:
        """Return some of the cells in some of the modalities."""
        return Places(
            {kind: self.cells[kind][rows] for kind in kinds},
            {kind: self.labels[kind] for kind in kinds},
            self.sample[rows],
        )

    def joined(self) -> np.ndarray:
        """Return where the cells lie in all modalities together, shape ``(n_obs, n_axes)``, float32."""
        return np.hstack(list(self.cells.values())).astype(np.float32, copy=False)

    def surroundings(self, distance: np.ndarray, logits: np.ndarray) -> Surroundings | None:
        """Return the sample as :class:`Surroundings`, in all modalities together.

        None where it has fewer than 50 cells, or cells that do not differ.

        Parameters
        ----------
        distance, logits
            As of :func:`surrounded_distance`.
        """
        known = np.flatnonzero(self.sample)
        cells, labels = self.joined()[known], np.hstack(list(self.labels.values()))
        if len(known) < LEAST_CELLS or not np.ptp(cells, axis=0).any():
            return None
        return Surroundings.of(distance[known], logits[known], cells, labels)

    def surround(self, distance: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        """Return :func:`surrounded_distance` in all modalities together; None where there are no :meth:`surroundings`."""
        around = self.surroundings(distance, logits)
        return None if around is None else around.distances(distance, logits, self.joined(), numbers_in(self.sample))


@dataclass(frozen=True)
class Surroundings:
    """The sample of a query's cells in which the neighbours of all its cells are looked for; all float32.

    Attributes
    ----------
    cells
        Where they lie, shape ``(n_cells, n_axes)``.
    amounts
        What is averaged over neighbours: each cell's distance, then what its labels do not explain of its place, shape
        ``(n_cells, 1 + n_axes)``.
    labels
        Places of the labels' mean cells, shape ``(n_labels, n_axes)``.
    common
        What all labels have in common of what they do not explain, shape ``(n_axes,)``.
    """

    cells: np.ndarray
    amounts: np.ndarray
    labels: np.ndarray
    common: np.ndarray

    @classmethod
    def of(cls, distance: np.ndarray, logits: np.ndarray, cells: np.ndarray, labels: np.ndarray) -> Surroundings:
        """Return those of a sample; parameters as of :func:`surrounded_distance`."""
        cells, labels = cells.astype(np.float32, copy=False), labels.astype(np.float32, copy=False)
        common = _common(cells, labels, logits.argmax(axis=1))
        return cls(cells, _amounts(distance, logits, cells, labels, common), labels, common)

    def distances(self, distance: np.ndarray, logits: np.ndarray, cells: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return :func:`surrounded_distance` of any of the query's cells.

        Parameters
        ----------
        distance, logits, cells
            As there.
        own
            For each cell its number in the sample, -1 where it is not in it, shape ``(n_obs,)``.
        """
        cells = cells.astype(np.float32, copy=False)
        total = _amounts(distance, logits, cells, self.labels, self.common)
        apart, which = nearest(cells, self.cells, n_neighbours(len(self.cells)) - 1, own)
        width = np.maximum(apart[:, min(_WIDTH, apart.shape[1]) - 1], 1e-24)
        weights = np.exp(-apart / width[:, None])
        total += _weighted_sums(weights, which, self.amounts)
        mean = total.astype(np.float64) / (1 + weights.sum(axis=1, dtype=np.float64))[:, None]
        return np.cbrt(mean[:, 0] * np.square(mean[:, 1:]).sum(axis=1))


def surrounded_distance(
    distance: np.ndarray, logits: np.ndarray, cells: np.ndarray, labels: np.ndarray, sample: np.ndarray
) -> np.ndarray:
    r"""Return how far cells and their neighbours lie from the labels that the Student gives them.

    Parameters
    ----------
    distance
        To the nearest label's centre in the Student's latent space, shape ``(n_obs,)``.
    logits
        The Student's, shape ``(n_obs, n_labels)``.
    cells, labels
        Places of the cells and of the labels' mean cells, shapes ``(n_obs, n_axes)`` and ``(n_labels, n_axes)``.
    sample
        In which cells neighbours are looked for, bool, shape ``(n_obs,)``, at least 50 of them.

    Returns
    -------
    Shape ``(n_obs,)``.

    Notes
    -----
    With the softmax :math:`p_{il}` of the logits, :math:`r_i = x_i - \sum_l p_{il} m_l - c` is what a cell's place has beyond
    what its labels explain; :math:`c` is what all labels have in common of it, the query's own: the median over labels of the
    mean of :math:`x_i - m_l` over the cells called so. :math:`r` and ``distance`` :math:`\delta` are averaged over the cell and
    the others of its neighbourhood (``n_neighbours``) with weights :math:`\exp(-d^2 / d_5^2)`, :math:`d_5` the distance to
    the fifth of them, or the last: a single cell's counts say little, and cells of a new type lie together. Returned is
    :math:`\bar\delta^{1/3} \lVert \bar r \rVert^{2/3}`, twice as much where both are twice as far.
    """
    known = np.flatnonzero(sample)
    around = Surroundings.of(distance[known], logits[known], cells[known], labels)
    return around.distances(distance, logits, cells, numbers_in(sample))


def numbers_in(sample: np.ndarray) -> np.ndarray:
    """Return for each cell its number in a sample, -1 where it is not in it, shape ``(n_obs,)``."""
    return np.where(sample, np.cumsum(sample) - 1, -1)


def n_neighbours(n_cells: int) -> int:
    """Return how many cells of a sample make a neighbourhood, the cell itself among them: a twentieth, but between 5 and 20.

    More would mix types in a small sample, whose cells would then seem less novel than those of a large one.
    """
    return int(np.clip(n_cells // 20, 5, 20))


def _amounts(
    distance: np.ndarray, logits: np.ndarray, cells: np.ndarray, labels: np.ndarray, common: np.ndarray
) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    amounts = np.empty((len(cells), 1 + cells.shape[1]), dtype=np.float32)
    amounts[:, 0] = distance
    np.subtract(cells - shares @ labels, common, out=amounts[:, 1:])
    return amounts


def _weighted_sums(weights: np.ndarray, which: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Return for each cell the sum of its neighbours' amounts, each times its weight, shape ``(n_obs, n_amounts)``."""
    starts = np.arange(0, weights.size + 1, weights.shape[1])
    return sp.csr_matrix((weights.ravel(), which.ravel(), starts), (len(weights), len(amounts))) @ amounts


def _common(cells: np.ndarray, labels: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Return the median over labels of how far their cells lie from them, shape ``(n_axes,)``; 0 where few labels tell."""
    counts = np.bincount(called, minlength=len(labels))
    judged = np.flatnonzero(counts >= _LEAST_OF_A_LABEL)
    if len(judged) < _LEAST_LABELS:
        return np.zeros(cells.shape[1], dtype=np.float32)
    off = [cells[called == label].mean(axis=0, dtype=np.float64) - labels[label] for label in judged]
    return np.median(off, axis=0).astype(np.float32)
