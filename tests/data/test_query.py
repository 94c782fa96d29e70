"""Opening a query: aligned, checked, said once, never changed."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from plkd.data import ModalitySpec, open_query

FEATURES = ["A", "B", "C", "D"]


def query(values, names, **kwargs):
    adata = AnnData(sparse.csr_matrix(np.asarray(values, dtype=np.float32)), **kwargs)
    adata.var_names = names
    return adata


def opened(adata, layer=None, trained_on="counts"):
    return open_query(adata, [ModalitySpec("rna", tuple(FEATURES), trained_on, layer=layer)])


def test_columns_come_in_the_models_order_and_missing_ones_are_zero():
    cells = opened(query([[1, 2, 3, 4], [5, 6, 7, 8]], ["C", "extra", "A", "B"]))
    np.testing.assert_array_equal(cells[[1, 0]]["x"]["rna"], [[7, 8, 5, 0], [3, 4, 1, 0]])


def test_which_features_were_found_is_passed_on():
    cells = opened(query([[1, 2, 3]], ["C", "A", "x"]))
    scale, found = cells[[0]]["scale"]["rna"]
    assert scale == "counts"
    assert found.tolist() == [True, False, True, False]


def test_all_features_found_is_none():
    assert opened(query([[0.5, 2.25, 1, 3]], list("CABD")), trained_on="log")[[0]]["scale"]["rna"] == ("log", None)


def test_one_line_says_what_was_found(caplog):
    with caplog.at_level(logging.INFO, "plkd"):
        opened(query([[1, 2, 3, 4]], ["B", "A", "D", "C"]))
    assert [record.getMessage() for record in caplog.records] == [
        "Query: 1 cells, 4 of 4 features found (100%), reordered"
    ]
    assert caplog.records[0].levelno == logging.INFO


def test_few_features_found_is_a_warning(caplog):
    with caplog.at_level(logging.INFO, "plkd"):
        opened(query([[1, 2]], ["A", "B"]))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "2 of 4 features found (50%)" in record.getMessage()


@pytest.mark.parametrize(
    ("values", "trained_on", "message"),
    [
        ([[0.5, 1, 2, 3]], "counts", "The query holds log-normalised values, the reference held counts"),
        ([[7, 1, 2, 3]], "log", "The query holds counts, the reference held log-normalised values"),
    ],
)
def test_another_scale_than_the_references_is_a_warning(values, trained_on, message, caplog):
    with caplog.at_level(logging.WARNING, "plkd"):
        opened(query(values, FEATURES), trained_on=trained_on)
    assert message in caplog.text


def test_bad_values_are_refused_naming_the_layers_there_are():
    adata = query([[-1, 0, 2, 3]], FEATURES, layers={"counts": np.ones((1, 4))})
    with pytest.raises(ValueError, match=r"adata\.X holds negative values.*Layers there are: \['counts'\]"):
        opened(adata)
    np.testing.assert_array_equal(opened(adata, layer="counts")[[0]]["x"]["rna"], [[1, 1, 1, 1]])


def test_what_is_no_anndata_is_refused():
    with pytest.raises(TypeError, match="The query is a ndarray; expected an AnnData or a MuData"):
        opened(np.ones((1, 4)))


def test_a_missing_layer_and_too_few_features_are_refused():
    with pytest.raises(KeyError, match="layer=.*counts.* is not in adata.layers"):
        opened(query([[1]], ["A"]), layer="counts")
    with pytest.raises(ValueError, match="Only 0 of the model's 4 features"):
        opened(query([[1]], ["x"]))


@pytest.mark.parametrize("view", [False, True])
def test_the_query_is_neither_changed_nor_made_from_a_view_to_a_copy(view):
    adata = query([[1, 2, 3], [4, 5, 6]], ["C", "A", "x"])
    before = adata.copy()
    given = adata[[1]] if view else adata
    batch = opened(given)[[0]]
    assert given.is_view == view
    assert batch["x"]["rna"][0, 2] == (4 if view else 1)
    assert (adata.X != before.X).nnz == 0
    assert adata.obs.equals(before.obs)
    assert adata.var.equals(before.var)
    assert not adata.uns
