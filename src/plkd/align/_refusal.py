"""Why so few features of a model were found, and how to mend it."""

from __future__ import annotations

import pandas as pd

from plkd.align._constants import ALIKE, FLOOR
from plkd.align._match import match_names, text_columns
from plkd.align._names import by_name, ensembl_prefix, examples, folded, n_shared

_ORTHOLOGUES = (
    "Fix: use a reference of the same species, or give an exported model the names of the query's species: "
    "`annotator.rename_features(orthologues)`, a dict from the model's genes to theirs."
)

_PANEL = (
    "; of a targeted panel, train on the genes that both have: "
    "`reference = reference[:, reference.var_names.isin(query.var_names)].copy()`."
)

_ELSE = {
    "rna": "Fix: pass data of the same species and identifiers as the reference.",
    "protein": "Fix: pass a panel that shares more proteins with the reference's, or rename them alike.",
    "atac": (
        "Fix: pass peaks of the same species and genome build as the reference (lift them over if the builds differ), "
        "named chrom:start-end; or count fragments in the reference's peaks."
    ),
}


def too_few(
    model: pd.Index,
    query: pd.Index,
    n_found: int,
    *,
    kind: str,
    var: pd.DataFrame | None,
    cells: pd.Index,
    floor: float,
    called: str,
) -> str:
    """Say how few features were found, what the names look like on both sides, and what to do."""
    found = (
        f"Only {n_found} of the model's {len(model)} features are in {called} ({n_found / max(len(model), 1):.0%}); "
        f"expected at least {floor:.0%}. Model: {examples(model)}; query: {examples(query)}. "
    )
    reason = recognised(model, query, n_found, kind=kind, var=var, cells=cells)
    if reason is None and kind == "rna" and n_found > ALIKE * len(query):
        reason = (
            "The names are alike, but the query holds few of the genes, as after choosing variable ones. Fix: pass all genes "
            "that were measured, e.g. `query = query.raw.to_adata()` where .raw holds them"
        )
        # Names that are alike only without version or case, or stand in a column, are not met by the line.
        by_plain_name = 2 * len(model.intersection(query)) > n_found
        reason += _PANEL if by_plain_name else "."
    return found + (
        reason or _ELSE.get(kind, "Fix: pass data whose features are those of the reference, under the same names.")
    )


def recognised(
    model: pd.Index, query: pd.Index, n_found: int, *, kind: str, var: pd.DataFrame | None, cells: pd.Index
) -> str | None:
    """Say why the names do not meet, and what to do; None where that cannot be recognised."""
    # Proteins and peaks as they stand: there may be millions of cells, whose names are none.
    turned = match_names(model, cells, kind).found if kind == "rna" else by_name(model, cells)[0] >= 0
    if turned.sum() > max(FLOOR * len(model), 2 * n_found):
        return "They are among its obs_names: the matrix is transposed. Fix: `adata = adata.T`, so that cells are rows."
    if kind != "rna":
        return None
    in_model, in_query = ensembl_prefix(model), ensembl_prefix(query)
    labels = [] if var is None else [label for label, _ in text_columns(var)]
    looked = f"no column of its var (looked at {labels[:10]}) has" if labels else "its var has no column with"
    if in_model and not in_query:
        return (
            f"The model uses Ensembl identifiers, the query symbols, and {looked} the identifiers. "
            'Fix: add them, one per gene, `query.var["gene_ids"] = identifiers`; they are then found.'
        )
    if in_query and not in_model:
        return (
            f"The query uses Ensembl identifiers, the model symbols, and {looked} the symbols. "
            'Fix: add them, one per gene, `query.var["gene_symbols"] = symbols`; they are then found.'
        )
    if in_model and in_query and in_model != in_query:
        return f"The identifiers are those of two species, {in_model}... and {in_query}... {_ORTHOLOGUES}"
    if n_shared(folded(model), folded(query)) > max(2 * n_found, ALIKE * min(len(model), len(query))):
        return (
            f"The names differ only by case, as human (CD3D) and mouse (Cd3d) symbols do. {_ORTHOLOGUES} If the species is "
            "the same, write the names as the model does, e.g. `query.var_names = query.var_names.str.upper()`."
        )
    return None
