"""Columns of `obs` as text, whatever their type."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from plkd.data import as_text, obs_column, ordered_categories, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (np.float32(-2), "-2"),
        (np.int64(3), "3"),
        (0.5, "0.5"),
        (True, "True"),
        ("1.0", "1.0"),
        ("  T cell\t", "T cell"),
        (float("inf"), "inf"),
        (1e300, "1e+300"),
        ("B-Zellé".encode(), "B-Zellé"),
        ("CD4/CD8 αβ", "CD4/CD8 αβ"),
    ],
)
def test_values_as_text(value, text):
    assert text_of(value) == text


MISSING = [None, np.nan, pd.NA, "", "  "]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, *MISSING], dtype=object),
        pd.Series([1, 2] + [np.nan] * 5),
        pd.Series([1, 2] + [None] * 5, dtype="Int64"),
        pd.Series(["1", "2", *MISSING], dtype="string"),
        pd.Series(["1", "2", *MISSING]),
        pd.Series(pd.Categorical(["1", "2"] + [None] * 5)),
        pd.Series(pd.Categorical([1.0, 2.0] + [None] * 5)),
    ],
    ids=lambda column: str(column.dtype),
)
def test_missing_and_empty_values_are_no_text_in_any_type(column):
    assert as_text(column).tolist() == ["1", "2"] + [""] * 5
    assert as_text(column).dtype == object
    assert ordered_categories(column) == ["1", "2"]


@pytest.mark.parametrize(
    ("column", "order"),
    [
        (pd.Series([10, 9, 2]), ["2", "9", "10"]),
        (pd.Series([10.0, 9, np.nan, 2.5]), ["2.5", "9", "10"]),
        (pd.Series([10, 9, None, 2], dtype=object), ["2", "9", "10"]),
        (pd.Series([10, 9, None], dtype="Int64"), ["9", "10"]),
        (pd.Series([10**400, 1, 2.5], dtype=object), ["1", "2.5", str(10**400)]),
        (pd.Series([2**53 + 1, 2**53]), [str(2**53), str(2**53 + 1)]),
        (pd.Series([True, False]), ["False", "True"]),
        (pd.Series(["10", "9", " 2"]), ["10", "2", "9"]),
        (pd.Series([10, "9", "b"], dtype=object), ["10", "9", "b"]),
        (pd.Series([True, 1, 1.0, "1"], dtype=object), ["1", "True"]),
        (pd.Series(pd.Categorical(["b", "a", None], ["c", "b", "a"])), ["b", "a"]),
        (pd.Series(pd.Categorical(["lo", "hi"], ["lo", "mid", "hi"], ordered=True)), ["lo", "hi"]),
        (pd.Series(pd.Categorical([1, "1", "a"], ["1", "a", 1])), ["1", "a"]),
        (pd.Series([], dtype=object), []),
    ],
)
def test_order_is_that_of_the_categories_else_sorted_numbers_by_size(column, order):
    assert ordered_categories(column) == order


def test_two_columns_of_one_name_are_refused():
    obs = pd.DataFrame([["a", "b"]] * 2, columns=["x", "x"], index=["0", "1"])
    with pytest.raises(ValueError, match=r"2 columns named 'x'.*duplicated"):
        obs_column(AnnData(np.ones((2, 1)), obs=obs), "x", "labels_key")


@pytest.mark.parametrize("key", [["x"], {"x": 1}, 3, np.nan])
def test_a_key_that_is_no_name_is_refused(key):
    adata = AnnData(np.ones((2, 1)), obs=pd.DataFrame({"x": ["a", "b"]}, index=["0", "1"]))
    with pytest.raises(KeyError, match="labels_key=.* is no column of adata.obs"):
        obs_column(adata, key, "labels_key")


def test_modalities_agree_about_whole_numbers_of_different_types():
    cells = ["0", "1", "2"]
    mdata = MuData(
        {
            "rna": AnnData(np.ones((3, 1)), obs=pd.DataFrame({"x": [1, 2, 1]}, index=cells)),
            "prot": AnnData(np.ones((3, 1)), obs=pd.DataFrame({"x": [1.0, np.nan, 1.0]}, index=cells)),
        }
    )
    assert as_text(obs_column(mdata, "x", "labels_key")).tolist() == ["1", "2", "1"]
