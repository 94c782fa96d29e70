"""What a model takes from its reference before training: scaling constants and patterns."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from plkd.data import Rows, Scale
from plkd.patterns import PatternSet, concat, learn, read
from plkd.presets import PatternSettings

logger = logging.getLogger("plkd")

_BLOCK = 4096
#: Cells that learned patterns are computed from; more change little and cost time.
_LEARNED_FROM = 5000


def gene_share(rows: Rows, scale: Scale) -> np.ndarray:
    """Return the mean share of each feature in a cell's counts, shape ``(n_features,)``, float32, summing to 1.

    Log-normalised values are taken back through ``expm1`` first. Cells without counts are left out.
    """
    total = np.zeros(rows.n_features)
    for start in range(0, rows.n_obs, _BLOCK):
        block = rows.read(slice(start, start + _BLOCK))
        if scale == "log":
            block = block.expm1()
        size = np.asarray(block.sum(axis=1)).ravel()
        total += block.T @ (1 / np.where(size > 0, size, np.inf))
    return (total / max(total.sum(), 1e-12)).astype(np.float32)


def log_normalised(rows: Rows, scale: Scale, rng: np.random.Generator) -> sp.csr_matrix:
    """Return log1p of counts per 10,000 of at most 5,000 drawn cells, CSR."""
    chosen = np.arange(rows.n_obs)
    if rows.n_obs > _LEARNED_FROM:
        chosen = np.sort(rng.choice(rows.n_obs, _LEARNED_FROM, replace=False))
    block = rows.read(chosen)
    if scale == "log":
        return block
    size = np.asarray(block.sum(axis=1)).ravel()
    return (sp.diags(1e4 / np.where(size > 0, size, np.inf)) @ block).log1p().tocsr()


def build_patterns(
    source: Any,
    features: np.ndarray,
    *,
    genes: np.ndarray | None,
    rows: Rows,
    scale: Scale,
    settings: PatternSettings,
    rng: np.random.Generator,
) -> PatternSet:
    """Match given patterns to the reference, and learn patterns for what they leave out.

    Parameters
    ----------
    source
        Anything :func:`plkd.patterns.read` takes; None learns all patterns.
    features
        The reference's feature names.
    genes
        For each feature the gene to look up in the sets; None looks up the names.
    rows, scale
        The reference's matrix.
    settings
        Filters, and whether to learn.
    rng
        Draws the cells and seeds the learning.
    """
    if source is None:
        given = None
    else:
        given = read(source)
        if settings.max_set_size is not None:
            given = _no_larger_than(given, settings.max_set_size)
        given = given.for_features(
            features,
            genes=genes,
            min_size=settings.min_size,
            max_size=settings.max_size,
            max_patterns=settings.max_patterns,
            max_overlap=settings.max_overlap,
        )
        if not settings.learned:
            return given
    values = log_normalised(rows, scale, rng)
    learned = learn(
        values,
        features,
        n_patterns=settings.n_learned,
        min_size=settings.min_size,
        max_size=settings.max_learned_size,
        exclude=given,
        seed=int(rng.integers(2**31)),
    )
    if given is None:
        return learned
    return concat(given, learned) if len(learned) else given


def _no_larger_than(patterns: PatternSet, size: int) -> PatternSet:
    sizes = np.diff(patterns.membership.indptr)
    kept = np.flatnonzero(sizes <= size)
    if not len(kept):
        raise ValueError(f"No pattern has {size} features or fewer; the smallest has {sizes.min()}.")
    return PatternSet(
        tuple(patterns.names[i] for i in kept),
        patterns.features,
        patterns.membership[:, kept],
        tuple(patterns.sources[i] for i in kept),
        tuple(patterns.kinds[i] for i in kept),
    )


def members_of(patterns: PatternSet) -> list[np.ndarray]:
    """Return the feature numbers of each pattern."""
    matrix = patterns.membership
    return [matrix.indices[a:b].astype(np.int64) for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)]


def is_built(source: Any) -> bool:
    """Whether ``source`` is the stored state of patterns that a model already matched to its reference."""
    return isinstance(source, Mapping) and "plkd_patterns" in source
