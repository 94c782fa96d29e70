"""The lines that mend a matrix, wherever it lies: a layer, a modality of a MuData, or ``obsm``."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: A modality's name as Python writes it, which may hold quotes and brackets.
_MODALITY = re.compile(r"""mdata\[(['"])(?:\\.|(?!\1).)*\1\]""")


def owner(where: str) -> str:
    """Return what a place belongs to: ``"adata"``, or a modality such as ``"mdata['rna']"``."""
    found = _MODALITY.match(where)
    return found[0] if found else "adata"


def assigned(where: str, value: str) -> str:
    """Return the lines that put a table in the place of the owner of a matrix."""
    whose = owner(where)
    if whose == "adata":
        return f"`adata = {value}`"
    return f"`mdata.mod{whose.removeprefix('mdata')} = {value}`, `mdata.update()`"


def layers_there(names: Sequence[str]) -> str:
    """Say which layers there are; nothing where there are none."""
    return f" Layers there are: {list(names)}." if names else ""


def taking_counts(where: str, kind: str, layers: Sequence[str] = ()) -> str:
    """Say how to name the matrix of counts in place of another: at setup, and in a query.

    Examples
    --------
    >>> taking_counts("mdata['prot'].X", "protein", ["counts"])
    "name the layer with the counts at setup, `protein_layer='counts'`, or in a query `mdata['prot'].X = mdata['prot'].layers['counts']`"
    """
    whose = owner(where)
    if ".obsm[" in where:
        return (
            f"name the entry with the counts at setup, `protein_expression_obsm_key=`, or in a query `{where} = counts`"
        )
    layer = "'counts'" if "counts" in layers and not where.endswith(".layers['counts']") else "..."
    in_query = f"`{where} = {whose}.layers[{layer}]`"
    if whose == "adata" and kind != "rna":
        return f"take the counts, {in_query}"  # of an AnnData as reference the layer is of RNA
    argument = "layer" if whose == "adata" else f"{kind}_layer"
    return f"name the layer with the counts at setup, `{argument}={layer if layer != '...' else ''}`, or in a query {in_query}"


def leaving_out(where: str) -> str:
    """Say how to leave out cells with values that are not finite.

    Examples
    --------
    >>> leaving_out("adata.X")
    'in memory, leave these cells out, `adata = adata[np.isfinite(np.asarray(adata.X @ np.ones(adata.X.shape[1])))].copy()`, or their features'
    """
    # The product is not finite where one of the values is not, of arrays, sparse matrices and frames alike.
    kept = f"np.isfinite(np.asarray({where} @ np.ones({where}.shape[1])))"
    line = assigned(where, f"{owner(where)}[{kept}].copy()")
    if ".obsm[" in where:
        return (
            f"in memory, leave these cells out, {line}. In a MuData cells need not have proteins: `PLKD.setup_mudata`"
        )
    if owner(where) == "adata":
        return f"in memory, leave these cells out, {line}, or their features"
    return f"in memory, leave cells that were not measured out of the modality, {line}; others too, or their features"


def leaving_out_empty(where: str) -> str:
    """Say how to leave out cells without counts."""
    if ".obsm[" in where:
        return "in a MuData cells need not have proteins: `PLKD.setup_mudata`"
    return assigned(where, f"{owner(where)}[np.asarray({where}.sum(axis=1)).ravel() > 0].copy()")
