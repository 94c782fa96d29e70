"""Where the modalities of a model lie in a data set."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.data._matrix import check_matrix, get_matrix
from plkd.data._scale import Scale

logger = logging.getLogger("plkd")


@dataclass(frozen=True)
class ModalitySpec:
    """One modality of a model, as the reference was registered.

    Attributes
    ----------
    kind
        ``"rna"``, ``"protein"`` or ``"atac"``.
    features
        Feature names, in the model's order.
    scale
        Scale of the reference, ``"counts"`` or ``"log"``.
    name
        The user's name of the modality in a MuData; None for a reference in an AnnData.
    layer
        Layer that holds the values; None is ``X``.
    obsm
        Key of ``obsm`` that holds the values (proteins of an AnnData); None: a layer or ``X``.
    obsm_names
        Key of ``uns`` with the names of its columns where it is an array; None: it is a DataFrame.
    """

    kind: str
    features: tuple[str, ...]
    scale: Scale = "counts"
    name: str | None = None
    layer: str | None = None
    obsm: str | None = None
    obsm_names: str | None = None

    @property
    def called(self) -> str:
        """What the user calls the modality."""
        return self.name or self.obsm or self.kind

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and text, JSON-able."""
        return {**asdict(self), "features": list(self.features)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModalitySpec:
        """Read the result of :meth:`to_dict`."""
        return cls(**{**values, "features": tuple(values["features"])})


@dataclass(frozen=True)
class Table:
    """One modality of a data set: its matrix, its names, and where it was found.

    Attributes
    ----------
    matrix
        Cells x features, of any kind that :class:`~plkd.data.Rows` reads.
    features
        Names of the columns.
    where
        Place in words, for messages.
    layers
        Names of the layers beside it, for messages.
    position
        For each cell of the data set its row in ``matrix``, ``-1`` where it was not measured; None: row by row.
    name
        Name of the modality in a MuData; None in an AnnData.
    var
        Table of the columns, in which other names of them may stand; None: there is none.
    cells
        Names of the rows.
    """

    matrix: Any
    features: pd.Index
    where: str
    layers: tuple[str, ...] = ()
    position: np.ndarray | None = None
    name: str | None = None
    var: pd.DataFrame | None = None
    cells: pd.Index = field(default_factory=lambda: pd.Index([]))


def find_table(data: AnnData | MuData, spec: ModalitySpec) -> Table | None:
    """Return the table that a spec names, or None where the data set has no such modality.

    Raises
    ------
    KeyError
        If the modality is there and its layer is not.
    ValueError
        If its ``X`` is wanted and there is none, cell names repeat within a modality, or columns of ``obsm`` cannot be
        named or hold no numbers.
    """
    if isinstance(data, MuData):
        if spec.name is None or spec.name not in data.mod:
            return None
        return modality_table(data, spec.name, spec.layer)
    if spec.obsm is not None:
        return obsm_table(data, spec.obsm, spec.obsm_names, spec.features) if spec.obsm in data.obsm else None
    return layer_table(data, spec.layer)


def layer_table(adata: AnnData, layer: str | None, *, called: str = "adata") -> Table:
    """Return ``X`` or a layer of an AnnData."""
    matrix, where = get_matrix(adata, layer, called=called)
    layers = tuple(str(name) for name in adata.layers.keys() if name is not None)
    return Table(matrix, text_names(adata.var_names), where, layers, var=in_memory(adata.var), cells=adata.obs_names)


def in_memory(frame: Any) -> pd.DataFrame:
    """Return a table of ``obs`` or ``var``, read where anndata left it on the disk."""
    return frame if isinstance(frame, pd.DataFrame) else frame.to_memory()


def text_names(names: pd.Index) -> pd.Index:
    """Return names as text; those that are numbers, bytes or missing as Python writes them."""
    if all(isinstance(name, str) for name in names):
        return names
    return pd.Index(
        [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names], dtype=object
    )


def modality_table(mdata: MuData, name: str, layer: str | None) -> Table:
    """Return a modality of a MuData, its rows matched by name to the cells of the whole."""
    adata = mdata.mod[name]
    table = replace(layer_table(adata, layer, called=f"mdata[{name!r}]"), name=name)
    if adata.obs_names.equals(mdata.obs_names):
        return table
    for names, where in ((adata.obs_names, f"mdata[{name!r}]"), (mdata.obs_names, "mdata")):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise ValueError(
                f"Cell names repeat in {where}, e.g. {twice!r}, so the modalities cannot be matched. "
                f"Fix: `mdata[{name!r}].obs_names_make_unique(); mdata.update()`."
            )
    position = adata.obs_names.get_indexer(mdata.obs_names).astype(np.int64)
    return replace(table, position=position)


def obsm_table(adata: AnnData, key: str, names_key: str | None = None, reference_names: tuple[str, ...] = ()) -> Table:
    """Return an entry of ``obsm``.

    The columns of an array are named by ``uns[names_key]``; failing that, if there are as many, by ``reference_names``,
    which is said.

    Raises
    ------
    KeyError
        If there is no such key.
    ValueError
        If columns cannot be named, or hold no numbers.
    """
    if key not in adata.obsm:
        raise KeyError(
            f"protein_expression_obsm_key={key!r} is not in adata.obsm; found {list(adata.obsm.keys())}. "
            "Fix: name one of these."
        )
    matrix = adata.obsm[key]
    if isinstance(matrix, pd.DataFrame):
        if text := [str(name) for name, dtype in matrix.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]:
            raise ValueError(
                f"adata.obsm[{key!r}] has columns that hold no numbers: {text[:5]}; expected counts. Fix: "
                f"`adata.obsm[{key!r}] = adata.obsm[{key!r}].drop(columns={text[:5]})`."
            )
        return Table(matrix, pd.Index(matrix.columns.astype(str)), f"adata.obsm[{key!r}]")
    check_matrix(matrix, f"adata.obsm[{key!r}]")
    if names_key is not None and names_key in adata.uns:
        given = adata.uns[names_key]
        names = tuple(str(name) for name in given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
        if len(names) != matrix.shape[1]:
            raise ValueError(
                f"adata.uns[{names_key!r}] names {len(names)} proteins, adata.obsm[{key!r}] has {matrix.shape[1]} columns; "
                f"expected a name for each. Fix: `adata.uns[{names_key!r}] = protein_names`, in the order of the columns."
            )
        return Table(matrix, pd.Index(names), f"adata.obsm[{key!r}]")
    if len(reference_names) != matrix.shape[1]:
        raise ValueError(
            f"adata.obsm[{key!r}] is an array of {matrix.shape[1]} columns without names; expected a DataFrame. Fix: "
            f"`adata.obsm[{key!r}] = pd.DataFrame(adata.obsm[{key!r}], adata.obs_names, columns=protein_names)`, or "
            "pass protein_names_uns_key at setup."
        )
    logger.warning("The columns of adata.obsm[%r] have no names: taken in the order of the reference's proteins", key)
    return Table(matrix, pd.Index(reference_names), f"adata.obsm[{key!r}]")
