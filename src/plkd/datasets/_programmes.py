"""Which programmes a label switches on, and which genes belong to a programme."""

from __future__ import annotations

from itertools import combinations
from math import ceil, comb

import numpy as np

_MAX_LISTED = 5000
"""Up to this many combinations of programmes are all looked at; of more, a sample."""
_MEMBERS = 2
"""One in so many features belongs to a programme."""


def n_active(n_labels: int, n_programmes: int) -> int:
    """Return how many programmes each label has: a third, or as many more as it takes for all to be used."""
    return ceil(n_programmes / min(3, n_labels))


def label_programmes(n_labels: int, n_programmes: int, rng: np.random.Generator) -> np.ndarray:
    """Give each label a combination of programmes of its own, far from those of the others.

    Returns
    -------
    bool of shape ``(n_labels, n_programmes)``. All rows differ and have equally many programmes; each programme is on in
    some label and, with three labels or more, off in another.

    Raises
    ------
    ValueError
        If there are fewer combinations than labels.
    """
    size = n_active(n_labels, n_programmes)
    if comb(n_programmes, size) < n_labels:
        enough = next(n for n in range(n_programmes, n_labels + 1) if comb(n, n_active(n_labels, n)) >= n_labels)
        msg = (
            f"n_programmes={n_programmes} can be combined in {comb(n_programmes, size)} ways, too few for "
            f"n_labels={n_labels} labels. Fix: n_programmes={enough} or more."
        )
        raise ValueError(msg)
    # The first labels share the programmes out, so that none is left unused.
    shuffled = rng.permutation(n_programmes)
    n_first = ceil(n_programmes / size)
    chosen = np.zeros((n_labels, n_programmes), dtype=bool)
    for label in range(min(n_first, n_labels)):
        chosen[label, shuffled[np.arange(label * size, (label + 1) * size) % n_programmes]] = True
    if n_labels <= n_first:
        return chosen
    free = _combinations(n_programmes, size, max(_MAX_LISTED, 20 * n_labels), rng)
    distance = (free[:, None, :] != chosen[None, :n_first, :]).sum(axis=2).min(axis=1)
    for label in range(n_first, n_labels):
        farthest = int(np.argmax(distance))
        chosen[label] = free[farthest]
        distance = np.minimum(distance, (free != chosen[label]).sum(axis=1))
    return chosen


def _combinations(n_programmes: int, size: int, n_sampled: int, rng: np.random.Generator) -> np.ndarray:
    """Return the combinations of ``size`` programmes as rows, in random order; of very many, ``n_sampled`` draws."""
    if comb(n_programmes, size) <= _MAX_LISTED:
        members = rng.permutation(np.array(list(combinations(range(n_programmes), size))))
    else:
        members = rng.random((n_sampled, n_programmes)).argsort(axis=1)[:, :size]
    rows = np.zeros((len(members), n_programmes), dtype=bool)
    np.put_along_axis(rows, members, values=True, axis=1)
    return rows


def gene_programmes(n_genes: int, n_coding: int, n_programmes: int, rng: np.random.Generator) -> np.ndarray:
    """Deal half of the genes to the programmes.

    Parameters
    ----------
    n_genes
        At least ``2 * n_programmes``, so that each programme has a gene.
    n_coding
        The first so many genes encode the measured proteins; they are dealt first, so that, where they are at least as
        many as the programmes, each programme has a protein.
    n_programmes
        Programmes to deal to.
    rng
        Says which genes.

    Returns
    -------
    int of shape ``(n_genes,)``: the programme of each gene, -1 for none.
    """
    coding, others = rng.permutation(n_coding), n_coding + rng.permutation(n_genes - n_coding)
    n_dealt = min(n_coding, max(n_programmes, n_coding // _MEMBERS))
    members = np.concatenate([coding[:n_dealt], others])[: max(n_dealt, n_genes // _MEMBERS)]
    programme = np.full(n_genes, -1)
    programme[members] = np.arange(len(members)) % n_programmes
    return programme
