"""Which table of a data set is which modality of a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.align import ALIKE, FLOOR, holds_panel, likeness, slip
from plkd.data._spec import ModalitySpec, Table, find_table, layer_table, modality_table
from plkd.patterns import looks_like_peaks

logger = logging.getLogger("plkd")


def find_tables(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> dict[str, Table]:
    """Return the data set's tables by kind: under the reference's names or, failing that, by their features.

    Raises
    ------
    ValueError
        If none holds features of the model, or several hold those of one modality.
    """
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
    slipped: dict[str, str | None] = {}
    for name in names:
        part = _part(data, name)
        scores = {spec.kind: likeness(spec.features, part.var_names, kind=spec.kind, var=part.var) for spec in specs}
        kind = max(scores, key=lambda kind: scores[kind][1])
        if min(scores[kind][0] / FLOOR, scores[kind][1] / ALIKE) < 1 and (other := _slipped(part, specs)):
            # Genes of another species, or turned into cells, may still look like a few proteins.
            slipped.setdefault(other, name)
        else:
            alike[kind].append((scores[kind][0], name))
    held = {
        kind: [name for share, name in tables if share >= FLOOR] for kind, tables in alike.items() if kind not in found
    }
    for kind in slipped.keys() & held.keys():
        # To be refused with the reason, rather than left out in silence.
        held[kind] = held[kind] or [slipped[kind]]
    for spec in specs:
        # Only where no other table holds the genes: antibodies may be named as these are.
        if spec.kind in held and not held[spec.kind]:
            parts = [(name, _part(data, name)) for _, name in alike[spec.kind]]
            held[spec.kind] = [
                name for name, own in parts if holds_panel(spec.features, own.var_names, kind=spec.kind, var=own.var)
            ]
    intervals = [name for name in names if looks_like_peaks(_part(data, name).var_names)]
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
            # Proteins may have a column with their genes; what has these for its names is the RNA.
            named = [name for name in own if _part(data, name).var_names.isin(spec.features).any()]
            own = named if len(named) == 1 else own
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


def _slipped(part: AnnData, specs: Sequence[ModalitySpec]) -> str | None:
    """Return the kind of features that a table has under names that do not fit for a reason that can be told."""
    for spec in specs:
        if slip(spec.features, part.var_names, kind=spec.kind, var=part.var, cells=part.obs_names):
            return spec.kind
    return None


def _nothing(data: AnnData | MuData, specs: Sequence[ModalitySpec]) -> str:
    found = f"modalities {list(data.mod)}" if isinstance(data, MuData) else f"features {_examples(data.var_names)}"
    wanted = "; ".join(f"{spec.called}: {_examples(pd.Index(spec.features))}" for spec in specs)
    return (
        f"The query holds none of the model's modalities ({', '.join(spec.called for spec in specs)}); found {found}. Fix: "
        f"name its modalities as the reference's, or pass features of the same names ({wanted})."
    )


def _read(data: Any, name: str | None, layer: str | None) -> Table:
    return layer_table(data, layer) if name is None else modality_table(data, name, layer)


def _part(data: Any, name: str | None) -> AnnData:
    return data if name is None else data.mod[name]


def _examples(names: pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names[:3])
