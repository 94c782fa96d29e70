"""Under which names the features of a data set are looked up in the patterns: their own, or those of their genes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from plkd._arguments import names_of
from plkd.patterns._identifiers import letter_case
from plkd.patterns._proteins import protein_genes

logger = logging.getLogger("plkd")


@dataclass(frozen=True)
class Lookup:
    """Names to look up, several per feature or none.

    Attributes
    ----------
    rows
        Number of the feature that each name belongs to.
    names
        The names.
    argument
        What the names are, in the caller's words, for messages.
    """

    rows: np.ndarray
    names: list[str]
    argument: str


def look_up(
    features: Sequence[str], wanted: Sequence[str], *, kind: str, genes: Iterable[Any] | Mapping[str, Any] | None
) -> Lookup:
    """Say under which names each feature is looked up among the patterns' features.

    Parameters
    ----------
    features
        Names of the data's features.
    wanted
        Names of the patterns' features; their letter case tells mouse from human genes of proteins.
    kind
        Kind of the features.
    genes
        Per feature a gene, several genes or None, in order or by name; a feature without an entry is looked up under its own
        name, one with an empty list not at all. None: proteins under their own names and those of their genes, others under
        their own.
    """
    if genes is None:
        if kind != "protein":
            return Lookup(np.arange(len(features)), list(features), "feature names")
        return _flat([[name, *found] for name, found in zip(features, _of_proteins(features, wanted), strict=True)])
    if isinstance(genes, Mapping):
        if not any(feature in genes for feature in features):
            msg = (
                f"genes has no entry for any of the {len(features)} features ({', '.join(features[:3])}); its keys are "
                f"{', '.join(map(repr, list(genes)[:3]))}. Pass {{feature: genes}} with the data's feature names."
            )
            raise ValueError(msg)
        return _flat([_names_of(genes.get(feature), feature) for feature in features])
    given = names_of("genes", genes, 'adata.var["gene_symbols"]')
    if len(given) != len(features):
        msg = f"genes holds {len(given)} entries for {len(features)} features; pass one per feature, in order."
        raise ValueError(msg)
    return _flat([_names_of(entry, feature) for entry, feature in zip(given, features, strict=True)])


def selection_of(lookup: Lookup, wanted: Sequence[str], n_features: int) -> sparse.csr_matrix:
    """Return a matrix of shape ``(n_features, len(wanted))`` with a 1 where a name of a feature is the wanted one."""
    columns = pd.Index(wanted, dtype=object).get_indexer(pd.Index(lookup.names, dtype=object))
    hits = np.flatnonzero(columns >= 0)
    ones = np.ones(hits.size, dtype=np.float32)
    selection = sparse.csr_matrix((ones, (lookup.rows[hits], columns[hits])), shape=(n_features, len(wanted)))
    selection.data[:] = 1  # a name given twice is the same name
    return selection


def mean_membership(selection: sparse.csr_matrix, membership: sparse.csc_matrix) -> sparse.csc_matrix:
    """Carry weights over to the data's features; one with several genes in a pattern gets their mean weight."""
    carried = selection @ membership
    if selection.nnz and np.diff(selection.indptr).max() > 1:
        binary = membership.copy()
        binary.data = np.ones_like(binary.data)
        share = selection @ binary
        share.data = 1 / share.data
        carried = carried.multiply(share)
    carried = sparse.csc_matrix(carried, dtype=np.float32)
    carried.eliminate_zeros()
    return carried


def _of_proteins(features: Sequence[str], wanted: Sequence[str]) -> list[list[str]]:
    found = protein_genes(features, mouse=letter_case(wanted) == "title")
    without = [feature for feature, genes in zip(features, found, strict=True) if not genes]
    text = f"; without one: {', '.join(without[:5])}{' ...' if len(without) > 5 else ''}" if without else ""
    logger.info("proteins: %d of %d are looked up by their genes%s", len(features) - len(without), len(features), text)
    return found


def _names_of(entry: Any, feature: str) -> list[str]:
    if isinstance(entry, Iterable) and not isinstance(entry, str):
        names = [str(name).strip() for name in entry if not pd.isna(name)]
        return [name for name in names if name]
    return [feature] if pd.isna(entry) or not str(entry).strip() else [str(entry).strip()]


def _flat(per_feature: Sequence[Sequence[str]]) -> Lookup:
    rows = np.repeat(np.arange(len(per_feature)), [len(names) for names in per_feature])
    return Lookup(rows, [name for names in per_feature for name in names], "genes")
