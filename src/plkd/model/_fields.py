"""What scvi-tools registers of a reference: its matrix, its labels, its batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi.data.fields import CategoricalObsField, LayerField

from plkd.align import align_features
from plkd.data import Rows, detect_scale, get_matrix, layer_names

logger = logging.getLogger("plkd")


class MatrixField(LayerField):
    """A layer or ``X`` as it is: any storage, counts or log-normalised, never rewritten.

    scvi-tools' own field turns matrices into other storage inside the user's object and cannot read sparse arrays.
    """

    SCALE_KEY = "scale"

    def __init__(self, registry_key: str, layer: str | None):
        super().__init__(registry_key, layer, is_count_data=False, correct_data_format=False)

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Check the values and register names and scale."""
        matrix, where = get_matrix(adata, self.attr_key)
        scale = detect_scale(Rows(matrix), where, other_layers=layer_names(adata))
        return {**super().register_field(adata), self.SCALE_KEY: scale}

    def transfer_field(self, state_registry: dict[str, Any], adata_target: AnnData, **kwargs: Any) -> dict[str, Any]:
        """Register another data set under the reference's features and scale; it is aligned when it is read."""
        align_features(state_registry[self.COLUMN_NAMES_KEY], adata_target.var_names)
        kept = (self.COLUMN_NAMES_KEY, self.N_VARS_KEY, self.SCALE_KEY)
        return {**self.register_field(adata_target), **{key: state_registry[key] for key in kept}}


class CodesField(CategoricalObsField):
    """A column of ``obs`` as codes: values as text, unused categories left out, missing values as told.

    Parameters
    ----------
    registry_key
        Name in the registry; codes go to ``obs["_scvi_<registry_key>"]``.
    obs_key
        Column of ``obs``; None gives every cell the same code.
    missing
        Category of missing, empty and (in transferred data) unknown values, always the last one. None: values of
        transferred data that are new are added at the end.
    """

    MISSING_KEY = "unlabeled_category"

    def __init__(self, registry_key: str, obs_key: str | None, missing: str | None = None):
        super().__init__(registry_key, obs_key)
        self.missing = missing

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Register the reference."""
        values = self._values(adata)
        mapping = np.array([v for v in ordered_categories(self._column(adata)) if v != self.missing], dtype=object)
        return self._write(adata, values, mapping)

    def transfer_field(self, state_registry: dict[str, Any], adata_target: AnnData, **kwargs: Any) -> dict[str, Any]:
        """Give another data set the reference's codes; its column may be absent."""
        mapping = np.array([v for v in state_registry[self.CATEGORICAL_MAPPING_KEY] if v != self.missing], dtype=object)
        values = self._values(adata_target)
        new = [v for v in pd.unique(values) if v not in set(mapping) and v != self.missing]
        if self.missing is None:
            mapping = np.concatenate([mapping, np.array(new, dtype=object)])
        elif new:
            logger.warning("%d values of obs[%r] are new and count as unlabelled: %s", len(new), self._key, new[:5])
            values = np.where(np.isin(values, new), self.missing, values)
        return self._write(adata_target, values, mapping)

    def validate_field(self, adata: AnnData) -> None:
        """Accept a data set without the column: queries need none."""

    @property
    def _key(self) -> str:
        return self._original_attr_key

    def _column(self, adata: AnnData) -> pd.Series:
        if self.is_default or self._key not in adata.obs:
            return pd.Series([self.missing or "all"] * adata.n_obs, index=adata.obs_names, dtype=object)
        return adata.obs[self._key]

    def _values(self, adata: AnnData) -> np.ndarray:
        values = as_text(self._column(adata))
        return np.where(values == "", self.missing or "", values)

    def _write(self, adata: AnnData, values: np.ndarray, mapping: np.ndarray) -> dict[str, Any]:
        if self.missing is not None:
            mapping = np.append(mapping, self.missing)
        code = {value: i for i, value in enumerate(mapping)}
        adata.obs[self.attr_key] = np.array([code[value] for value in values], dtype=np.int64)
        registered = {self.CATEGORICAL_MAPPING_KEY: mapping, self.ORIGINAL_ATTR_KEY: self._key}
        return registered if self.missing is None else {**registered, self.MISSING_KEY: self.missing}


def as_text(column: pd.Series) -> np.ndarray:
    """Return a column's values as text, object dtype; missing and empty values as ``""``."""
    missing = column.isna().to_numpy()
    values = np.array([str(value).strip() for value in column.astype(object)], dtype=object)
    values[missing] = ""
    return values


def ordered_categories(column: pd.Series) -> list[str]:
    """Return the values in use as text: a categorical's own order, else sorted."""
    used: Iterable[str] = {value for value in as_text(column) if value}
    if isinstance(column.dtype, pd.CategoricalDtype):
        order = list(dict.fromkeys(str(value).strip() for value in column.cat.categories))
        return [value for value in order if value in set(used)]
    return sorted(used)
