"""What comes back, how large it is, and that it comes back the same."""

from __future__ import annotations

import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from plkd.datasets import simulate

SMALL = {"n_obs": 90, "n_labels": 3, "n_programmes": 4, "n_genes": 40, "n_proteins": 10, "n_peaks": 80}
THIRDS = {"rna": 1 / 3, "protein": 1 / 3, "atac": 1 / 3}


@pytest.fixture(scope="module")
def mdata():
    return simulate(**SMALL)


def same(a: sparse.csr_matrix, b: sparse.csr_matrix) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("data", "indices", "indptr"))


def test_modalities_have_the_sizes_asked_for(mdata):
    assert isinstance(mdata, mudata.MuData)
    assert {name: adata.shape for name, adata in mdata.mod.items()} == {
        "rna": (90, 40),
        "protein": (90, 10),
        "atac": (90, 80),
    }


def test_counts_are_whole_numbers_in_float32_csr(mdata):
    for adata in mdata.mod.values():
        assert isinstance(adata.X, sparse.csr_matrix)
        assert adata.X.dtype == np.float32
        assert adata.X.has_canonical_format
        assert (adata.X.data > 0).all()
        assert np.array_equal(adata.X.data, np.rint(adata.X.data))
    assert set(np.unique(mdata["atac"].X.data)) == {1.0, 2.0}


def test_cells_have_the_same_names_and_labels_everywhere(mdata):
    for adata in mdata.mod.values():
        assert adata.obs_names.equals(mdata.obs_names)
        pd.testing.assert_frame_equal(adata.obs, mdata.obs)
    assert mdata.obs.columns.tolist() == ["label", "batch", "true_label"]


def test_every_label_is_equally_frequent_in_every_batch(mdata):
    assert (pd.crosstab(mdata.obs["label"], mdata.obs["batch"]) == 15).all(axis=None)


def test_activity_is_that_of_the_labels_programmes(mdata):
    on = mdata.uns["label_programmes"].loc[mdata.obs["true_label"].astype(str)].to_numpy()
    for holder in (mdata, *mdata.mod.values()):
        activity = holder.obsm["programme_activity"]
        assert np.array_equal(activity > 0, on)
        assert activity[on].min() >= 0.5
        assert activity.max() <= 1.5
        assert holder.uns["genome"] == "simulated"


def test_programmes_span_genes_their_proteins_and_their_peaks(mdata):
    rna, protein, atac = (mdata[name] for name in ("rna", "protein", "atac"))
    of_gene = rna.varm["programmes"]
    for adata in mdata.mod.values():
        member = adata.varm["programmes"]
        assert member.index.equals(adata.var_names)
        assert member.to_numpy().dtype.kind == "b"
        assert member.any(axis=0).all()
        assert member.sum(axis=1).max() == 1
    assert protein.var["gene"].tolist() == rna.var_names[: protein.n_vars].tolist()
    assert np.array_equal(protein.varm["programmes"], of_gene.loc[protein.var["gene"]])
    near = atac.var["gene"] != ""
    assert np.array_equal(atac.varm["programmes"][near], of_gene.loc[atac.var["gene"][near]])
    assert not atac.varm["programmes"][~near].any(axis=None)
    assert near.mean() == 0.8


def test_same_seed_gives_the_same_bits(mdata):
    again = simulate(**SMALL)
    for name, adata in mdata.mod.items():
        assert same(adata.X, again[name].X)
        pd.testing.assert_frame_equal(adata.var, again[name].var)
        pd.testing.assert_frame_equal(adata.varm["batch_log_factor"], again[name].varm["batch_log_factor"])
    pd.testing.assert_frame_equal(mdata.obs, again.obs)


def test_another_seed_gives_other_counts(mdata):
    other = simulate(**SMALL, seed=1)
    assert not any(same(adata.X, other[name].X) for name, adata in mdata.mod.items())


def test_global_random_state_is_neither_read_nor_moved(mdata):
    np.random.seed(123)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = simulate(**SMALL)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert same(mdata["rna"].X, again["rna"].X)


@pytest.mark.parametrize("modalities", [("rna",), ("atac",), ("protein", "rna"), "protein"])
def test_subset_of_modalities_is_taken_from_the_same_data(mdata, modalities):
    subset = simulate(**SMALL, modalities=modalities)
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    assert list(subset.mod) == names
    for name in names:
        assert same(mdata[name].X, subset[name].X)


@pytest.mark.parametrize(
    ("missing", "shares"),
    [
        (THIRDS, THIRDS),
        (1 / 3, THIRDS),
        (0.2, {"rna": 0.2, "protein": 0.2, "atac": 0.2}),
        ({"protein": 0.5}, {"rna": 0, "protein": 0.5, "atac": 0}),
        ({"atac": 0.3, "rna": 0.7}, {"rna": 0.7, "protein": 0, "atac": 0.3}),
        (0, {"rna": 0, "protein": 0, "atac": 0}),
    ],
)
def test_missing_shares_are_as_stated_and_disjoint(missing, shares):
    mdata = simulate(**SMALL, missing=missing)
    assert mdata.n_obs == 90
    lacks = {name: ~np.isin(mdata.obs_names, adata.obs_names) for name, adata in mdata.mod.items()}
    assert {name: absent.mean() for name, absent in lacks.items()} == pytest.approx(shares)
    assert sum(lacks.values()).max() <= 1


def test_thirds_leave_no_cell_complete_where_cells_do_not_divide_by_three():
    mdata = simulate(100, missing=1 / 3, n_genes=40)
    assert sorted(adata.n_obs for adata in mdata.mod.values()) == [66, 67, 67]
    assert sum(adata.n_obs for adata in mdata.mod.values()) == 200


def test_mosaic_holds_rows_of_the_complete_data_and_no_others(mdata):
    mosaic = simulate(**SMALL, missing=THIRDS)
    for name, adata in mosaic.mod.items():
        assert same(adata.X, mdata[name][adata.obs_names].X)
        assert np.array_equal(adata.obsm["programme_activity"], mdata[name][adata.obs_names].obsm["programme_activity"])
    pd.testing.assert_frame_equal(mosaic.obs, mdata.obs.loc[mosaic.obs_names])
    rows = mdata.obs_names.get_indexer(mosaic.obs_names)
    assert np.array_equal(mosaic.obsm["programme_activity"], mdata.obsm["programme_activity"][rows])


def test_two_modalities_may_share_no_cell():
    mdata = simulate(**SMALL, modalities=("rna", "atac"), missing=0.5)
    assert set(mdata["rna"].obs_names).isdisjoint(mdata["atac"].obs_names)


def test_unlabeled_cells_keep_their_counts_and_true_labels(mdata):
    part = simulate(**SMALL, unlabeled=0.4, unlabeled_category="?")
    hidden = (part.obs["label"] == "?").to_numpy()
    assert hidden.sum() == 36
    assert part.obs["true_label"].astype(str).equals(mdata.obs["label"].astype(str))
    assert (part.obs["label"].astype(str) == part.obs["true_label"].astype(str))[~hidden].all()
    assert part["rna"].obs["label"].equals(part.obs["label"])
    assert same(part["rna"].X, mdata["rna"].X)
    assert mdata.obs["label"].cat.categories.tolist() == ["label_0", "label_1", "label_2"]


def test_all_cells_may_be_unlabeled():
    assert set(simulate(**SMALL, unlabeled=1).obs["label"]) == {"Unknown"}


def test_survives_h5mu(mdata, tmp_path):
    mosaic = simulate(**SMALL, missing=THIRDS, unlabeled=0.1)
    mosaic.write(tmp_path / "x.h5mu")
    back = mudata.read_h5mu(tmp_path / "x.h5mu")
    for name, adata in mosaic.mod.items():
        assert same(adata.X, back[name].X)
        assert np.array_equal(adata.varm["programmes"], back[name].varm["programmes"])
        assert adata.obs["label"].astype(str).tolist() == back[name].obs["label"].astype(str).tolist()
    assert mosaic.obs["label"].astype(str).tolist() == back.obs["label"].astype(str).tolist()
    assert np.array_equal(mosaic.uns["label_programmes"], back.uns["label_programmes"])


def test_one_modality_is_complete_as_an_anndata():
    adata = simulate(**SMALL, modalities=["rna"])["rna"]
    copy = adata[:, adata.varm["programmes"]["programme_0"]].copy()
    assert copy.n_vars == 5
    assert {"label", "batch"} <= set(copy.obs)


def test_says_nothing_about_mudata_versions():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        simulate(**SMALL)


def test_counts_of_a_cell_are_those_asked_for_on_average():
    mdata = simulate(
        2000, batch_strength=0, n_genes=100, rna_depth=300, protein_depth=1000, atac_depth=40, n_peaks=2000, seed=3
    )
    found = {name: adata.X.sum(axis=1).mean() for name, adata in mdata.mod.items()}
    assert found == pytest.approx({"rna": 300, "protein": 1000, "atac": 40}, rel=0.03)


def test_smallest_world_works():
    mdata = simulate(1, n_labels=1, n_batches=1, n_programmes=1, n_genes=2, n_proteins=1, n_peaks=1)
    assert mdata.shape == (1, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"modalities": ("rna", "adt")}, r"'adt'.*expected one or more of \('rna', 'protein', 'atac'\)"),
        ({"modalities": ()}, "modalities=.*one or more"),
        ({"modalities": ("rna", "rna")}, "at most once"),
        ({"n_obs": 5}, "n_obs=5: expected 6 or more"),
        ({"n_labels": 0}, "n_labels=0: expected 1"),
        ({"n_genes": 7}, "n_genes=7: expected 8"),
        ({"n_proteins": 3}, "n_proteins=3: expected 4"),
        ({"n_proteins": -1, "modalities": "rna"}, "n_proteins=-1; expected a whole number of at least 0"),
        ({"n_peaks": 3}, "n_peaks=3: expected 4"),
        ({"n_proteins": 41}, "n_proteins=41 are more than n_genes=40.*n_genes=41"),
        ({"n_peaks": 300_001}, "n_peaks=300001; expected at most 300000"),
        ({"n_genes": 100_001}, "n_genes=100001; expected at most 100000"),
        ({"n_labels": 10, "n_programmes": 4}, "n_programmes=4 can be combined in 6 ways.*n_programmes=5 or more"),
        ({"label_strength": -1}, "label_strength=-1: expected"),
        ({"batch_strength": float("nan")}, "batch_strength=nan: expected"),
        ({"rna_depth": 0}, "rna_depth=0: expected"),
        ({"missing": {"prot": 0.1}}, "missing names 'prot'; expected one of"),
        ({"missing": {"rna": 1.5}}, "'rna' has share 1.5"),
        ({"missing": {"rna": float("nan")}}, "'rna' has share nan"),
        ({"missing": 0.5}, "adds up to 1.5.*Fix: missing=0.333"),
        ({"missing": {"rna": 1.0}}, "leaves 'rna' without cells"),
        ({"missing": 0.1, "modalities": ("rna",)}, "leaves cells with none"),
        ({"unlabeled": 1.1}, "unlabeled=1.1: expected a share"),
    ],
)
def test_argument_out_of_range_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        simulate(**{**SMALL, **wrong})


def test_sizes_of_modalities_that_are_left_out_do_not_matter():
    adata = simulate(60, modalities="rna", n_genes=16, n_proteins=30, n_peaks=0)["rna"]
    assert adata.shape == (60, 16)
