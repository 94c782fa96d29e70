"""The kinds of features that patterns and modalities are made of."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What there is to know of a kind of features; how its values are scaled says :mod:`plkd.nn`."""

    features: str
    """What its features are called, in the plural."""
    usual_names: tuple[str, ...]
    """Names that its modality usually has in a MuData, in lower case."""
    learned: str
    """What the names of learned patterns begin with."""
    is_panel: bool = False
    """Whether features are chosen by hand: panels hold tens of them where data hold thousands of genes or peaks."""
    is_counted: bool = True
    """Whether its values are counts; what looks normalised is refused then, but of RNA. False: its scaling takes any that are not negative."""
    learned_from: int = 5000
    """Cells that learned patterns are computed from; more change little and cost time."""

    @property
    def least(self) -> int:
        """Fewest features of a pattern where nothing else is said."""
        return 2 if self.is_panel else 5


KIND = {
    "rna": Kind("genes", ("rna", "gex", "gene expression", "gene_expression", "expression"), "module"),
    "protein": Kind(
        "proteins",
        ("protein", "prot", "adt", "antibody", "antibody capture", "proteins"),
        "protein_module",
        is_panel=True,
    ),
    "atac": Kind(
        "peaks",
        ("atac", "peaks", "accessibility", "chromatin", "chromatin accessibility"),
        "peak_module",
        learned_from=50_000,  # a peak is open in few cells
    ),
}
KINDS = tuple(KIND)


def check_kind(kind: str) -> str:
    """Return the kind; refuse one that does not exist."""
    if not isinstance(kind, str) or kind not in KINDS:
        msg = f"kind={kind!r} is not a kind of features; pass one of {', '.join(map(repr, KINDS))}."
        raise ValueError(msg)
    return kind
