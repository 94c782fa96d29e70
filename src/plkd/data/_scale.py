"""Tell counts from log-normalised values, and refuse what is neither."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp

from plkd.data._mend import assigned, layers_there, leaving_out, owner, taking_counts
from plkd.data._rows import Rows
from plkd.patterns import KIND

logger = logging.getLogger("plkd")

Scale = Literal["counts", "log"]

#: No log1p of a count reaches this; no real cell's largest count stays below it in all cells of a data set.
LOG_MAXIMUM = 15.0
#: No count is larger; sums over a cell of such values still fit into float32.
_LARGEST = 1e30
_BLOCK, _VALUES = 4096, 2**16
#: Of a matrix on disk so many blocks of so many rows are looked at; all its values are checked when they are used.
_SAMPLED_BLOCKS, _SAMPLED_ROWS = 8, 512


def detect_scale(rows: Rows, where: str, *, kind: str = "rna", other_layers: Sequence[str] = ()) -> Scale:
    """Say whether a matrix holds counts or log-normalised values.

    Parameters
    ----------
    rows
        The matrix. In memory all of it is looked at; on disk blocks spread over it.
    where
        Its place in words, for messages.
    kind
        Kind of the features; proteins and peaks must be counts.
    other_layers
        Names of layers that might hold counts, named in errors.

    Returns
    -------
    ``"log"`` for non-negative, not all whole values of RNA below 15, whatever the row sums; else ``"counts"``.

    Raises
    ------
    ValueError
        If a value is negative, NaN or infinite, or proteins (not whole, below 15) or peaks (not whole) are normalised.
    """
    whole, largest = True, 0.0
    for block in _blocks(rows):
        values = block.data if sp.issparse(block) else np.asarray(block)
        check_values(values, where, kind=kind, other_layers=other_layers)
        if values.size:
            largest = max(largest, float(values.max()))
            whole = whole and _whole(values)
    if whole or not KIND[kind].is_counted:
        return "counts"
    # Genes and proteins may be counts corrected for ambient ones, which are large somewhere. TF-IDF of peaks is large too.
    if kind == "atac" or (largest < LOG_MAXIMUM and kind != "rna"):
        raise ValueError(
            f"{where} holds normalised {_values(kind)} (not whole, largest {largest:.2f}); expected raw counts, which "
            f"plkd scales itself.{layers_there(other_layers)} Fix: {taking_counts(where, kind, other_layers)}."
        )
    if largest < LOG_MAXIMUM:
        logger.info(
            "%s holds log-normalised values (not whole, largest %.2f): used as they are. "
            "Where there are raw counts, set the reference up with their layer, e.g. %s='counts'.",
            where,
            largest,
            "layer" if owner(where) == "adata" else "rna_layer",
        )
        return "log"
    logger.warning(
        "%s holds values that are not whole (largest %.1f): taken as corrected counts%s",
        where,
        largest,
        " and scaled to 10,000 per cell. If they are normalised already, pass their log1p or the raw counts."
        if kind == "rna"
        else f". If they are normalised, {taking_counts(where, kind, other_layers)}.",
    )
    return "counts"


def check_values(values: np.ndarray, where: str, *, kind: str = "rna", other_layers: Sequence[str] = ()) -> None:
    """Refuse negative, NaN and infinite values."""
    if not values.size:
        return
    # One pass: the minimum of an array with a NaN is NaN.
    lowest, highest = float(values.min()), float(values.max())
    if np.isnan(lowest) or np.isinf(highest) or np.isinf(lowest):
        n_bad = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"{where} holds {n_bad} NaN or infinite values; expected finite counts. Fix: {leaving_out(where)}."
        )
    if highest > _LARGEST:
        raise ValueError(
            f"{where} holds values up to {highest:.3g}; expected counts or log-normalised values. Fix: look at "
            f"`{where}.max()`, and take the counts from where they were not scaled."
        )
    if lowest < 0 and kind != "rna":
        how = "centred log ratios or dsb" if kind == "protein" else "scaled or decomposed"
        raise ValueError(
            f"{where} holds negative values (lowest {lowest:.3g}), so it is normalised ({how}); expected raw counts, which "
            f"plkd scales itself.{layers_there(other_layers)} Fix: {taking_counts(where, kind, other_layers)}."
        )
    if lowest < 0:
        raise ValueError(
            f"{where} holds negative values (lowest {lowest:.3g}), so it was scaled or centred; expected raw counts or "
            f"log-normalised values.{layers_there(other_layers)} Fix: {taking_counts(where, kind, other_layers)}; or take "
            f".raw, which has no layers, {assigned(where, f'{owner(where)}.raw.to_adata()')}."
        )


def _values(kind: str) -> str:
    return "peak values" if kind == "atac" else f"{kind} values"


def _whole(values: np.ndarray) -> bool:
    """Whether all values are, looked at in parts that stay in the processor's cache."""
    values = values.reshape(-1)
    parts = (values[start : start + _VALUES] for start in range(0, len(values), _VALUES))
    return all(bool((np.floor(part) == part).all()) for part in parts)


def _blocks(rows: Rows):
    matrix = rows.matrix
    if rows.in_memory:
        if sp.issparse(matrix):
            yield matrix
        else:
            for start in range(0, rows.n_obs, _BLOCK):
                yield matrix[start : start + _BLOCK]
        return
    starts = np.arange(0, rows.n_obs, _SAMPLED_ROWS)
    for start in starts[np.unique(np.linspace(0, len(starts) - 1, _SAMPLED_BLOCKS).astype(int))] if len(starts) else []:
        yield rows.read_whole(slice(int(start), int(start) + _SAMPLED_ROWS))
