"""A reference is registered as it is, or refused with what was found and how to mend it."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from plkd import PLKD


def test_missing_label_column_is_refused_with_the_columns_and_a_close_match(make_adata):
    with pytest.raises(KeyError, match=r"labels_key='celltype'.*cell_type.*batch.*Did you mean labels_key='cell_type'"):
        PLKD.setup_anndata(make_adata(30), "celltype")


def test_missing_batch_column_is_refused_by_the_name_of_its_argument(make_adata):
    with pytest.raises(KeyError, match="batch_key='donor'"):
        PLKD.setup_anndata(make_adata(30), "cell_type", batch_key="donor")


def test_missing_layer_is_refused_with_the_layers_there_are(make_adata):
    adata = make_adata(30)
    adata.layers["raw_counts"] = adata.X.copy()
    with pytest.raises(KeyError, match=r"layer=.*counts.*raw_counts"):
        PLKD.setup_anndata(adata, "cell_type", layer="counts")


def test_view_is_refused_naming_copy(make_adata):
    view = make_adata(40)[:30]
    with pytest.raises(ValueError, match=r"view.*\.copy\(\)"):
        PLKD.setup_anndata(view, "cell_type")
    assert view.is_view


@pytest.mark.parametrize("thing", ["ref.h5ad", np.zeros((3, 3)), None])
def test_what_is_no_anndata_is_refused(thing):
    with pytest.raises(TypeError, match="expected an AnnData"):
        PLKD.setup_anndata(thing, "cell_type")


@pytest.mark.parametrize("part", [(slice(0, 0), slice(None)), (slice(None), slice(0, 0))])
def test_no_cells_or_no_genes_are_refused(make_adata, part):
    with pytest.raises(ValueError, match="0 (cells|features)|and 0 features"):
        PLKD.setup_anndata(make_adata(30)[part].copy(), "cell_type")


def test_repeated_genes_are_refused_by_name(make_adata):
    adata = make_adata(30)
    adata.var_names = ["GENE000", "GENE000", *adata.var_names[2:]]
    with pytest.raises(ValueError, match=r"GENE000.*var_names_make_unique"):
        PLKD.setup_anndata(adata, "cell_type")


@pytest.mark.parametrize("labels", [["T"] * 30, ["T"] * 20 + ["Unknown"] * 10, [np.nan] * 30])
def test_fewer_than_two_labels_are_refused(make_adata, labels):
    adata = make_adata(30)
    adata.obs["cell_type"] = labels
    with pytest.raises(ValueError, match="expected at least 2"):
        PLKD.setup_anndata(adata, "cell_type")


@pytest.mark.parametrize("missing", [np.nan, None, "", "  ", "Unknown"])
def test_missing_empty_and_unlabeled_cells_have_no_label(make_adata, make_model, missing):
    adata = make_adata(30)
    labels = adata.obs["cell_type"].astype(object)
    labels.iloc[:4] = missing
    adata.obs["cell_type"] = labels
    model = make_model(adata)
    assert model.labels == ["type_0", "type_1", "type_2"]
    assert (model._reference_cells().labels[:4] == -1).all()
    assert (model._reference_cells().labels[4:] >= 0).all()


def test_unlabeled_category_need_not_be_text(make_adata):
    adata = make_adata(30)
    adata.obs["cell_type"] = np.arange(30) % 3 - 1
    PLKD.setup_anndata(adata, "cell_type", unlabeled_category=-1)
    assert PLKD(adata).labels == ["0", "1"]


def test_unused_categories_are_left_out_and_the_order_kept(make_adata, make_model):
    adata = make_adata(30)
    order = ["type_2", "never seen", "type_0", "type_1"]
    adata.obs["cell_type"] = pd.Categorical(adata.obs["cell_type"].astype(str), order)
    assert make_model(adata).labels == ["type_2", "type_0", "type_1"]


def test_labels_of_mixed_types_become_text(make_adata, make_model):
    adata = make_adata(30)
    adata.obs["cell_type"] = pd.Series([1, "B", 2.5] * 10, index=adata.obs_names, dtype=object)
    assert make_model(adata).labels == ["1", "2.5", "B"]


def test_codes_name_the_right_label(make_adata, make_model):
    adata = make_adata(30)
    model = make_model(adata)
    named = np.array(model.labels, dtype=object)[model._reference_cells().labels]
    np.testing.assert_array_equal(named, adata.obs["cell_type"].astype(str))


def test_label_with_one_cell_is_said_and_trains(make_adata, make_model, train, caplog):
    adata = make_adata(40)
    adata.obs["cell_type"] = ["rare", *adata.obs["cell_type"].astype(str)[1:]]
    with caplog.at_level(logging.WARNING, logger="plkd"):
        model = make_model(adata)
    assert "rare (1)" in caplog.text
    train(model, 1)
    assert 0 in model.train_indices
    assert "rare" in model.predict(soft=True).columns


@pytest.mark.parametrize("missing", [np.nan, None, ""])
def test_missing_batch_is_refused_with_the_number_of_cells(make_adata, missing):
    adata = make_adata(30)
    batch = adata.obs["batch"].astype(object)
    batch.iloc[:7] = missing
    adata.obs["batch"] = batch
    with pytest.raises(ValueError, match=r"obs\['batch'\] is missing for 7 cells"):
        PLKD.setup_anndata(adata, "cell_type", batch_key="batch")


@pytest.mark.parametrize(("value", "found"), [(-1.0, "negative"), (np.nan, "NaN"), (np.inf, "infinite")])
@pytest.mark.parametrize("fmt", ["dense", "csr", "csc"])
def test_impossible_values_are_refused_and_nothing_is_registered(make_adata, value, found, fmt):
    adata = make_adata(30, fmt="dense")
    X = adata.X.copy()
    X[3, 5] = value
    adata.X = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[fmt](X)
    with pytest.raises(ValueError, match=found):
        PLKD.setup_anndata(adata, "cell_type")
    assert list(adata.obs) == ["cell_type", "batch"]
    assert not adata.uns


def test_negative_values_name_the_layers_and_raw(make_adata):
    adata = make_adata(30, fmt="dense")
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X - adata.X.mean(axis=0)
    with pytest.raises(ValueError, match=r"adata.X.*\['counts'\].*\.raw"):
        PLKD.setup_anndata(adata, "cell_type")


def test_log_normalised_values_are_recognised_and_said(make_adata, make_model, caplog):
    adata = make_adata(30, fmt="dense")
    adata.X = np.log1p(adata.X / adata.X.sum(axis=1, keepdims=True) * 1000)
    with caplog.at_level(logging.INFO, logger="plkd"):
        model = make_model(adata)
    assert "adata.X holds log-normalised values" in caplog.text
    assert "(log)" in repr(model)


def test_counts_are_not_taken_for_log_normalised(make_adata, make_model, caplog):
    with caplog.at_level(logging.INFO, logger="plkd"):
        model = make_model(make_adata(30))
    assert "log-normalised" not in caplog.text
    assert "(counts)" in repr(model)


def test_model_of_an_unregistered_reference_names_setup_anndata(make_adata):
    with pytest.raises(ValueError, match="setup_anndata"):
        PLKD(make_adata(30))


def test_model_without_a_reference_is_refused():
    with pytest.raises(ValueError, match="adata"):
        PLKD()


@pytest.mark.parametrize("argument", ["pattern_kwargs", "teacher_kwargs", "student_kwargs"])
def test_unknown_settings_are_refused_with_those_there_are(make_adata, argument):
    adata = make_adata(30)
    PLKD.setup_anndata(adata, "cell_type")
    with pytest.raises(TypeError, match=r"n_headz.*expected some of"):
        PLKD(adata, **{argument: {"n_headz": 3}})


def test_layer_is_read_in_place_of_x(make_adata, train):
    adata = make_adata(60)
    adata.layers["counts"] = adata.X.copy()
    adata.X = -adata.X
    PLKD.setup_anndata(adata, "cell_type", layer="counts")
    model = train(PLKD(adata), 1)
    assert len(model.predict(adata)) == 60
    del adata.layers["counts"]
    with pytest.raises(KeyError, match="counts"):
        model.predict(adata)
