"""A query as cells of a model: aligned, checked, never changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.align import COMFORT, align_features, share_found
from plkd.data._cells import Cells, Modality
from plkd.data._rows import Rows
from plkd.data._scale import detect_scale
from plkd.data._spec import ModalitySpec, Table, find_table, layer_table, modality_table

logger = logging.getLogger("plkd")

_IN_WORDS = {"counts": "counts", "log": "log-normalised values"}


def open_query(data: AnnData | MuData, specs: Sequence[ModalitySpec], *, called: str = "Query") -> Cells:
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
    if not isinstance(data, AnnData | MuData):
        raise TypeError(f"The query is a {type(data).__name__}; expected an AnnData or a MuData.")
    tables = _tables(data, specs)
    modalities = {}
    for spec in specs:
        table = tables.get(spec.kind)
        if table is None:
            modalities[spec.kind] = Modality.absent(len(spec.features), data.n_obs)
        else:
            modalities[spec.kind] = _modality(table, spec, called if len(specs) == 1 else f"{called}, {spec.called}")
    cells = Cells(modalities, data.n_obs)
    lost = np.flatnonzero(~cells.measured().any(axis=1))
    if len(lost):
        raise ValueError(
            f"{len(lost)} of {data.n_obs} cells were measured in none of the model's modalities "
            f"({_names(specs)}), e.g. {list(data.obs_names[lost[:3]])}. Fix: leave them out, e.g. "
            f"`mdata = mdata[mdata.obsm[{specs[0].called!r}]].copy()`."
        )
    return cells


def _modality(table: Table, spec: ModalitySpec, called: str) -> Modality:
    """Align and check one modality."""
    alignment = align_features(spec.features, table.features, kind=spec.kind)
    rows = Rows(table.matrix, alignment.columns)
    looked_at = Rows(rows.matrix) if rows.in_memory else rows
    scale = detect_scale(looked_at, table.where, kind=spec.kind, other_layers=table.layers)
    say = logger.warning if alignment.fraction < COMFORT else logger.info
    n_cells = rows.n_obs if table.position is None else int((table.position >= 0).sum())
    say("%s: %d cells, %s", called, n_cells, alignment)
    if scale != spec.scale:
        logger.warning(
            "The query holds %s, the reference held %s; labels may suffer. Fix: pass both on the same scale.",
            _IN_WORDS[scale],
            _IN_WORDS[spec.scale],
        )
    found = None if alignment.present.all() else alignment.present
    return Modality(rows, scale, found, table.where, table.position)


def _tables(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> dict[str, Table]:
    """Return the data set's tables by kind: under the reference's names or, failing that, by their features."""
    tables = {spec.kind: table for spec in specs if _same_form(data, spec) and (table := find_table(data, spec))}
    if not tables:
        tables = _by_features(data, specs)
    missing = [spec.called for spec in specs if spec.kind not in tables]
    if missing and tables:
        logger.info("The query has no %s: annotated by the rest", " and no ".join(missing))
    return tables


def _same_form(data: AnnData | MuData, spec: ModalitySpec) -> bool:
    return isinstance(data, MuData) == (spec.name is not None)


def _by_features(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> dict[str, Table]:
    """Find the modality of the model that each table of a data set in another form holds."""
    names = list(data.mod) if isinstance(data, MuData) else [None]
    tables: dict[str, Table] = {}
    for name in names:
        features = data.var_names if name is None else data.mod[name].var_names
        shares = {spec.kind: share_found(spec.features, features, kind=spec.kind) for spec in specs}
        best = max(specs, key=lambda spec: shares[spec.kind])
        if shares[best.kind] == 0 and len(specs) + len(names) > 2:
            continue
        if best.kind in tables:
            raise ValueError(
                f"Several modalities of the query hold the model's {best.called} features: {names}; expected one. Fix: "
                f"pass that modality alone, e.g. `mdata[{name!r}]`."
            )
        tables[best.kind] = _read(data, name, best.layer)
        if len(specs) > 1 or name is not None:
            logger.info(
                "%s is taken as the model's %s", "The query" if name is None else f"mdata[{name!r}]", best.called
            )
    if not tables:
        found = f"modalities {names}" if isinstance(data, MuData) else f"features {_examples(data.var_names)}"
        raise ValueError(
            f"The query holds none of the model's modalities ({_names(specs)}); found {found}. "
            "Fix: name its modalities as the reference's, or pass features of the same names."
        )
    return tables


def _read(data: Any, name: str | None, layer: str | None) -> Table:
    return layer_table(data, layer) if name is None else modality_table(data, name, layer)


def _names(specs: Sequence[ModalitySpec]) -> str:
    return ", ".join(spec.called for spec in specs)


def _examples(names: pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names[:3])
