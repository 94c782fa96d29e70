"""Labels that other cells contradict."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

#: Cells that vote on a cell's label.
N_NEIGHBOURS = 10
#: As many times as the cell's own label, at least, the neighbours have another one: where this share of the labels or more is
#: contradicted so.
ODDS, COMMON = 3.0, 0.18
#: A label with fewer cells is not judged: its cells cannot be most of a cell's neighbours, and each of them counts.
LEAST_CELLS = 15
#: A label keeps this share of its cells, those that are most like it.
KEPT_SHARE = 0.2


def doubtful_labels(
    called: np.ndarray, codes: np.ndarray, embedding: np.ndarray, *, trains: np.ndarray | None = None
) -> np.ndarray:
    r"""Return the cells whose labels are contradicted both by networks that did not see them and by their neighbours.

    Parameters
    ----------
    called
        What networks call the cells that did not see them, codes of shape ``(n_obs,)``.
    codes
        The cells' labels, shape ``(n_obs,)``; all cells have one.
    embedding
        The cells' places, found without labels, shape ``(n_obs, n_components)``.
    trains
        Whether each cell is to train, bool, shape ``(n_obs,)``: only these are doubted, and enough of these are left of each
        label. None: all.

    Returns
    -------
    Bool, shape ``(n_obs,)``.

    Notes
    -----
    A cell is doubted if it is not called by its label and one other label is at least :math:`o` times as frequent as its own
    among its ten nearest neighbours (edited nearest neighbours, Wilson 1972, with a margin; a label without neighbours counts as
    half of one; it need not be what the networks call the cell). With the share :math:`s` of the cells for which three times
    holds, :math:`o = 3 \max(1, \frac{1 - s}{s} / \frac{0.82}{0.18})`: the fewer labels seem wrong, the more must speak
    against one of them, as the odds that a label is right stand against what its neighbours say. Below 3.2 % no label is doubted,
    for of ten neighbours none can speak so clearly. Cells with ten others exactly like them are not doubted. The
    two look at different things: the networks learned from wrong labels too, and call a rare type by the
    labels that were mixed into it, whereas its cells still lie together; and neighbours mix types that differ by few features,
    which networks tell apart. A label keeps a fifth of its cells, those with most neighbours of the label; labels with fewer
    than 15 cells are not doubted.
    """
    trains = np.ones(len(codes), dtype=bool) if trains is None else trains
    doubted = np.zeros(len(codes), dtype=bool)
    contradicted = np.flatnonzero(trains & (called != codes))
    if not len(contradicted) or len(codes) <= N_NEIGHBOURS:
        return doubted
    # Of cells that lie equally far the first are found: in any order but that of the labels.
    order = np.random.default_rng(0).permutation(len(codes))
    distance, found = (
        NearestNeighbors(n_neighbors=N_NEIGHBOURS + 1).fit(embedding[order]).kneighbors(embedding[contradicted])
    )
    found = order[found]
    n_labels = int(max(codes.max(), called.max())) + 1
    votes = np.zeros((len(contradicted), n_labels))
    for i, cell in enumerate(contradicted):
        # Not the cell itself; among cells that are all the same it may be missing.
        votes[i] = np.bincount(codes[found[i][found[i] != cell][:N_NEIGHBOURS]], minlength=n_labels)
    own = np.take_along_axis(votes, codes[contradicted][:, None], axis=1)[:, 0]
    # Where all of them are the same, such as cells without a count, they are neighbours by chance.
    odds = np.where(distance[:, -1] > 0, votes.max(axis=1) / np.maximum(own, 0.5), 0.0)
    doubted[contradicted] = odds >= _least_odds((odds >= ODDS).sum() / trains.sum())
    n_cells = np.bincount(codes[trains], minlength=n_labels)
    doubted &= n_cells[codes] >= LEAST_CELLS
    for label in np.unique(codes[doubted]):
        which = np.flatnonzero(doubted[contradicted] & (codes[contradicted] == label))
        least_like_it = which[np.argsort(own[which], kind="stable")]
        doubted[contradicted[least_like_it[int((1 - KEPT_SHARE) * n_cells[label]) :]]] = False
    return doubted


def _least_odds(share: float) -> float:
    """Return the odds asked for where this share of the labels is contradicted by odds of ``ODDS``."""
    return ODDS * max(1.0, (1 - share) / max(share, 1e-12) * COMMON / (1 - COMMON))
