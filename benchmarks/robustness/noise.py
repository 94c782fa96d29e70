"""Six ways in which labels of a reference go wrong, as functions of labels and what surrounds them.

Each takes labels, a rate and a random generator, changes ``round(rate * n)`` cells, and returns new labels; where a kind
cannot reach the rate, as many as it can. One cell of each label, drawn at random, is never changed, so that no type
disappears. None in the result is a cell without a label.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

#: Joins the names of two labels to that of their parent.
OR = " or "


def missing(labels: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Take the labels of random cells away."""
    noisy = labels.astype(object)
    noisy[_drawn(_free(labels, rng), _number(labels, rate), rng)] = None
    return noisy


def wrong(labels: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Give random cells another label, each of the others as likely."""
    return _mislabelled(labels, _drawn(_free(labels, rng), _number(labels, rate), rng), rng)


def batch_specific(labels: np.ndarray, rate: float, rng: np.random.Generator, *, batch: np.ndarray) -> np.ndarray:
    """Give another label to random cells of a single batch: one drawn from those large enough, else the largest.

    With one batch it is the same as ``wrong``, so that it says nothing new.
    """
    names, member = np.unique(batch, return_inverse=True)
    if len(names) < 2:
        raise ValueError("The reference has one batch; expected several, else this is the same as `wrong`.")
    free, n = _free(labels, rng), _number(labels, rate)
    sizes = np.bincount(member[free], minlength=len(names))
    enough = np.flatnonzero(sizes >= n)
    chosen = rng.choice(enough) if len(enough) else sizes.argmax()
    return _mislabelled(labels, _drawn(free[member[free] == chosen], n, rng), rng)


def boundary(labels: np.ndarray, rate: float, rng: np.random.Generator, *, points: np.ndarray) -> np.ndarray:
    """Give the cells nearest to another label's cells that label.

    Nearest by the ratio of the mean distances to the 5 nearest cells of the own and of the other label. At most half of
    a label's cells change; more would rename it.
    """
    names, own = np.unique(labels, return_inverse=True)
    distances = np.column_stack([_distance(points, own == code) for code in range(len(names))])
    cells = np.arange(len(labels))
    to_own = distances[cells, own]
    distances[cells, own] = np.inf
    ratio = to_own / distances.min(axis=1)
    free = _free(labels, rng)
    order = free[np.argsort(-ratio[free], kind="stable")]
    halves = [order[own[order] == code][: np.sum(own == code) // 2] for code in range(len(names))]
    candidates = np.concatenate(halves)
    changed = candidates[np.argsort(-ratio[candidates], kind="stable")][: _number(labels, rate)]
    noisy = labels.astype(object)
    noisy[changed] = names[distances[changed].argmin(axis=1)]
    return noisy


def automatic(labels: np.ndarray, rate: float, rng: np.random.Generator, *, points: np.ndarray) -> np.ndarray:
    """Give cells the labels of an automatic annotator: its mistakes, as many as the rate says.

    The annotator is a logistic regression on the points, fitted on few cells of each label; the best one that makes
    enough mistakes is taken, and the rate's number of them drawn.
    """
    free, n = _free(labels, rng), _number(labels, rate)
    order = rng.permutation(len(labels))
    for n_cells in (50, 20, 10, 5, 3, 2, 1):
        few = np.concatenate([order[labels[order] == name][:n_cells] for name in np.unique(labels)])
        given = LogisticRegression(max_iter=500).fit(points[few], labels[few]).predict(points)
        mistaken = free[given[free] != labels[free]]
        if len(mistaken) >= n:
            break
    noisy = labels.astype(object)
    changed = _drawn(mistaken, n, rng)
    noisy[changed] = given[changed]
    return noisy


def coarse(labels: np.ndarray, rate: float, rng: np.random.Generator, *, points: np.ndarray) -> np.ndarray:
    """Give random cells their parent's label, ``A or B``.

    Labels are paired, the two nearest means first; of an odd number one has no parent. The parents are labels beside
    the others.
    """
    names, own = np.unique(labels, return_inverse=True)
    parent = np.full(len(names), None, dtype=object)
    means = np.stack([points[own == code].mean(axis=0) for code in range(len(names))])
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    while np.isfinite(apart).any():
        a, b = np.unravel_index(apart.argmin(), apart.shape)
        parent[[a, b]] = OR.join(sorted([names[a], names[b]]))
        apart[[a, b]], apart[:, [a, b]] = np.inf, np.inf
    free = _free(labels, rng)
    changed = _drawn(free[parent[own[free]] != None], _number(labels, rate), rng)  # noqa: E711 (elementwise)
    noisy = labels.astype(object)
    noisy[changed] = parent[own[changed]]
    return noisy


#: By name; what each needs beside labels, rate and generator is in its signature.
NOISE: dict[str, Callable[..., np.ndarray]] = {
    "missing": missing,
    "wrong": wrong,
    "boundary": boundary,
    "batch": batch_specific,
    "automatic": automatic,
    "coarse": coarse,
}


def perturb(
    kind: str, labels: np.ndarray, rate: float, seed: int, *, batch: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return labels with one kind of noise.

    Parameters
    ----------
    kind
        Name in ``NOISE``.
    labels, batch
        Strings, shape ``(n_obs,)``.
    rate
        Share of the cells to change.
    points
        Coordinates in which distances between cells mean something, e.g. principal components, shape ``(n_obs, n)``.
    """
    around = {"batch": {"batch": batch}, "missing": {}, "wrong": {}}.get(kind, {"points": points})
    return NOISE[kind](labels, rate, np.random.default_rng(seed), **around)


def lenient(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the predictions with a parent's label replaced by the truth where the parent contains it."""
    within = [t in p.split(OR) for t, p in zip(truth, predicted, strict=True)]
    return np.where(within, truth, predicted)


def _number(labels: np.ndarray, rate: float) -> int:
    return round(rate * len(labels))


def _free(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return all cells but one of each label, in random order."""
    order = rng.permutation(len(labels))
    _, first = np.unique(labels[order], return_index=True)
    return np.delete(order, first)


def _drawn(cells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(cells)[:n]


def _mislabelled(labels: np.ndarray, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    names, own = np.unique(labels, return_inverse=True)
    noisy = labels.astype(object)
    noisy[cells] = names[(own[cells] + rng.integers(1, len(names), size=len(cells))) % len(names)]
    return noisy


def _distance(points: np.ndarray, among: np.ndarray, n_nearest: int = 5) -> np.ndarray:
    """Return each cell's mean distance to its nearest cells of a group, itself left out."""
    n_group = int(among.sum())
    found = NearestNeighbors(n_neighbors=min(n_nearest + 1, n_group)).fit(points[among]).kneighbors(points)[0]
    # A member's nearest is itself, at distance 0.
    rest = found[:, 1:].mean(axis=1) if n_group > 1 else np.full(len(points), np.inf)
    return np.where(among, rest, found[:, :n_nearest].mean(axis=1))
