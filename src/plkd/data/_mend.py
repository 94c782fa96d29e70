"""The lines that mend a matrix, wherever it lies: a layer, a modality of a MuData, or ``obsm``."""

from __future__ import annotations

import re


def owner(where: str) -> str:
    """Return what a place belongs to: ``"adata"``, or a modality such as ``"mdata['rna']"``."""
    found = re.match(r"mdata\[(['\"]).*?\1\]", where)
    return found[0] if found else "adata"


def taking_counts(where: str, kind: str) -> str:
    """Say how to name the matrix of counts in place of another: at setup, and in a query.

    Examples
    --------
    >>> taking_counts("mdata['prot'].X", "protein")
    "name the layer with the counts at setup, `protein_layer=`, or in a query `mdata['prot'].X = mdata['prot'].layers[...]`"
    """
    whose = owner(where)
    if ".obsm[" in where:
        return (
            f"name the entry with the counts at setup, `protein_expression_obsm_key=`, or in a query `{where} = counts`"
        )
    in_query = f"in a query `{where} = {whose}.layers[...]`"
    if whose == "adata" and kind != "rna":
        return in_query  # of an AnnData as reference the layer is of RNA
    argument = "layer" if whose == "adata" else f"{kind}_layer"
    return f"name the layer with the counts at setup, `{argument}=`, or {in_query}"


def leaving_out(where: str) -> str:
    """Say how to leave out cells, or features, with values that are not finite.

    Examples
    --------
    >>> leaving_out("adata.X")
    'leave their cells out, `adata = adata[np.isfinite(np.asarray(adata.X.sum(axis=1)).ravel())].copy()`, or likewise (axis=0) their features'
    """
    whose = owner(where)
    if ".obsm[" in where:
        kept = f"np.isfinite(np.asarray({where}, dtype=float)).all(axis=1)"
        return (
            f"leave their cells out, `adata = adata[{kept}].copy()`. In a MuData cells need not have proteins: "
            "`PLKD.setup_mudata`"
        )
    kept = f"np.isfinite(np.asarray({where}.sum(axis=1)).ravel())"
    if whose == "adata":
        return f"leave their cells out, `adata = adata[{kept}].copy()`, or likewise (axis=0) their features"
    modality = whose.removeprefix("mdata")
    return (
        f"leave cells that were not measured out of the modality, `mdata.mod{modality} = {whose}[{kept}].copy()`, "
        "`mdata.update()`; others too, or likewise (axis=0) their features"
    )
