"""Group unit vectors into clusters of bounded size: spherical k-means, merging, splitting."""

from __future__ import annotations

import numpy as np
from scipy import sparse

_MAX_ROUNDS = 30
_BLOCK = 1 << 15


def group(
    loadings: np.ndarray, n_groups: int, *, min_size: int, max_size: int, rng: np.random.Generator, n_starts: int = 1
) -> list[np.ndarray]:
    """Partition the rows of ``loadings`` by direction into groups of ``min_size`` to ``max_size`` rows.

    Parameters
    ----------
    loadings
        Shape ``(n_rows, n_components)``; rows of 0 have no direction and form a group of their own.
    n_groups
        Number of clusters to start from.
    min_size
        Smaller clusters join the nearest one; the result falls below it only where there are fewer rows than this.
    max_size
        Larger clusters are split; at least ``2 * min_size``, so that both halves are large enough.
    rng
        Draws the first centres.
    n_starts
        Of so many runs of k-means the one with the highest mean cosine counts.

    Returns
    -------
    Row numbers of each group, every row once; the group with the largest mean squared loading first.
    """
    length = np.linalg.norm(loadings, axis=1, keepdims=True)
    units = np.divide(loadings, length, out=np.zeros_like(loadings), where=length > 0)
    directed, flat = np.flatnonzero(length.ravel() > 0), np.flatnonzero(length.ravel() == 0)
    groups = [flat] if flat.size else []
    if directed.size:
        starts = [_spherical_kmeans(units[directed], min(n_groups, directed.size), rng) for _ in range(n_starts)]
        labels = max(starts, key=lambda labels: _cohesion(units[directed], labels)) if n_starts > 1 else starts[0]
        groups += [directed[labels == label] for label in np.unique(labels)]
    groups = _merge_small(units, groups, min_size)
    groups = [part for members in groups for part in _split_large(units, members, min_size, max_size)]
    strength = [float((loadings[members].astype(np.float64) ** 2).sum() / members.size) for members in groups]
    order = sorted(range(len(groups)), key=lambda i: (-strength[i], groups[i].min()))
    return [np.sort(groups[i]) for i in order]


def _spherical_kmeans(units: np.ndarray, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Assign each unit vector to the nearest of ``n_groups`` mean directions.

    Written out rather than taken from scikit-learn, whose threads add up centres in any order: not the same bits twice.
    """
    centres = _spread_centres(units, n_groups, rng)
    labels = np.full(units.shape[0], -1)
    for _ in range(_MAX_ROUNDS):
        nearest = _nearest(units, centres)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        ones = np.ones(labels.size, dtype=np.float32)
        indicator = sparse.csr_matrix((ones, (labels, np.arange(labels.size))), shape=(n_groups, labels.size))
        sums = indicator @ units
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-12), centres)
    return labels


def _cohesion(units: np.ndarray, labels: np.ndarray) -> float:
    """Sum over the rows of the cosine with the mean direction of their group: the length of the group's sum."""
    return float(
        sum(np.linalg.norm(units[labels == label].sum(axis=0, dtype=np.float64)) for label in np.unique(labels))
    )


def _nearest(units: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest centre of each row; in blocks, since 100,000 peaks times their centres fill the memory."""
    return np.concatenate(
        [np.argmax(units[at : at + _BLOCK] @ centres.T, axis=1) for at in range(0, units.shape[0], _BLOCK)]
    )


def _spread_centres(units: np.ndarray, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Draw starting centres far apart (k-means++ with one minus the cosine as squared distance)."""
    chosen = [int(rng.integers(units.shape[0]))]
    distance = np.maximum(1 - units @ units[chosen[0]], 0).astype(np.float64)
    while len(chosen) < n_groups:
        total = np.cumsum(distance)
        if total[-1] <= 0:
            break
        chosen.append(min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), units.shape[0] - 1))
        distance = np.minimum(distance, np.maximum(1 - units @ units[chosen[-1]], 0))
    centres = units[chosen]
    # Fewer distinct directions than groups: the surplus centres repeat one and stay empty.
    return np.concatenate([centres, np.repeat(centres[:1], n_groups - len(chosen), axis=0)])


def _merge_small(units: np.ndarray, groups: list[np.ndarray], min_size: int) -> list[np.ndarray]:
    groups = list(groups)
    while len(groups) > 1:
        smallest = min(range(len(groups)), key=lambda i: groups[i].size)
        if groups[smallest].size >= min_size:
            break
        members = groups.pop(smallest)
        means = np.stack([units[other].mean(axis=0) for other in groups])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        nearest = int(np.argmax(means @ units[members].mean(axis=0)))
        groups[nearest] = np.concatenate([groups[nearest], members])
    return groups


def _split_large(units: np.ndarray, members: np.ndarray, min_size: int, max_size: int) -> list[np.ndarray]:
    """Halve a group across its direction of largest spread until no part is too large.

    The cut lies at the mean, moved where needed so that no part gets less than a quarter, or than ``min_size``.
    """
    if members.size <= max_size:
        return [members]
    centred = (units[members] - units[members].mean(axis=0)).astype(np.float64)
    spread = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    position = centred @ spread
    order = np.argsort(position, kind="stable")
    least = max(min_size, members.size // 4)
    cut = int(np.clip((position < 0).sum(), least, members.size - least))
    parts = (members[order[:cut]], members[order[cut:]])
    return [piece for part in parts for piece in _split_large(units, part, min_size, max_size)]
