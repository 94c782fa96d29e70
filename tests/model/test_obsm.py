"""Proteins in obsm of an AnnData."""

from __future__ import annotations

import pandas as pd
import pytest

from plkd import PLKD


@pytest.fixture
def with_obsm(make_mdata):
    def make(n_obs=120, seed=0, *, framed=True):
        mdata = make_mdata(n_obs, seed=seed)
        adata = mdata["rna"].copy()
        adata.obs = mdata.obs.loc[adata.obs_names, ["cell_type", "batch"]].copy()
        prot = mdata["prot"][adata.obs_names].to_df()
        adata.obsm["adt"] = prot if framed else prot.to_numpy()
        adata.uns["adt_names"] = list(prot.columns)
        return adata

    return make


@pytest.mark.parametrize("framed", [True, False])
def test_proteins_in_obsm_serve_as_a_modality(with_obsm, train, framed):
    adata = with_obsm(framed=framed)
    names = None if framed else "adt_names"
    PLKD.setup_anndata(adata, "cell_type", protein_expression_obsm_key="adt", protein_names_uns_key=names)
    small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
    model = train(PLKD(adata, **small), 15, plan_kwargs={"teacher": {"lr": 2e-2}, "student": {"lr": 2e-2}})
    query = with_obsm(60, 1, framed=framed)
    labels = query.obs["cell_type"].astype(str).to_numpy()
    assert (model.predict(query) == labels).mean() > 0.9
    assert (model.predict(query, modality="adt") == labels).mean() > 0.85
    del query.obsm["adt"]
    assert (model.predict(query) == labels).mean() > 0.85


def test_an_array_without_names_is_refused_with_the_line_that_names_it(with_obsm):
    with pytest.raises(ValueError, match=r"array of 12 columns without names.*pd\.DataFrame"):
        PLKD.setup_anndata(with_obsm(framed=False), "cell_type", protein_expression_obsm_key="adt")


def test_a_missing_obsm_key_is_refused_with_those_there_are(with_obsm):
    with pytest.raises(
        KeyError, match=r"protein_expression_obsm_key='prot' is not in adata.obsm; expected one of \['adt'\]"
    ):
        PLKD.setup_anndata(with_obsm(), "cell_type", protein_expression_obsm_key="prot")


def test_columns_of_an_array_are_matched_by_the_names_in_uns(with_obsm, train):
    adata = with_obsm(framed=False)
    PLKD.setup_anndata(adata, "cell_type", protein_expression_obsm_key="adt", protein_names_uns_key="adt_names")
    model = train(PLKD(adata), 1)
    query = with_obsm(30, 1, framed=False)
    expected = model.predict(query, soft=True)
    query.obsm["adt"], query.uns["adt_names"] = query.obsm["adt"][:, ::-1], query.uns["adt_names"][::-1]
    pd.testing.assert_frame_equal(model.predict(query, soft=True), expected)


def test_columns_without_names_are_taken_in_order_and_that_is_said(with_obsm, train, caplog):
    adata = with_obsm()
    PLKD.setup_anndata(adata, "cell_type", protein_expression_obsm_key="adt")
    model = train(PLKD(adata), 1)
    found = model.predict(with_obsm(30, 1, framed=False), soft=True)
    assert "columns of adata.obsm['adt'] have no names" in caplog.text
    pd.testing.assert_frame_equal(found, model.predict(with_obsm(30, 1), soft=True))


def test_an_anndata_of_proteins_serves_a_model_with_proteins_in_obsm(with_obsm, make_mdata, train):
    adata = with_obsm()
    PLKD.setup_anndata(adata, "cell_type", protein_expression_obsm_key="adt")
    model = train(PLKD(adata), 1)
    alone = make_mdata(30, seed=1)["prot"]
    expected = model.predict(with_obsm(30, 1), soft=True, modality="adt")
    pd.testing.assert_frame_equal(model.predict(alone, soft=True).loc[expected.index], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.obsm["adt"].__setitem__("P00", "x"),
            r"adata\.obsm\['adt'\] has columns that hold no numbers: \['P00'\]",
        ),
        (
            lambda a: a.obsm["adt"].rename(columns={"P01": "P00"}, inplace=True),
            r"columns of adata\.obsm\['adt'\] repeat.*P00",
        ),
    ],
)
def test_columns_that_are_no_proteins_are_refused(with_obsm, change, message):
    adata = with_obsm()
    change(adata)
    with pytest.raises(ValueError, match=message):
        PLKD.setup_anndata(adata, "cell_type", protein_expression_obsm_key="adt")


def test_names_that_are_not_as_many_as_columns_are_refused(with_obsm):
    adata = with_obsm(framed=False)
    adata.uns["adt_names"] = adata.uns["adt_names"][:5]
    with pytest.raises(ValueError, match=r"uns\['adt_names'\] names 5 proteins, adata\.obsm\['adt'\] has 12 columns"):
        PLKD.setup_anndata(adata, "cell_type", protein_expression_obsm_key="adt", protein_names_uns_key="adt_names")
