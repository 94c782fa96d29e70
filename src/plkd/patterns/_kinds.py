"""The kinds of features that patterns are made of."""

from __future__ import annotations

KINDS = ("rna", "protein", "atac")
# Panels hold tens of proteins where data hold thousands of genes or peaks.
MIN_SIZES = {"rna": 5, "protein": 2, "atac": 5}
"""Fewest features of a pattern where nothing else is said."""


def check_kind(kind: str) -> str:
    """Return the kind; refuse one that does not exist."""
    if not isinstance(kind, str) or kind not in KINDS:
        msg = f"kind={kind!r} is not a kind of features; pass one of {', '.join(map(repr, KINDS))}."
        raise ValueError(msg)
    return kind
