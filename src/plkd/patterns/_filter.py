"""Match patterns to the features of a data set, and choose which of them to keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from plkd.patterns._identifiers import FEW, mismatch


def feature_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names as strings; refuse repeated ones, because a membership could not tell them apart."""
    features = tuple(str(name) for name in names)
    if len(set(features)) != len(features):
        repeated = pd.Index(features)
        first = repeated[repeated.duplicated()][0]
        msg = f"feature names must be unique, but {first!r} occurs more than once; call adata.var_names_make_unique()."
        raise ValueError(msg)
    return features


def names_to_match(features: tuple[str, ...], genes: Iterable[str] | None) -> list[str]:
    """Return the name under which each feature is looked up: its gene, or its own name where the gene is missing."""
    if genes is None:
        return list(features)
    symbols = list(genes)
    if len(symbols) != len(features):
        msg = f"genes holds {len(symbols)} entries for {len(features)} features; pass one gene per feature, in order."
        raise ValueError(msg)
    return [
        feature if pd.isna(gene) or not str(gene).strip() else str(gene).strip()
        for feature, gene in zip(features, symbols, strict=True)
    ]


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
    *,
    min_size: int,
    max_size: int | None,
    max_patterns: int | None,
    max_overlap: float,
) -> list[str]:
    """Say for each pattern why it is dropped; an empty text where it is kept."""
    sizes = np.diff(membership.indptr)
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


def refuse_mismatch(wanted: Sequence[str], available: Sequence[str], found: np.ndarray, *, argument: str) -> None:
    """Raise where hardly any name meets and the reason is known; a pattern that survives by chance is no excuse."""
    n_found = int(found.sum())
    # Relative to the smaller side: ten proteins that all meet a collection of 10,000 genes are no mismatch.
    if n_found >= FEW * min(len(wanted), len(available)):
        return
    cause = mismatch(wanted, available, n_found=n_found, argument=argument)
    if cause is not None:
        msg = f"only {n_found:,} of {len(wanted):,} pattern features are among the {argument}. {cause}"
        raise ValueError(msg)


def nothing_left(
    wanted: Sequence[str],
    available: Sequence[str],
    found: np.ndarray,
    sizes: np.ndarray,
    *,
    argument: str,
    filters: dict[str, float | None],
) -> str:
    """Explain that no pattern survives: no name meets, or the filters are too strict."""
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
