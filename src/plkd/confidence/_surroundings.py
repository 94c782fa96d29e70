"""How far a cell and its neighbours in the query lie from what the Student takes them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.neighbors import NearestNeighbors

#: Fewer cells have no neighbours to speak of.
LEAST_CELLS = 50
#: Numbers of cells for which distances are brought to a scale: few cells lie further out, for their directions follow noise.
SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
#: The neighbour that tells how wide a neighbourhood is.
_WIDTH = 5
#: So many labels of so many cells are needed to tell how far the query lies off as a whole: of one type of cells, known or
#: new, nobody can.
_LEAST_LABELS, _LEAST_OF_A_LABEL = 3, 10
_AT_A_TIME = 8192


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

    def surround(self, distance: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        """Return :func:`surrounded_distance` in all modalities together.

        None where the sample has fewer than 50 cells, or cells that do not differ.
        """
        if self.sample.sum() < LEAST_CELLS or not any(np.ptp(cells, axis=0).any() for cells in self.cells.values()):
            return None
        cells, labels = (np.hstack(list(each.values())) for each in (self.cells, self.labels))
        return surrounded_distance(distance, logits, cells, labels, self.sample)


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
    the others of its neighbourhood (:func:`n_neighbours`) with weights :math:`\exp(-d^2 / d_5^2)`, :math:`d_5` the distance to
    the fifth of them, or the last: a single cell's counts say little, and cells of a new type lie together. Returned is
    :math:`\bar\delta^{1/3} \lVert \bar r \rVert^{2/3}`, twice as much where both are twice as far.
    """
    probabilities = softmax(logits.astype(np.float64), axis=1)
    off = cells - probabilities @ labels
    off -= _common(cells, labels, logits.argmax(axis=1), sample)
    amount = np.column_stack([distance, off])
    known = np.flatnonzero(sample)
    finder = NearestNeighbors(n_neighbors=n_neighbours(len(known))).fit(cells[known])
    found = np.empty(len(cells))
    for start in range(0, len(cells), _AT_A_TIME):
        rows = slice(start, start + _AT_A_TIME)
        apart, which = finder.kneighbors(cells[rows])
        # The first is the cell itself, or its like, where it is in the sample; else the farthest makes room for it.
        inside = sample[rows][:, None]
        apart = np.where(inside, apart[:, 1:], apart[:, :-1])
        which = known[np.where(inside, which[:, 1:], which[:, :-1])]
        width = np.maximum(apart[:, min(_WIDTH, apart.shape[1]) - 1], 1e-12)
        weights = np.exp(-np.square(apart / width[:, None]))
        total = amount[rows] + np.einsum("ij,ijk->ik", weights, amount[which])
        mean = total / (1 + weights.sum(axis=1))[:, None]
        found[rows] = np.cbrt(mean[:, 0] * np.square(mean[:, 1:]).sum(axis=1))
    return found


def n_neighbours(n_cells: int) -> int:
    """Return how many cells of a sample make a neighbourhood, the cell itself among them: a twentieth, but between 5 and 20.

    More would mix types in a small sample, whose cells would then seem less novel than those of a large one.
    """
    return int(np.clip(n_cells // 20, 5, 20))


def _common(cells: np.ndarray, labels: np.ndarray, called: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Return the median over labels of how far their cells lie from them, shape ``(n_axes,)``; 0 where few labels tell."""
    counts = np.bincount(called[sample], minlength=len(labels))
    judged = np.flatnonzero(counts >= _LEAST_OF_A_LABEL)
    if len(judged) < _LEAST_LABELS:
        return np.zeros(cells.shape[1])
    return np.median([cells[sample & (called == label)].mean(axis=0) - labels[label] for label in judged], axis=0)
