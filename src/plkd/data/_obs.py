"""Columns of ``obs``, wherever the data set keeps them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

logger = logging.getLogger("plkd")


def text_of(value: Any) -> str:
    """Return a label as text, without spaces around it; whole numbers alike whatever their type, 1.0 as ``"1"``, bytes as UTF-8.

    A missing value turns a column of whole numbers into one of floats; its labels must not change with that.
    """
    # Above 2**53 not every whole number is a float.
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 2**53:
        value = int(value)
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip()


def as_text(column: pd.Series) -> np.ndarray:
    """Return a column's values as text (:func:`text_of`), object dtype; missing and empty values as ``""``."""
    missing = column.isna().to_numpy()
    values = np.array([text_of(value) for value in column.astype(object)], dtype=object)
    values[missing] = ""
    return values


def obs_column(data: AnnData | MuData, key: str, argument: str) -> pd.Series:
    """Return a column of ``obs``; of a MuData the whole's or, failing that, that of its modalities, joined by cell.

    Parameters
    ----------
    data
        The data set.
    key
        Name of the column.
    argument
        What the caller calls the key, for the message.

    Raises
    ------
    KeyError
        If there is no such column; the message lists what there is.
    ValueError
        If modalities disagree about a cell, or several columns have that name.
    """
    column = find_column(data, key)
    if column is not None:
        return column
    columns = columns_of(data)
    close = difflib.get_close_matches(str(key), columns, n=1)
    hint = f" Did you mean {argument}={close[0]!r}?" if close else ""
    where = "mdata.obs nor of a modality's obs" if isinstance(data, MuData) else "adata.obs"
    raise KeyError(f"{argument}={key!r} is no column of {where}; expected one of {columns[:20]}.{hint}")


def find_column(data: AnnData | MuData, key: str) -> pd.Series | None:
    """Return a column as :func:`obs_column` does, or None."""
    if (column := _column(data.obs, key)) is not None or not isinstance(data, MuData):
        return column
    having = _in_modalities(data, key)
    return _joined(having, data.obs_names, key) if having else None


def say_where_found(mdata: MuData, key: str, argument: str) -> None:
    """Say in the log where :func:`find_column` finds a column of a MuData."""
    if _column(mdata.obs, key) is not None:
        logger.info("%s=%r: found in mdata.obs", argument, key)
    else:
        logger.info("%s=%r: found in obs of %s", argument, key, ", ".join(map(repr, _in_modalities(mdata, key))))


def _in_modalities(mdata: MuData, key: str) -> dict[str, pd.Series]:
    having = {name: column for name, adata in mdata.mod.items() if (column := _column(adata.obs, key)) is not None}
    if having:
        return having
    # "rna:key" is how mudata 0.3 calls a modality's column where it copies it into the whole's.
    for name, adata in mdata.mod.items():
        own = str(key).removeprefix(f"{name}:")
        if own != str(key) and (column := _column(adata.obs, own)) is not None:
            return {name: column}
    return {}


def _column(obs: pd.DataFrame, key: Any) -> pd.Series | None:
    if not isinstance(key, Hashable) or key not in obs:
        return None
    # Of a table on the disk only the column is read.
    column = obs[key] if isinstance(obs, pd.DataFrame) else obs[[key]].to_memory()[key]
    if isinstance(column, pd.DataFrame):
        raise ValueError(
            f"obs has {column.shape[1]} columns named {key!r}; expected one. Fix: `adata.obs = adata.obs.loc[:, "
            "~adata.obs.columns.duplicated()]` keeps the first."
        )
    return column


def _joined(columns: dict[str, pd.Series], cells: pd.Index, key: str) -> pd.Series:
    """Return one value per cell of the whole: the modalities' values, which must agree."""
    values = pd.Series(index=cells, dtype=object)
    text = np.full(len(cells), "", dtype=object)
    for name, column in columns.items():
        # A modality exchanged without update() may hold cells that the whole does not know.
        column = column[column.index.isin(cells)]
        position = cells.get_indexer(column.index)
        own = as_text(column)
        clash = (text[position] != "") & (own != "") & (text[position] != own)
        if clash.any():
            i = int(np.flatnonzero(clash)[0])
            raise ValueError(
                f"obs[{key!r}] differs between modalities for {int(clash.sum())} cells, e.g. {column.index[i]!r} is "
                f"{text[position][i]!r} in one and {own[i]!r} in {name!r}; expected one value per cell. Fix: "
                f"`mdata.obs[{key!r}] = mdata[{name!r}].obs[{key!r}]` with the one that holds."
            )
        fresh = (text[position] == "") & (own != "")
        values.iloc[position[fresh]] = column.astype(object).to_numpy()[fresh]
        text[position[fresh]] = own[fresh]
    dtypes = {id(column.dtype): column.dtype for column in columns.values()}
    categorical = [dtype for dtype in dtypes.values() if isinstance(dtype, pd.CategoricalDtype)]
    if len(categorical) == len(columns):
        order = list(dict.fromkeys(value for dtype in categorical for value in dtype.categories))
        return values.astype(pd.CategoricalDtype(order))
    return values


def columns_of(data: AnnData | MuData) -> list[str]:
    """Return the names of the columns a key may name, scvi-tools' own left out."""
    columns = [str(name) for name in data.obs.columns]
    if isinstance(data, MuData):
        columns += [str(name) for adata in data.mod.values() for name in adata.obs.columns]
    return [name for name in dict.fromkeys(columns) if not name.startswith("_scvi")]


def ordered_categories(column: pd.Series) -> list[str]:
    """Return the values in use as text: a categorical's own order, else sorted, numbers by their size."""
    text = as_text(column)
    used = set(text) - {""}
    if isinstance(column.dtype, pd.CategoricalDtype):
        order = list(dict.fromkeys(text_of(value) for value in column.cat.categories))
        return [value for value in order if value in used]
    if pd.api.types.infer_dtype(column, skipna=True) in ("integer", "floating", "mixed-integer-float", "boolean"):
        return [text_of(value) for value in sorted(column.dropna().unique(), key=_size)]
    return sorted(used)


def is_writable(text: str) -> bool:
    """Whether files of anndata can hold a text: no NUL in it, and no half of a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _size(value: Any) -> Any:
    """Return a number as Python's own: whole ones of any size then compare exactly, with others too."""
    return value.item() if isinstance(value, np.generic) else value
