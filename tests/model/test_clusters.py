"""Integration without labels: clusters stand in for them."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
import torch
from mudata import MuData
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from plkd import PLKD
from plkd.datasets import simulate


def codes(data):
    return data.obs["_scvi_labels"].to_numpy()


def test_clusters_follow_the_types_and_hardly_the_batches(make_mdata):
    pytest.importorskip("harmonypy")
    mdata = make_mdata(240)
    PLKD.setup_mudata(mdata, None, batch_key="batch")
    found = codes(mdata)
    types = mdata.obs["cell_type"].cat.codes
    # Several clusters of a type are right, two types in one cluster are not.
    purity = sum(np.bincount(types[found == cluster]).max() for cluster in np.unique(found)) / len(found)
    assert purity > 0.9
    assert adjusted_rand_score(mdata.obs["batch"], found) < 0.1


def test_batches_that_lie_far_apart_share_clusters():
    """Harmony as it comes leaves such batches where they are: every cluster is of one batch."""
    pytest.importorskip("harmonypy")
    mdata = simulate(
        900, n_labels=4, n_batches=3, modalities=("rna", "protein"), n_genes=400, batch_strength=0.5, seed=0
    )
    PLKD.setup_mudata(mdata, None, batch_key="batch")
    found = codes(mdata)
    assert homogeneity_score(mdata.obs["batch"], found) < 0.1
    assert homogeneity_score(mdata.obs["label"], found) > 0.9


def test_clusters_are_aligned_between_batches_in_the_student_and_labels_are_not(make_adata, train):
    pytest.importorskip("harmonypy")
    small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
    for labels_key, batch_key, aligned in ((None, "batch", True), (None, None, False), ("cell_type", "batch", False)):
        adata = make_adata(90)
        PLKD.setup_anndata(adata, labels_key, batch_key=batch_key)
        history = train(PLKD(adata, **small), 2).history
        assert ("student_alignment_loss_train" in history) == aligned
        if aligned:
            assert history["student_alignment_loss_train"].to_numpy().any()


def test_the_same_data_give_the_same_clusters(make_adata):
    first, second = make_adata(), make_adata()
    for adata in (first, second):
        PLKD.setup_anndata(adata, None)
    np.testing.assert_array_equal(codes(first), codes(second))


def test_cells_that_lack_the_commonest_modality_are_in_no_cluster_but_get_a_latent(make_mdata, make_joint_model, train):
    mdata = make_mdata(120, modalities=("rna", "prot"), mosaic=True)
    PLKD.setup_mudata(mdata, None)
    small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
    model = train(PLKD(mdata, **small), 2)
    without = ~mdata.obs_names.isin(mdata["rna"].obs_names)
    assert (codes(mdata)[without] == len(model.labels)).all()
    assert np.isfinite(model.get_latent_representation()).all()
    assert all(label.startswith("cluster_") for label in model.predict())


def test_the_latent_space_tells_types_apart_that_it_never_saw(make_adata, train):
    from sklearn.neighbors import KNeighborsClassifier

    reference, query = make_adata(), make_adata(60, seed=1)
    PLKD.setup_anndata(reference, None)
    small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
    right = []
    for seed in range(4):  # one of some ten small networks has learned little by then
        torch.manual_seed(seed)
        model = train(PLKD(reference, **small), 15, plan_kwargs={"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}})
        by_neighbours = KNeighborsClassifier(5).fit(model.get_latent_representation(), reference.obs["cell_type"])
        right.append(by_neighbours.score(model.get_latent_representation(query), query.obs["cell_type"]))
    assert np.mean(right) > 0.9


def test_several_batches_without_harmonypy_name_the_line_that_installs_it(make_adata, monkeypatch):
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(ImportError, match=r"pip install 'plkd\[integration\]'"):
        PLKD.setup_anndata(make_adata(60), None, batch_key="batch")


def test_only_documented_keys_are_added(make_adata):
    adata = make_adata(60)
    before = adata.copy()
    PLKD.setup_anndata(adata, None)
    assert set(adata.obs) - set(before.obs) == {"_scvi_labels", "_scvi_batch"}


def test_a_loaded_model_trains_on_its_clusters_again(make_adata, train, tmp_path):
    small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
    adata = make_adata(60)
    PLKD.setup_anndata(adata, None)
    train(PLKD(adata, **small), 1).save(tmp_path / "m")
    again = make_adata(60)[::-1].copy()
    model = PLKD.load(tmp_path / "m", adata=again)
    np.testing.assert_array_equal(codes(again), codes(adata)[::-1])
    train(model, 1)


def test_a_modality_without_a_clustered_cell_is_said(make_mdata, caplog):
    paired = make_mdata(60, modalities=("rna", "prot"))
    apart = MuData(
        {
            "rna": paired["rna"][:40].copy(),
            "prot": paired["prot"][~paired["prot"].obs_names.isin(paired["rna"].obs_names[:40])].copy(),
        }
    )
    with caplog.at_level(logging.WARNING, "plkd"):
        PLKD.setup_mudata(apart, None)
    assert "No cell with prot is in a cluster" in caplog.text
