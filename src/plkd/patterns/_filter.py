"""Match patterns to the features of a data set, and choose which of them to keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from plkd._arguments import names_of
from plkd.patterns._identifiers import FEW, mismatch
from plkd.patterns._lookup import Lookup


def feature_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names as strings; refuse repeated ones, because a membership could not tell them apart."""
    features = tuple(str(name) for name in names_of("names", names))
    if len(set(features)) != len(features):
        repeated = pd.Index(features)
        first = repeated[repeated.duplicated()][0]
        msg = f"feature names must be unique, but {first!r} occurs more than once; call adata.var_names_make_unique()."
        raise ValueError(msg)
    return features


def match(wanted: Sequence[str], available: Sequence[str]) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Look up the data's names among the patterns' features.

    Returns
    -------
    A selection matrix of shape ``(len(available), len(wanted))`` with a 1 where the names are equal, and a boolean
    vector that says which wanted names were found.
    """
    columns = pd.Index(wanted, dtype=object).get_indexer(pd.Index(available, dtype=object))
    rows = np.flatnonzero(columns >= 0)
    found = np.zeros(len(wanted), dtype=bool)
    found[columns[rows]] = True
    ones = np.ones(rows.size, dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, columns[rows])), shape=(len(available), len(wanted))), found


def reasons_to_drop(
    membership: sparse.csc_matrix,
    names: Sequence[str],
    sizes: np.ndarray,
    *,
    min_size: int,
    max_size: int | None,
    max_patterns: int | None,
    max_overlap: float,
) -> list[str]:
    """Say for each pattern of the given size why it is dropped; an empty text where it is kept."""
    reasons = [""] * len(names)
    for i, size in enumerate(sizes):
        if size < min_size:
            reasons[i] = f"too small: {size} found, min_size={min_size}"
        elif max_size is not None and size > max_size:
            reasons[i] = f"too large: {size} found, max_size={max_size}"
    if max_overlap < 1:
        _mark_near_duplicates(membership, names, max_overlap, reasons)
    left = [i for i, reason in enumerate(reasons) if not reason]
    if max_patterns is not None:
        by_size = sorted(left, key=lambda i: (-sizes[i], names[i]))
        for rank, i in enumerate(by_size[max_patterns:], start=max_patterns + 1):
            reasons[i] = f"beyond max_patterns: rank {rank} by size, max_patterns={max_patterns}"
    return reasons


def _mark_near_duplicates(
    membership: sparse.csc_matrix, names: Sequence[str], max_overlap: float, reasons: list[str]
) -> None:
    """Mark every pattern too like a kept one; the larger stays, and of two of a size the earlier."""
    left = np.flatnonzero([not reason for reason in reasons])
    sizes = np.diff(membership.indptr)[left]
    binary = membership[:, left].copy()
    binary.data = np.ones_like(binary.data)
    shared = (binary.T @ binary).tocsr()
    kept = np.zeros(left.size, dtype=bool)
    for i in np.lexsort((left, -sizes)):
        row = slice(shared.indptr[i], shared.indptr[i + 1])
        others, both = shared.indices[row], shared.data[row]
        overlap = np.where(kept[others], both / (sizes[i] + sizes[others] - both), 0.0)
        if overlap.size and overlap.max() > max_overlap:
            nearest = names[left[others[np.argmax(overlap)]]]
            reasons[left[i]] = f"near-duplicate: of {nearest!r}, Jaccard {overlap.max():.2f}, max_overlap={max_overlap}"
        else:
            kept[i] = True


def refuse_mismatch(wanted: Sequence[str], lookup: Lookup, found: np.ndarray) -> None:
    """Raise where hardly any name meets and the reason is known; a pattern that survives by chance is no excuse."""
    n_found = int(found.sum())
    # Relative to the smaller side: ten proteins that all meet a collection of 10,000 genes are no mismatch.
    if n_found >= FEW * min(len(wanted), len(lookup.names)):
        return
    cause = mismatch(wanted, lookup.names, n_found=n_found, argument=lookup.argument)
    if cause is not None:
        msg = f"only {n_found:,} of {len(wanted):,} pattern features are among the {lookup.argument}. {cause}"
        raise ValueError(msg)


def nothing_left(
    wanted: Sequence[str],
    lookup: Lookup,
    found: np.ndarray,
    sizes: np.ndarray,
    *,
    kind: str,
    filters: dict[str, float | None],
) -> str:
    """Explain that no pattern survives: no name meets, or the filters are too strict."""
    available, argument = lookup.names, lookup.argument
    if kind == "atac" and argument == "feature names" and not found.any():
        return (
            f"no pattern is left: peaks such as {available[0]!r} are in none of the patterns, which hold {', '.join(wanted[:3])}. "
            "Sets of genes serve peaks through the genes near them: "
            "genes=plkd.patterns.from_peaks(peaks, genes_table, genome=...)."
        )
    text = f"no pattern is left: {int(found.sum()):,} of {len(wanted):,} pattern features are among the {argument}"
    if not found.any():
        return (
            f"{text} (patterns: {', '.join(wanted[:3])}; {argument}: {', '.join(available[:3])}). Pass names of the same "
            'kind, one per feature: genes=adata.var["gene_symbols"].'
        )
    told = ", ".join(f"{name}={value}" for name, value in filters.items())
    return (
        f"{text}; the patterns then hold {sizes.min()} to {sizes.max()} features, and {told} drops them all. "
        f"Widen it, for example min_size={max(1, int(sizes.max()))}, max_size=None."
    )
