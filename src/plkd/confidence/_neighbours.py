"""The nearest of some cells, by products of float32 instead of differences."""

from __future__ import annotations

import numpy as np

#: Cells looked at together: their distances to a few thousand others stay in the processor's cache.
_AT_A_TIME = 256
#: Groups of cells for each neighbour that is looked for. The k nearest of the groups' nearest lie no nearer than the k nearest
#: of all; with more groups they are nearly the same, with fewer the groups are found sooner.
_GROUPS_EACH = 6


def nearest(cells: np.ndarray, known: np.ndarray, n_neighbours: int, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the squared distances of cells to the nearest of known ones, and the numbers of these, the nearest first.

    Parameters
    ----------
    cells, known
        Float32, shapes ``(n_obs, n_axes)`` and ``(n_known, n_axes)``.
    n_neighbours
        How many; less than there are known cells.
    own
        For each cell the number of the known cell that it is itself, and that does not count; -1: none. Shape ``(n_obs,)``.

    Returns
    -------
    Both of shape ``(n_obs, n_neighbours)``, float32 and int64. Of equally near ones the first count.

    Notes
    -----
    :math:`\lVert x - y \rVert^2 = \lVert x \rVert^2 - 2 x^T y + \lVert y \rVert^2` for all pairs by one product. Known
    cells are dealt out to groups; the k-th least of the groups' least distances is at least the k-th least of all, so that few
    pass it.
    """
    # From their middle, so that little cancels.
    middle = known.mean(axis=0)
    cells, known = cells - middle, known - middle
    size = max(len(known) // (_GROUPS_EACH * n_neighbours), 1)
    n_groups = len(known) // size
    factors = np.vstack([-2 * known.T, np.square(known).sum(axis=1)])
    squares = np.square(cells).sum(axis=1)
    held = np.empty((min(_AT_A_TIME, len(cells)), len(known)), dtype=np.float32)
    apart = np.empty((len(cells), n_neighbours), dtype=np.float32)
    which = np.empty((len(cells), n_neighbours), dtype=np.int64)
    for start in range(0, len(cells), _AT_A_TIME):
        rows = slice(start, start + _AT_A_TIME)
        some, itself = cells[rows], own[rows]
        found = held[: len(some)]
        np.matmul(np.column_stack([some, np.ones(len(some), dtype=np.float32)]), factors, out=found)
        inside = np.flatnonzero(itself >= 0)
        found[inside, itself[inside]] = np.inf
        least = found[:, : size * n_groups].reshape(len(some), size, n_groups).min(axis=1)
        limit = np.partition(least, n_neighbours - 1, axis=1)[:, n_neighbours - 1, None]
        apart[rows], which[rows] = _least(found, found <= limit, n_neighbours)
    return np.maximum(apart + squares[:, None], 0), which


def _least(values: np.ndarray, passed: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least of the values that passed in each row, and their columns, each of shape ``(n_rows, n)``."""
    at = np.flatnonzero(passed)
    row, column = np.divmod(at, values.shape[1])
    counts = np.bincount(row, minlength=len(values))
    place = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    side_by_side = np.full((len(values), counts.max()), np.inf, dtype=np.float32)
    columns = np.zeros(side_by_side.shape, dtype=np.int64)
    side_by_side[row, place], columns[row, place] = values.ravel()[at], column
    order = np.argsort(side_by_side, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(side_by_side, order, axis=1), np.take_along_axis(columns, order, axis=1)
