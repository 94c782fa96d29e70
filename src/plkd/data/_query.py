"""A query as cells of a model: aligned, checked, never changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from mudata import MuData

from plkd.align import COMFORT, Alignment, align_features
from plkd.data._cells import Cells, Modality
from plkd.data._contents import say_empty_cells
from plkd.data._modalities import find_tables
from plkd.data._rows import Rows
from plkd.data._scale import detect_scale
from plkd.data._spec import ModalitySpec, Table
from plkd.data._unmet import say_unmet

logger = logging.getLogger("plkd")

_IN_WORDS = {"counts": "counts", "log": "log-normalised values"}


@dataclass(frozen=True)
class Aligned:
    """A modality of a data set, and where the model's features stand in it."""

    table: Table
    alignment: Alignment


def open_query(
    data: AnnData | MuData, specs: Sequence[ModalitySpec], *, called: str = "Query", told: bool = False
) -> Cells:
    """Open a data set for a model: features aligned by name, scale recognised, one line said of each modality.

    Parameters
    ----------
    data
        In memory, a view or backed; neither changed nor copied whole. Needs no labels and no batches, and not all of the
        model's modalities.
    specs
        The model's modalities.
    called
        What the line of the log calls the data set.
    told
        Whether it was said before which cells are doubtful: at setup, or by another process.

    Raises
    ------
    TypeError
        If ``data`` is neither AnnData nor MuData.
    KeyError
        If a layer is not there.
    ValueError
        If there is no modality of the model, too few features are found, values are negative or not finite, or a cell
        was measured in no modality of the model.
    """
    aligned = align_query(data, specs)
    modalities = {}
    for spec in specs:
        found = aligned.get(spec.kind)
        if found is None:
            modalities[spec.kind] = Modality.absent(len(spec.features), data.n_obs)
        else:
            modalities[spec.kind] = _modality(
                found, spec, called if len(specs) == 1 else f"{called}, {spec.called}", told=told
            )
    cells = Cells(modalities, data.n_obs)
    lost = np.flatnonzero(~cells.measured().any(axis=1))
    if len(lost):
        names = [found.table.name for found in aligned.values()]
        raise ValueError(
            f"{len(lost)} of {data.n_obs} cells were measured in none of the model's modalities "
            f"({', '.join(spec.called for spec in specs)}), e.g. {list(data.obs_names[lost[:3]])}. Fix: leave them out, "
            f"`mdata[np.any([mdata.obs_names.isin(mdata[m].obs_names) for m in {names}], axis=0)]`."
        )
    if not told:
        say_unmet({found.table.name: found.table.cells for found in aligned.values() if found.table.name is not None})
    return cells


def align_query(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> dict[str, Aligned]:
    """Return the data set's modalities by kind, aligned; the values are not looked at.

    Parameters
    ----------
    data, specs
        As in :func:`open_query`.

    Raises
    ------
    TypeError, KeyError, ValueError
        As in :func:`open_query`, for names and layers.
    """
    if not isinstance(data, AnnData | MuData):
        raise TypeError(f"The query is a {type(data).__name__}; expected an AnnData or a MuData.")
    tables = find_tables(data, specs)
    return {
        spec.kind: Aligned(tables[spec.kind], align_table(tables[spec.kind], spec, alone=len(specs) == 1))
        for spec in specs
        if spec.kind in tables
    }


def align_table(table: Table, spec: ModalitySpec, *, alone: bool = True) -> Alignment:
    """Align one table to a modality, the model's only one or one of several.

    Raises
    ------
    ValueError
        If too few features are found, or names that the model uses repeat.
    """
    called = "the query" if alone else table.where
    try:
        return align_features(
            spec.features, table.features, kind=spec.kind, var=table.var, cells=table.cells, called=called
        )
    except ValueError as error:
        if alone:
            raise
        raise ValueError(f"{error} Or leave this modality out: the model annotates from the others.") from None


def _modality(found: Aligned, spec: ModalitySpec, called: str, *, told: bool) -> Modality:
    """Check the values of one modality, and say what was found of it."""
    table, alignment = found.table, found.alignment
    rows = Rows(table.matrix, alignment.columns)
    looked_at = Rows(rows.matrix) if rows.in_memory else rows
    scale = detect_scale(looked_at, table.where, kind=spec.kind, other_layers=table.layers)
    if not told:
        say_empty_cells(looked_at, table.where)
    # Names from elsewhere than var_names are said where only warnings are shown too.
    is_plain = alignment.fraction >= COMFORT and alignment.names == "var_names"
    n_cells = rows.n_obs if table.position is None else int((table.position >= 0).sum())
    (logger.info if is_plain else logger.warning)("%s: %d cells, %s", called, n_cells, alignment)
    if scale != spec.scale:
        logger.warning(
            "The query holds %s, the reference held %s; labels may suffer. Fix: pass both on the same scale.",
            _IN_WORDS[scale],
            _IN_WORDS[spec.scale],
        )
    present = None if alignment.present.all() else alignment.present
    return Modality(rows, scale, present, table.where, table.position)
