"""What scvi-tools registers of a reference: its modalities, its labels, its batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data.fields import BaseAnnDataField, CategoricalObsField

from plkd.data import (
    ModalitySpec,
    Rows,
    Scale,
    Table,
    align_table,
    as_text,
    check_contents,
    detect_scale,
    find_column,
    find_table,
    ordered_categories,
)
from plkd.model._clusters import cluster_cells
from plkd.patterns import KIND, KINDS, interval_columns, looks_like_peaks

logger = logging.getLogger("plkd")

#: scvi-tools' names of the tables of each kind of features; a kind that it does not know goes by its own.
KEYS = {kind: kind for kind in KINDS} | {
    "rna": REGISTRY_KEYS.X_KEY,
    "protein": REGISTRY_KEYS.PROTEIN_EXP_KEY,
    "atac": REGISTRY_KEYS.ATAC_X_KEY,
}


class ModalityField(BaseAnnDataField):
    """A matrix as it is: any storage, counts or log-normalised, some cells or all, never rewritten.

    scvi-tools' own fields turn matrices into other storage inside the user's object, cannot read sparse arrays and want
    every cell in every modality.

    Parameters
    ----------
    spec
        Kind and place; features and scale are found when a data set is registered.
    """

    SPEC_KEY = "spec"
    COLUMN_NAMES_KEY = "column_names"

    def __init__(self, spec: ModalitySpec):
        super().__init__()
        self.spec = spec

    @property
    def registry_key(self) -> str:
        """Name in the registry."""
        return KEYS[self.spec.kind]

    @property
    def attr_name(self) -> str:
        """Attribute of the AnnData that holds the matrix."""
        return "obsm" if self.spec.obsm is not None else "X" if self.spec.layer is None else "layers"

    @property
    def attr_key(self) -> str | None:
        """Key within that attribute."""
        return self.spec.obsm if self.spec.obsm is not None else self.spec.layer

    @property
    def mod_key(self) -> str | None:
        """The user's name of the modality."""
        return self.spec.name

    @property
    def is_empty(self) -> bool:
        """Never: absent modalities have no field."""
        return False

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Accept any data set: queries may lack the modality."""

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Check the values and register names and scale."""
        table = find_table(adata, self.spec)
        if table is None:
            raise KeyError(f"The data set has no {self.spec.called}.")
        scale = self._checked(table)
        if self.spec.kind == "atac":
            _say_how_peaks_are_named(table)
        features = np.asarray(table.features, dtype=object)
        spec = replace(self.spec, features=tuple(map(str, features)), scale=scale)
        # The names stand beside the spec, where scvi-tools' own tools look for them.
        return {self.SPEC_KEY: spec.to_dict(), self.COLUMN_NAMES_KEY: features}

    def transfer_field(self, state_registry: dict[str, Any], adata_target: Any, **kwargs: Any) -> dict[str, Any]:
        """Register another data set under the reference's features and scale; it is aligned when it is read."""
        table = find_table(adata_target, self.spec)
        if table is not None:
            align_table(table, ModalitySpec.from_dict(state_registry[self.SPEC_KEY]))
            self._checked(table)
        return dict(state_registry)

    def _checked(self, table: Table) -> Scale:
        """Return the scale of values that can be used."""
        rows = Rows(table.matrix)
        kind, layers = self.spec.kind, table.layers
        scale = detect_scale(rows, table.where, kind=kind, other_layers=layers)
        check_contents(rows, table.where, kind=kind, features=table.features, other_layers=layers)
        return scale

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of features."""
        kind = self.spec.kind
        counted = "n_vars" if kind == "rna" else f"n_{KIND[kind].features}"
        return {counted: len(state_registry[self.COLUMN_NAMES_KEY])}

    def view_state_registry(self, state_registry: dict[str, Any]) -> None:
        """Show nothing beyond the summary."""


def _say_how_peaks_are_named(table: Table) -> None:
    if looks_like_peaks(table.features):
        return
    found = None if table.var is None else interval_columns(table.var)
    fix = ""
    if found is not None:
        columns, names = found
        fix = f" var[{columns}] tells them."
        if names.notna().all() and names.is_unique:
            whose = f"mdata[{table.name!r}]"
            chrom, *bounds = (f"{whose}.var[{column!r}]" for column in columns)
            line = f"{chrom}.astype(str).to_numpy()"
            if bounds:
                line = f"[f'{{c}}:{{int(float(s))}}-{{int(float(e))}}' for c, s, e in zip({chrom}, {bounds[0]}, {bounds[1]})]"
            fix += f" Fix: `{whose}.var_names = {line}`, `mdata.update()`, before setup."
    logger.warning(
        "Peaks of %s are not named by their intervals (%r): queries are matched by these names alone, and other peaks of the same "
        "names taken for these.%s",
        table.where,
        str(table.features[0]),
        fix,
    )


class CodesField(CategoricalObsField):
    """A column of ``obs`` as codes: values as text, unused categories left out, missing values as told.

    Parameters
    ----------
    registry_key
        Name in the registry; codes go to ``obs["_scvi_<registry_key>"]``.
    obs_key
        Column of ``obs``, of the whole or of the modalities; None gives every cell the same code.
    missing
        Category of missing, empty and (in transferred data, unless they are to extend the categories) unknown values, always
        the last one. None: values of transferred data that are new are added at the end.
    """

    MISSING_KEY = "unlabeled_category"

    def __init__(self, registry_key: str, obs_key: str | None, missing: str | None = None):
        super().__init__(registry_key, obs_key)
        self.missing = missing

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Register the reference."""
        values = self._values(adata)
        mapping = np.array([v for v in ordered_categories(self._column(adata)) if v != self.missing], dtype=object)
        return self._write(adata, values, mapping)

    def transfer_field(self, state_registry: dict[str, Any], adata_target: Any, **kwargs: Any) -> dict[str, Any]:
        """Give another data set the reference's codes; its column may be absent."""
        mapping = np.array([v for v in state_registry[self.CATEGORICAL_MAPPING_KEY] if v != self.missing], dtype=object)
        values = self._values(adata_target)
        new = [v for v in pd.unique(values) if v not in set(mapping) and v != self.missing]
        if self.missing is not None and kwargs.get("extend_categories"):
            # Behind the old ones, whose codes are those of trained weights.
            order = [v for v in ordered_categories(self._column(adata_target)) if v in set(new)]
            mapping = np.concatenate([mapping, np.array(order, dtype=object)])
        elif self.missing is None:
            mapping = np.concatenate([mapping, np.array(new, dtype=object)])
        elif new:
            logger.warning("%d values of obs[%r] are new and count as unlabelled: %s", len(new), self._key, new[:5])
            values = np.where(np.isin(values, new), self.missing, values)
        return self._write(adata_target, values, mapping)

    def validate_field(self, adata: AnnData | MuData) -> None:
        """Accept a data set without the column: queries need none."""

    @property
    def _key(self) -> str:
        return self._original_attr_key

    def _column(self, adata: AnnData | MuData) -> pd.Series:
        column = None if self.is_default else find_column(adata, self._key)
        if column is None:
            return pd.Series([self.missing or "all"] * adata.n_obs, index=adata.obs_names, dtype=object)
        return column

    def _values(self, adata: AnnData | MuData) -> np.ndarray:
        values = as_text(self._column(adata))
        return np.where(values == "", self.missing or "", values)

    def _write(self, adata: AnnData | MuData, values: np.ndarray, mapping: np.ndarray) -> dict[str, Any]:
        if self.missing is not None:
            mapping = np.append(mapping, self.missing)
        code = {value: i for i, value in enumerate(mapping)}
        adata.obs[self.attr_key] = np.array([code[value] for value in values], dtype=np.int64)
        registered = {self.CATEGORICAL_MAPPING_KEY: mapping, self.ORIGINAL_ATTR_KEY: self._key}
        return registered if self.missing is None else {**registered, self.MISSING_KEY: self.missing}


class ClusterField(CodesField):
    """Clusters of the reference in place of labels (:func:`plkd.model._clusters.cluster_cells`).

    Parameters
    ----------
    registry_key
        As in :class:`CodesField`.
    specs
        The reference's modalities.
    batch_key
        Its batches, or None.
    missing
        Category of cells that are in no cluster, and of all cells of other data.
    """

    CELLS_KEY = "cells"
    VALUES_KEY = "clusters"

    def __init__(self, registry_key: str, specs: Sequence[ModalitySpec], batch_key: str | None, missing: str):
        super().__init__(registry_key, None, missing)
        self.specs, self.batch_key = specs, batch_key

    def register_field(self, adata: AnnData | MuData) -> dict[str, Any]:
        """Cluster the reference."""
        found = [(spec, find_table(adata, spec)) for spec in self.specs]
        tables = [(replace(spec, features=tuple(map(str, table.features))), table) for spec, table in found if table]
        column = None if self.batch_key is None else find_column(adata, self.batch_key)
        batch = np.zeros(adata.n_obs, dtype=int) if column is None else pd.factorize(as_text(column))[0]
        codes = cluster_cells(_with_scale(tables), adata.n_obs, batch)
        names = [f"cluster_{i + 1:02d}" for i in range(codes.max() + 1)]
        for spec, table in tables:
            inside = codes >= 0 if table.position is None else (codes >= 0) & (table.position >= 0)
            if not inside.any():
                logger.warning("No cell with %s is in a cluster: that modality will not be learned", spec.called)
        values = np.array([*names, self.missing], dtype=object)[codes]
        state = self._write(adata, values, np.array(names, dtype=object))
        return {**state, self.CELLS_KEY: np.asarray(adata.obs_names, dtype=object), self.VALUES_KEY: values}

    def transfer_field(self, state_registry: dict[str, Any], adata_target: Any, **kwargs: Any) -> dict[str, Any]:
        """Give cells of the same names the clusters they had; all others none."""
        known = dict(zip(state_registry[self.CELLS_KEY], state_registry[self.VALUES_KEY], strict=True))
        values = np.array([known.get(name, self.missing) for name in adata_target.obs_names], dtype=object)
        mapping = [value for value in state_registry[self.CATEGORICAL_MAPPING_KEY] if value != self.missing]
        kept = {key: state_registry[key] for key in (self.CELLS_KEY, self.VALUES_KEY)}
        return {**self._write(adata_target, values, np.array(mapping, dtype=object)), **kept}


def _with_scale(tables: Sequence[tuple[ModalitySpec, Table]]) -> list[tuple[ModalitySpec, Table]]:
    return [
        (replace(spec, scale=detect_scale(Rows(table.matrix), table.where, kind=spec.kind)), table)
        for spec, table in tables
    ]
