"""Find the matrix that a layer name means."""

from __future__ import annotations

from typing import Any

from anndata import AnnData


def get_matrix(adata: AnnData, layer: str | None, *, called: str = "adata") -> tuple[Any, str]:
    """Return the matrix of a layer, or ``X``, and its place in words for messages.

    Parameters
    ----------
    adata
        In memory, a view, or backed.
    layer
        Name in ``adata.layers``; None means ``adata.X``.
    called
        What messages call ``adata``.

    Raises
    ------
    KeyError
        If the layer does not exist; the message lists those that do.
    ValueError
        If ``X`` is wanted and there is none.
    """
    if layer is None:
        if adata.X is None:
            raise ValueError(f"{called}.X is None; expected counts. Layers there are: {layer_names(adata)}. {_HINT}")
        return adata.X, f"{called}.X"
    if layer not in adata.layers:
        there = layer_names(adata)
        other = f'name one of these, e.g. `layer="{there[0]}"`, or ' if there else ""
        raise KeyError(
            f"layer={layer!r} is not in {called}.layers; found {there}. Fix: {other}"
            f"`{called}.layers[{layer!r}] = {called}.X.copy()` where X holds raw counts."
        )
    return adata.layers[layer], f"{called}.layers[{layer!r}]"


_HINT = 'Fix: `adata.layers["counts"] = adata.X.copy()` before normalising, and `layer="counts"` at setup.'


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers; anndata 0.13 keeps X among them under None, which is left out."""
    return [str(name) for name in adata.layers.keys() if name is not None]
