"""A MuData as reference: any modalities under any names, unpaired or not, or refused with how to mend it."""

from __future__ import annotations

import logging
import re

import anndata
import numpy as np
import pytest
from mudata import MuData
from scipy import sparse

from plkd import PLKD
from plkd.nn import dense

KINDS = {"rna": "rna", "prot": "protein", "atac": "atac"}


def test_usual_names_are_recognised_and_said(make_mdata, caplog):
    mdata = make_mdata(30)
    with caplog.at_level(logging.INFO, "plkd"):
        PLKD.setup_mudata(mdata, "cell_type")
    assert "'rna' is rna, 'prot' is protein, 'atac' is atac" in caplog.text


def test_free_names_are_told_by_modalities(make_mdata):
    paired = make_mdata(30)
    mdata = MuData({"Gene Expr.": paired["rna"], "Abs": paired["prot"]})
    mdata.obs["cell_type"] = paired.obs["cell_type"]
    PLKD.setup_mudata(mdata, "cell_type", modalities={"rna_layer": "Gene Expr.", "protein_layer": "Abs"})
    model = PLKD(mdata)
    assert set(model.get_var_names()) == {"Gene Expr.", "Abs"}
    assert "40 genes (counts) + 12 proteins (counts)" in repr(model)


@pytest.mark.parametrize(
    ("modalities", "error", "message"),
    [
        ({"rna_layer": "gex"}, KeyError, r"'gex' is no modality of mdata; .*\['rna', 'prot', 'atac'\]"),
        ({"rna": "rna"}, ValueError, r"unknown keys \['rna'\]; expected some of \['rna_layer', 'protein_layer'"),
        ({"rna_layer": "rna", "atac_layer": "rna"}, ValueError, "names one modality twice"),
        ({}, ValueError, "No modality was named"),
    ],
)
def test_wrong_modality_names_are_refused_with_those_there_are(make_mdata, modalities, error, message):
    with pytest.raises(error, match=message):
        PLKD.setup_mudata(make_mdata(30), "cell_type", modalities=modalities)


def test_a_layer_for_a_modality_that_was_not_named_is_refused(make_mdata):
    with pytest.raises(ValueError, match="atac_layer='counts' is given but no modality for it"):
        PLKD.setup_mudata(
            make_mdata(30), "cell_type", atac_layer="counts", modalities={"rna_layer": "rna", "protein_layer": "prot"}
        )


def test_a_layer_that_is_not_there_is_refused_naming_the_modality(make_mdata):
    with pytest.raises(KeyError, match=r"layer=.*raw.* is not in mdata.*prot.*layers"):
        PLKD.setup_mudata(make_mdata(30), "cell_type", protein_layer="raw")


def test_ambiguous_usual_names_are_refused(make_mdata):
    mdata = make_mdata(30)
    twice = MuData({"prot": mdata["prot"], "adt": mdata["prot"].copy()})
    twice.obs["cell_type"] = mdata.obs["cell_type"]
    with pytest.raises(ValueError, match=r"Several modalities may be protein: \['prot', 'adt'\]"):
        PLKD.setup_mudata(twice, "cell_type")


def test_a_view_is_refused_naming_copy(make_mdata):
    with pytest.raises(ValueError, match=r"view.*mdata\.copy\(\)"):
        PLKD.setup_mudata(make_mdata(60)[:30], "cell_type")


def test_an_anndata_is_sent_to_its_own_setup_and_back(make_mdata):
    mdata = make_mdata(30)
    with pytest.raises(TypeError, match="setup_anndata"):
        PLKD.setup_mudata(mdata["rna"], "cell_type")
    with pytest.raises(TypeError, match="setup_mudata"):
        PLKD.setup_anndata(mdata, "cell_type")


def test_modalities_joined_by_features_are_refused(make_mdata):
    rna = make_mdata(30)["rna"]
    other = rna.copy()
    other.obs_names = "x" + other.obs_names
    with pytest.raises(ValueError, match="axis=1"):
        PLKD.setup_mudata(MuData({"rna": rna, "prot": other}, axis=1), "cell_type")


def test_cells_in_no_named_modality_are_refused(make_mdata):
    mdata = make_mdata(30, mosaic=True)
    with pytest.raises(ValueError, match=r"10 cells of mdata are in none of the modalities \['rna'\]"):
        PLKD.setup_mudata(mdata, "cell_type", modalities={"rna_layer": "rna"})


def clr(adata):
    logged = np.log1p(adata.X)
    return logged - logged.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["prot"].__setattr__("X", clr(m["prot"])), r"mdata\['prot'\]\.X holds negative.*protein_layer"),
        (lambda m: m["prot"].__setattr__("X", np.log1p(m["prot"].X)), r"mdata\['prot'\]\.X holds normalised protein"),
        (
            lambda m: m["atac"].__setattr__("X", m["atac"].X * 0.3),
            r"mdata\['atac'\]\.X holds normalised peak.*atac_layer",
        ),
        (lambda m: m["atac"].__setattr__("X", -m["atac"].X), r"mdata\['atac'\]\.X holds negative"),
        (lambda m: m["rna"].X.data.__setitem__(0, np.nan), r"mdata\['rna'\]\.X holds 1 NaN"),
    ],
)
def test_values_that_are_no_counts_are_refused_naming_modality_and_layer(make_mdata, change, message):
    mdata = make_mdata(30)
    change(mdata)
    with pytest.raises(ValueError, match=message):
        PLKD.setup_mudata(mdata, "cell_type")


def test_labels_are_found_in_the_modalities_and_joined_by_cell(make_mdata, caplog):
    mdata = make_mdata(60, mosaic=True)
    labels = mdata.obs["cell_type"].copy()
    for name in ("rna", "prot"):
        mdata[name].obs["my_type"] = labels.loc[mdata[name].obs_names]
    with caplog.at_level(logging.INFO, "plkd"):
        PLKD.setup_mudata(mdata, "my_type")
    assert caplog.text.count("my_type") == 1
    assert "labels_key='my_type': found in obs of 'rna', 'prot'" in caplog.text
    np.testing.assert_array_equal(mdata.obs["_scvi_labels"], labels.cat.codes)


def test_columns_of_the_whole_are_said_once_too(make_mdata, caplog):
    with caplog.at_level(logging.INFO, "plkd"):
        PLKD.setup_mudata(make_mdata(30), "cell_type", batch_key="batch")
    for text in ("labels_key='cell_type': found in mdata.obs", "batch_key='batch': found in mdata.obs"):
        assert caplog.text.count(text) == 1


def test_cells_named_in_two_ways_are_warned_of(make_mdata, caplog):
    paired = make_mdata(30)
    prot = paired["prot"].copy()
    prot.obs_names = [f"{name}-1" for name in prot.obs_names]
    mdata = MuData({"rna": paired["rna"].copy(), "prot": prot, "atac": paired["atac"].copy()})
    mdata.obs["cell_type"] = [paired.obs["cell_type"].astype(str)[name.removesuffix("-1")] for name in mdata.obs_names]
    PLKD.setup_mudata(mdata, "cell_type")
    # The proteins beside either of the others.
    assert caplog.text.count("Cells seem to be named in two ways, such as") == 2
    caplog.clear()
    PLKD.setup_mudata(make_mdata(30, mosaic=True), "cell_type")
    assert "named in two ways" not in caplog.text


@pytest.mark.parametrize(
    "kind", [str, float, lambda position: f"{position}.0"], ids=["text", "float", "text of floats"]
)
@pytest.mark.parametrize("columns", [("chrom", "start", "end"), ("Chromosome", "Start", "End"), ("interval",)])
def test_peaks_that_are_not_named_by_their_intervals_are_named_by_the_line_that_says_so(
    make_mdata, columns, kind, caplog
):
    mdata = make_mdata(30)
    intervals = list(mdata["atac"].var_names)
    values = [name.replace("-", ":").split(":") for name in intervals]
    for column, own in zip(columns, [intervals] if len(columns) == 1 else zip(*values, strict=True), strict=True):
        is_position = column.lower() in ("start", "end")
        mdata["atac"].var[column] = [kind(value) for value in own] if is_position else list(own)
    mdata["atac"].var_names = [f"peak_{i}" for i in range(60)]
    mdata.update()
    PLKD.setup_mudata(mdata, "cell_type")
    assert "not named by their intervals ('peak_0')" in caplog.text
    for line in re.findall("`([^`]+)`", caplog.text.split("Fix:")[1]):
        exec(line, {"mdata": mdata})
    assert list(mdata["atac"].var_names) == intervals
    caplog.clear()
    PLKD.setup_mudata(mdata, "cell_type")
    assert "not named" not in caplog.text


def _found(error):
    """Return the lines that a message says mend it."""
    return re.findall(r"`([^`]+)`", str(error.value).split("Fix:")[1])


@pytest.mark.parametrize("name", ["rna", "prot", "atac"])
def test_cells_with_missing_values_are_left_out_by_the_line_that_says_so(make_mdata, name):
    mdata = make_mdata(30)
    values = mdata[name].X.toarray() if sparse.issparse(mdata[name].X) else mdata[name].X
    values[:4] = np.nan
    mdata[name].X = sparse.csr_matrix(values) if sparse.issparse(mdata[name].X) else values
    with pytest.raises(ValueError, match="NaN") as error:
        PLKD.setup_mudata(mdata, "cell_type")
    for line in _found(error)[:2]:
        exec(line, {"np": np, "mdata": mdata})
    assert mdata[name].n_obs == 26
    assert mdata.n_obs == 30
    PLKD.setup_mudata(mdata, "cell_type")


@pytest.mark.parametrize("form", [lambda frame: frame, np.asarray, sparse.csr_matrix], ids=["frame", "array", "sparse"])
def test_missing_proteins_of_obsm_are_left_out_by_the_line_that_says_so(make_mdata, form):
    mdata = make_mdata(30)
    adata = mdata["rna"].copy()
    adata.obs["cell_type"] = mdata.obs["cell_type"]
    proteins = mdata["prot"][adata.obs_names].to_df()
    proteins.iloc[:4] = np.nan
    adata.obsm["adt"] = form(proteins)
    adata.uns["names"] = list(proteins.columns)
    keys = {"protein_expression_obsm_key": "adt", "protein_names_uns_key": "names"}
    with pytest.raises(ValueError, match=r"adata.obsm\['adt'\] holds 48 NaN") as error:
        PLKD.setup_anndata(adata, "cell_type", **keys)
    scope = {"np": np, "adata": adata}
    exec(_found(error)[0], scope)
    assert scope["adata"].n_obs == 26
    PLKD.setup_anndata(scope["adata"], "cell_type", **keys)


@pytest.mark.parametrize("name", ["rna", "prot", "atac"])
def test_a_modality_of_zeros_is_refused_at_setup(make_mdata, name):
    mdata = make_mdata(30)
    mdata[name].X = mdata[name].X * 0
    with pytest.raises(ValueError, match=rf"mdata\['{name}'\]\.X holds nothing but zeros \(30 cells x") as error:
        PLKD.setup_mudata(mdata, "cell_type")
    assert "_scvi_labels" not in mdata.obs
    assert "_layer=`" in str(error.value)


def test_genes_of_raw_are_taken_by_the_line_that_says_so(make_mdata):
    mdata = make_mdata(30)
    mdata["rna"].raw = mdata["rna"]
    mdata.mod["rna"] = mdata["rna"][:, :20].copy()
    mdata.update()
    mdata["rna"].X = mdata["rna"].X.toarray() - 1.5
    with pytest.raises(ValueError, match="negative") as error:
        PLKD.setup_mudata(mdata, "cell_type")
    for line in _found(error)[2:]:
        exec(line, {"mdata": mdata})
    assert mdata.shape == (30, 40 + 12 + 60)
    PLKD.setup_mudata(mdata, "cell_type")


def test_a_column_of_a_modality_with_a_colon_in_its_name(make_mdata):
    paired = make_mdata(30)
    mdata = MuData({"a:b": paired["rna"].copy(), "prot": paired["prot"].copy()})
    mdata["a:b"].obs["own"] = paired.obs["cell_type"].astype(str).loc[mdata["a:b"].obs_names]
    PLKD.setup_mudata(mdata, "a:b:own", modalities={"rna_layer": "a:b", "protein_layer": "prot"})
    assert len(PLKD(mdata).labels) == 3


def test_labels_that_differ_between_modalities_are_refused(make_mdata):
    mdata = make_mdata(30)
    for name in ("rna", "prot"):
        mdata[name].obs["my_type"] = mdata.obs["cell_type"].astype(str).loc[mdata[name].obs_names]
    mdata["prot"].obs.iloc[3, 0] = "something else"
    with pytest.raises(ValueError, match=r"obs\['my_type'\] differs between modalities for 1 cells.*something else"):
        PLKD.setup_mudata(mdata, "my_type")


def test_a_missing_label_column_is_refused_with_those_of_all_modalities(make_mdata):
    mdata = make_mdata(30)
    mdata["prot"].obs["gate"] = "x"
    with pytest.raises(KeyError, match=r"labels_key='celltype'.*cell_type.*gate.*Did you mean labels_key='cell_type'"):
        PLKD.setup_mudata(mdata, "celltype")


def test_a_column_of_a_modality_goes_by_the_name_mudata_gives_it(make_mdata):
    mdata = make_mdata(30)
    labels = mdata.obs["cell_type"].copy()
    bare = MuData({name: adata.copy() for name, adata in mdata.mod.items()})
    bare["prot"].obs["gate"] = labels.loc[bare["prot"].obs_names]
    PLKD.setup_mudata(bare, "prot:gate")
    np.testing.assert_array_equal(bare.obs["_scvi_labels"], labels.loc[bare.obs_names].cat.codes)


def test_a_modality_measured_in_one_label_only_is_said(make_mdata, caplog):
    mdata = make_mdata(60, modalities=("rna", "prot"))
    labels = mdata.obs["cell_type"]
    prot = mdata["prot"][(labels.loc[mdata["prot"].obs_names] == "type_1").to_numpy()].copy()
    part = MuData({"rna": mdata["rna"], "prot": prot})
    part.obs["cell_type"] = labels.loc[part.obs_names]
    PLKD.setup_mudata(part, "cell_type")
    assert "The labelled cells measured in 'prot' have 1 labels (type_1)" in caplog.text


def test_a_modality_whose_features_are_all_alike_is_refused_by_name(make_mdata):
    mdata = make_mdata(30)
    mdata["prot"].X = np.ones_like(mdata["prot"].X)
    PLKD.setup_mudata(mdata, "cell_type")
    with pytest.raises(ValueError, match="No patterns can be learned for prot: none of the 12 features varies"):
        PLKD(mdata)


def test_cells_without_proteins_do_not_move_the_scale(make_mdata):
    constants = []
    for n_empty in (0, 10):
        mdata = make_mdata(30, modalities=("prot",))
        empty = mdata["prot"][:n_empty].copy()
        empty.X[:] = 0
        empty.obs_names = "empty_" + empty.obs_names
        both = MuData({"prot": anndata.concat([mdata["prot"], empty])})
        both.obs["cell_type"] = [*mdata.obs["cell_type"].loc[mdata["prot"].obs_names], *["Unknown"] * n_empty]
        PLKD.setup_mudata(both, "cell_type")
        constants.append(PLKD(both).module.scaling["protein"].log_mean.numpy())
    np.testing.assert_allclose(*constants, rtol=1e-6)


def test_the_reference_is_neither_reordered_nor_rewritten(make_mdata):
    mdata = make_mdata(30, mosaic=True)
    before = mdata.copy()
    PLKD.setup_mudata(mdata, "cell_type", batch_key="batch")
    PLKD(mdata)
    assert set(mdata.obs) - set(before.obs) == {"_scvi_labels", "_scvi_batch"}
    assert mdata.obs_names.equals(before.obs_names)
    for name, adata in mdata.mod.items():
        assert adata.obs_names.equals(before[name].obs_names)
        assert adata.obs.equals(before[name].obs)
        difference = adata.X != before[name].X
        assert not (difference.nnz if sparse.issparse(difference) else difference.any())
        assert not adata.uns


def test_modalities_in_another_order_are_matched_by_name_and_missing_cells_marked(make_mdata):
    mdata = make_mdata(60, mosaic=True)
    PLKD.setup_mudata(mdata, "cell_type")
    cells = PLKD(mdata)._reference_cells()
    batch = cells[np.arange(60)]
    for name, kind in KINDS.items():
        adata = mdata[name]
        there = mdata.obs_names.isin(adata.obs_names)
        np.testing.assert_array_equal(batch["present"][kind].numpy(), there)
        expected = adata[mdata.obs_names[there]].X
        expected = expected.toarray() if sparse.issparse(expected) else expected
        values = dense(batch["x"][kind]).numpy()
        np.testing.assert_array_equal(values[there], expected)
        assert not values[~there].any()
        assert there.mean() == 2 / 3
