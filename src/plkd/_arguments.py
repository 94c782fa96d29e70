"""Refuse arguments of the wrong type or size in plkd's own words, before a library does it in its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse


def is_whole(value: Any, lowest: int, highest: int = 2**31) -> bool:
    """Whether a value is a whole number within bounds; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and lowest <= int(value) <= highest


def is_number(value: Any, lowest: float, highest: float = 1e30) -> bool:
    """Whether a value is a number within bounds; NaN, infinity, True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and lowest <= float(value) <= highest


def check_whole(argument: str, value: Any, lowest: int, *, optional: bool = False) -> None:
    """Refuse what is no whole number of at least ``lowest``; None passes if ``optional``.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if not (is_whole(value, lowest) or (optional and value is None)):
        raise ValueError(
            f"{argument}={value!r}; expected a whole number of at least {lowest}{', or None' if optional else ''}."
        )


def check_number(argument: str, value: Any, lowest: float, highest: float = 1e30, *, optional: bool = False) -> None:
    """Refuse what is no number within bounds; None passes if ``optional``.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if not (is_number(value, lowest, highest) or (optional and value is None)):
        bounds = f"of at least {lowest:g}" if highest == 1e30 else f"from {lowest:g} to {highest:g}"
        raise ValueError(f"{argument}={value!r}; expected a number {bounds}{', or None' if optional else ''}.")


def check_type(argument: str, value: Any, types: type | tuple[type, ...], expected: str) -> None:
    """Refuse a value of another type.

    Raises
    ------
    TypeError
        Naming the argument, its type, and what was expected.
    """
    if not isinstance(value, types):
        raise TypeError(f"{argument} is a {type(value).__name__}; expected {expected}.")


def names_of(argument: str, values: Any, example: str = "adata.var_names") -> list[Any]:
    """Return the entries of a list of names.

    Raises
    ------
    TypeError
        If it is none: a text is one name, no list.
    """
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        raise TypeError(f"{argument} is {values!r}; expected a list of names. Fix: `{argument}={example}`.")
    return list(values)


def array_of(argument: str, values: Any) -> Any:
    """Return real numbers in two dimensions: a sparse matrix as it is, anything else as an array.

    Raises
    ------
    ValueError
        If they are none.
    """
    if sparse.issparse(values):
        found = values
    else:
        try:
            found = np.asarray(values)
        except ValueError:
            raise ValueError(f"{argument} holds rows of unequal lengths; expected a matrix of numbers.") from None
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise ValueError(
            f"{argument} is a {type(values).__name__} of {found.dtype} in {found.ndim} dimension(s); expected a matrix of real "
            "numbers."
        )
    return found


def one_per_cell(argument: str, values: Any) -> np.ndarray:
    """Return one value per cell, object dtype.

    Raises
    ------
    TypeError, ValueError
        If it is no list, or its entries are lists.
    """
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise TypeError(
            f"{argument} is {values!r}; expected one value per cell, e.g. `{argument}=adata.obs['cell_type']`."
        )
    found = np.asarray(values if hasattr(values, "__array__") else list(values), dtype=object)
    if found.ndim != 1:
        raise ValueError(f"{argument} has {found.ndim} dimensions; expected one value per cell.")
    return found


def check_order(argument: str, values: Any, cells: pd.Index) -> None:
    """Refuse a Series of the values of other cells, or of these in another order; one whose index merely counts passes.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if not isinstance(values, pd.Series) or isinstance(values.index, pd.RangeIndex) or values.index.equals(cells):
        return
    raise ValueError(
        f"{argument} is a Series whose index is not the {len(cells)} cells in their order, e.g. {list(values.index[:3])} where "
        f"{list(cells[:3])} was expected. Fix: `{argument}.loc[adata.obs_names]`, or `{argument}.to_numpy()` if it is in the order "
        "of the cells."
    )
