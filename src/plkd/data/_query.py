"""A query as cells of a model: aligned, checked, never changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.align import COMFORT, FLOOR, Alignment, align_features, likeness
from plkd.data._cells import Cells, Modality
from plkd.data._rows import Rows
from plkd.data._scale import detect_scale
from plkd.data._spec import ModalitySpec, Table, find_table, layer_table, modality_table
from plkd.patterns import looks_like_peaks

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
            modalities[spec.kind] = _modality(table, spec, called, alone=len(specs) == 1)
    cells = Cells(modalities, data.n_obs)
    lost = np.flatnonzero(~cells.measured().any(axis=1))
    if len(lost):
        names = [table.name for table in tables.values()]
        raise ValueError(
            f"{len(lost)} of {data.n_obs} cells were measured in none of the model's modalities "
            f"({_names(specs)}), e.g. {list(data.obs_names[lost[:3]])}. Fix: leave them out, "
            f"`mdata[np.any([mdata.obs_names.isin(mdata[m].obs_names) for m in {names}], axis=0)]`."
        )
    return cells


def _modality(table: Table, spec: ModalitySpec, called: str, *, alone: bool) -> Modality:
    """Align and check one modality, the model's only one or one of several."""
    if alone:
        alignment = align_features(spec.features, table.features, kind=spec.kind)
    else:
        called = f"{called}, {spec.called}"
        alignment = _aligned(table, spec)
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


def _aligned(table: Table, spec: ModalitySpec) -> Alignment:
    try:
        return align_features(spec.features, table.features, kind=spec.kind, called=table.where)
    except ValueError as error:
        raise ValueError(f"{error} Or leave this modality out: the model annotates from the others.") from None


def _tables(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> dict[str, Table]:
    """Return the data set's tables by kind: under the reference's names or, failing that, by their features."""
    tables = {}
    if _same_form(data, specs):
        tables = {spec.kind: table for spec in specs if (table := find_table(data, spec)) is not None}
    taken = [table.name for table in tables.values()]
    free = [name for name in (data.mod if isinstance(data, MuData) else [None]) if name not in taken]
    if free and len(tables) < len(specs):
        tables |= _by_features(data, specs, free, tables)
    missing = [spec.called for spec in specs if spec.kind not in tables]
    if missing and tables:
        logger.info("The query has no %s: annotated by the rest", " and no ".join(missing))
    return tables


def _same_form(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> bool:
    """Whether a data set is laid out as the reference was."""
    if isinstance(data, MuData):
        return specs[0].name is not None
    in_obsm = [spec.obsm for spec in specs if spec.obsm is not None]
    return specs[0].name is None and (not in_obsm or any(key in data.obsm for key in in_obsm))


def _by_features(
    data: AnnData | MuData, specs: Sequence[ModalitySpec], names: Sequence[str | None], found: Mapping[str, Table]
) -> dict[str, Table]:
    """Find the modality of the model that each of some tables holds, beside those found by name."""
    alike: dict[str, list[tuple[float, str | None]]] = {spec.kind: [] for spec in specs}
    for name in names:
        scores = {spec.kind: likeness(spec.features, _features(data, name), kind=spec.kind) for spec in specs}
        best = max(specs, key=lambda spec: scores[spec.kind][1])
        alike[best.kind].append((scores[best.kind][0], name))
    held = {
        kind: [name for share, name in tables if share >= FLOOR] for kind, tables in alike.items() if kind not in found
    }
    intervals = [name for name in names if looks_like_peaks(_features(data, name))]
    if "atac" in alike and "atac" not in found and not held["atac"] and len(intervals) == 1:
        # Intervals elsewhere on the genome: another build, more likely than another kind of features. To be refused as such.
        held["atac"] = intervals
    if not found and not any(held.values()):
        # Nothing fits; what comes nearest says best what is wrong with it.
        share, kind, name = max(
            ((share, kind, name) for kind, tables in alike.items() for share, name in tables), key=lambda one: one[0]
        )
        if share == 0 and len(specs) + len(names) > 2:
            raise ValueError(_nothing(data, specs))
        held[kind] = [name]
    chosen: dict[str, Table] = {}
    for spec in specs:
        own = held.get(spec.kind, [])
        if len(own) > 1:
            raise ValueError(
                f"Several modalities of the query hold the model's {spec.called} features: {own}; expected one. Fix: "
                f"leave the others out, e.g. pass `mdata[{own[0]!r}]` alone."
            )
        for name in own:
            chosen[spec.kind] = _read(data, name, spec.layer)
            if len(specs) > 1 or name is not None:
                taken = "The query" if name is None else f"mdata[{name!r}]"
                logger.info("%s is taken as the model's %s", taken, spec.called)
    return chosen


def _nothing(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> str:
    found = f"modalities {list(data.mod)}" if isinstance(data, MuData) else f"features {_examples(data.var_names)}"
    wanted = "; ".join(f"{spec.called}: {_examples(pd.Index(spec.features))}" for spec in specs)
    return (
        f"The query holds none of the model's modalities ({_names(specs)}); found {found}. Fix: name its modalities as the "
        f"reference's, or pass features of the same names ({wanted})."
    )


def _read(data: Any, name: str | None, layer: str | None) -> Table:
    return layer_table(data, layer) if name is None else modality_table(data, name, layer)


def _features(data: Any, name: str | None) -> pd.Index:
    return data.var_names if name is None else data.mod[name].var_names


def _names(specs: Sequence[ModalitySpec]) -> str:
    return ", ".join(spec.called for spec in specs)


def _examples(names: pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names[:3])
