"""Hostile values of single arguments by family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def indices(n: int) -> dict[str, Any]:
    """What may be given to choose among ``n`` cells."""
    return {
        "outside": [0, n], "far outside": [10**12], "beyond int64": [2**63], "negative outside": [-n - 1],
        "negative": [-1], "floats": [0.0, 1.0], "NaN": [np.nan], "text": ["0"], "names": ["cell0"], "None in it": [None],
        "one int": 3, "one float": 1.5, "a text": "all", "a slice": slice(0, 3), "a set": {1, 2}, "a dict": {0: 1},
        "a range": range(3), "empty": [], "empty float": np.array([]), "two dims": [[0, 1], [2, 3]], "ragged": [[0], [1, 2]],
        "mask": np.arange(n) % 2 == 0, "short mask": np.ones(n - 1, bool), "long mask": np.ones(n + 1, bool),
        "list of bools": [True] * n, "object mask": np.array([True, None] * (n // 2), dtype=object),
        "mask of two dims": np.ones((n, 1), bool), "series": pd.Series([1, 2], index=[7, 9]), "index": pd.Index([1, 2]),
        "int8": np.array([1, 2], np.int8), "uint64": np.array([1, 2], np.uint64), "zero dims": np.array(1),
        "repeats": [1, 1, 1], "complex": [1j], "dates": pd.date_range("2020", periods=2), "bytes": b"01",
        "a generator": (i for i in range(2)), "bool": True,
    }  # fmt: skip


BATCH_SIZES: dict[str, Any] = {
    "0": 0, "-1": -1, "float": 2.0, "fraction": 1.5, "NaN": float("nan"), "inf": float("inf"), "text": "10", "list": [1],
    "True": True, "huge": 10**30, "int64": np.int64(7), "1": 1, "array": np.array([3, 4]), "complex": 1j,
}  # fmt: skip


def groups(n: int) -> dict[str, Any]:
    """What may be given as ``groupby`` for ``n`` cells."""
    return {
        "no such column": "nope", "empty text": "", "int": 3, "float": 0.5, "True": True, "list of columns": ["cell_type", "batch"],
        "too few": ["a"] * (n - 1), "too many": ["a"] * (n + 1), "with None": [None, *["a"] * (n - 1)],
        "numbers": list(range(n)), "NaN": [np.nan] * n, "two dims": np.zeros((n, 2)), "ragged": [[1]] * (n - 1) + [[1, 2]],
        "dict": {"a": 1}, "column": "cell_type", "bytes": b"cell_type", "series": pd.Series(["x"] * n), "zero dims": np.array("a"),
        "set": {"a"}, "categorical": pd.Categorical(["a"] * n), "unhashable": [{1: 2}] * n,
    }  # fmt: skip


NAMES: dict[str, Any] = {
    "unknown": "nope", "empty text": "", "None": None, "int": 3, "float": 1.5, "list": ["rna"], "bytes": b"rna", "NaN": float("nan"),
    "dict": {}, "array": np.array(["rna", "prot"]), "True": True, "unicode": "модель",
}  # fmt: skip

NUMBERS: dict[str, Any] = {
    "0": 0, "-1": -1, "fraction": 0.5, "NaN": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "text": "5", "list": [5],
    "True": True, "1e300": 1e300, "complex": 1j, "None": None, "bytes": b"5", "array": np.array([1, 2]), "-0.5": -0.5, "2**63": 2**63,
}  # fmt: skip

PATHS: dict[str, Any] = {
    "None": None, "int": 3, "list": ["a"], "bytes": b"model", "empty text": "", "NUL": "a\0b", "below a file": f"{__file__}/model",
    "too long": "a" * 5000, "True": True, "float": 0.5, "dict": {},
}  # fmt: skip
