"""Which features of which modality each pattern holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from plkd.data import ModalitySpec
from plkd.patterns import KIND, PatternSet


def membership_by_kind(patterns: PatternSet, specs: Sequence[ModalitySpec]) -> dict[str, sp.csc_matrix]:
    """Return for each kind of features the memberships of its patterns, features x patterns.

    Parameters
    ----------
    patterns
        Over the features of all modalities; a name that two modalities share means that of the pattern's kind.
    specs
        The model's modalities.

    Returns
    -------
    By kind, rows in the order of the modality's features, columns in the order of ``patterns``.
    """
    kinds = np.asarray(patterns.kinds, dtype=object)
    rows = pd.Index(patterns.features)
    found = {}
    for spec in specs:
        own = patterns.membership[:, np.flatnonzero(kinds == spec.kind)].tocsr()
        found[spec.kind] = own[rows.get_indexer(pd.Index(spec.features))].tocsc()
    return found


def names_by_kind(patterns: PatternSet, specs: Sequence[ModalitySpec]) -> dict[str, list[str]]:
    """Return the names of each kind's patterns, in the order of :func:`membership_by_kind`."""
    return {
        spec.kind: [name for name, kind in zip(patterns.names, patterns.kinds, strict=True) if kind == spec.kind]
        for spec in specs
    }


def members(membership: sp.csc_matrix) -> list[np.ndarray]:
    """Return the row numbers of each column."""
    ends = membership.indptr
    return [membership.indices[a:b].astype(np.int64) for a, b in zip(ends[:-1], ends[1:], strict=True)]


def features_in_words(specs: Sequence[ModalitySpec]) -> str:
    """Say how many features of each kind a model reads, and on which scale."""
    return " + ".join(f"{len(spec.features)} {KIND[spec.kind].features} ({spec.scale})" for spec in specs)
