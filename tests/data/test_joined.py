"""Cells behind a reference are read and scaled as they would be alone."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, JoinedCells, ModalitySpec, open_query
from plkd.inference import to_device
from plkd.nn import make_scaling, scale_batch
from plkd.nn._sparse import SparseRows, added, dense


def specs_of(adata):
    return [ModalitySpec("rna", tuple(map(str, adata.var_names)))]


def scaling_of(adata):
    share = np.asarray(adata.X.sum(axis=0)).ravel()
    return {"rna": make_scaling("rna", adata.n_vars, {"gene_share": share / share.sum()})}


@pytest.fixture
def sides(make_adata):
    """A reference, and a query with fewer genes in another order."""
    ref, query = make_adata(40), make_adata(20, seed=1)
    genes = np.random.default_rng(0).permutation(60)[:45]
    return ref, query[:, genes].copy()


@pytest.mark.parametrize("ref_fmt", ["csr", "dense"])
@pytest.mark.parametrize("query_fmt", ["csr", "dense"])
@pytest.mark.parametrize("logged", [False, True])
def test_each_cell_is_scaled_as_it_would_be_alone(sides, ref_fmt, query_fmt, logged):
    ref, query = sides
    # Thin enough to be held as what is not zero.
    for seed, adata in enumerate((ref, query)):
        kept = np.random.default_rng(seed).random(adata.shape) < 0.3
        adata.X = sparse.csr_matrix(np.where(kept, adata.X.toarray(), 0))
    if logged:
        query.X = query.X.multiply(1.37).log1p().tocsr()
    scaling, specs = scaling_of(ref), specs_of(ref)
    if ref_fmt == "dense":
        ref.X = ref.X.toarray()
    if query_fmt == "dense":
        query.X = query.X.toarray()
    sides = [open_query(adata, specs) for adata in (ref, query)]
    joined = JoinedCells(*sides)
    index = np.array([45, 3, 59, 0, 40, 39])
    batch = to_device(joined[index], torch.device("cpu"))
    values = scale_batch(scaling, batch)["rna"]
    assert isinstance(values, SparseRows) == (ref_fmt == query_fmt == "csr")
    alone = [dense(scale_batch(scaling, cells[np.arange(cells.n_obs)])["rna"]) for cells in sides]
    torch.testing.assert_close(dense(values), torch.cat(alone)[index], rtol=1e-6, atol=1e-6)
    assert (dense(values)[0] > 0).any()
    assert batch["present"]["rna"].all()


def test_parts_keep_their_labels_and_batches_and_nothing_is_read_of_those_not_asked_for(sides):
    ref, query = (open_query(adata, specs_of(sides[0])) for adata in sides)
    labelled = Cells(ref.modalities, 40, labels=np.arange(40) % 3, batch=np.arange(40) % 2)
    joined = JoinedCells(labelled, query, labelled)
    assert len(joined) == 100
    assert (joined.labels == np.r_[np.arange(40) % 3, np.full(20, -1), np.arange(40) % 3]).all()
    assert (joined.batch == np.r_[np.arange(40) % 2, np.zeros(20), np.arange(40) % 2]).all()
    assert joined.measured().all()
    assert joined.relabelled(np.zeros(100)).spooled().labels.sum() == 0
    last = joined[np.array([61, 0])]
    assert len(last["others"]) == 1
    torch.testing.assert_close(dense(last["others"][0]["x"]["rna"])[0], dense(ref[[1]]["x"]["rna"])[0])
    again = JoinedCells(JoinedCells(labelled, query), labelled)
    assert (again.labels == joined.labels).all()
    for one, other in zip(again[np.array([50, 61])]["others"], joined[np.array([50, 61])]["others"], strict=True):
        assert torch.equal(dense(one["x"]["rna"]), dense(other["x"]["rna"]))
    only_reference = joined[np.arange(40)]
    assert only_reference["others"] == []
    torch.testing.assert_close(dense(only_reference["x"]["rna"]), dense(ref[np.arange(40)]["x"]["rna"]))


def test_a_query_on_disk_is_read_in_any_order_once_spooled(sides, tmp_path):
    ref, query = sides
    query.write_h5ad(tmp_path / "query.h5ad")
    backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    specs = specs_of(ref)
    joined = JoinedCells(open_query(ref, specs), open_query(backed, specs))
    assert not joined.in_memory
    index = np.random.default_rng(0).permutation(60)
    in_memory = JoinedCells(open_query(ref, specs), open_query(query, specs))
    assert in_memory.in_memory
    for own in (joined, joined.spooled()):
        batch, truth = own[index], in_memory[index]
        torch.testing.assert_close(dense(batch["others"][0]["x"]["rna"]), dense(truth["others"][0]["x"]["rna"]))
    backed.file.close()


def test_a_modality_that_the_query_lacks_is_absent_there_alone(make_mdata):
    from plkd import PLKD

    mdata = make_mdata(30)
    PLKD.setup_mudata(mdata, "cell_type", batch_key="batch")
    model = PLKD(mdata, teacher_kwargs={"width": 8, "n_heads": 2, "depth": 1})
    query = make_mdata(10, modalities=("rna", "prot"), seed=1)
    sides = [open_query(one, model._specs) for one in (mdata, query)]
    joined = JoinedCells(*sides)
    assert (joined.measured() == np.r_[np.ones((30, 3)), np.tile([1, 1, 0], (10, 1))]).all()
    index = np.array([35, 2, 31])
    assert dense(joined.only("protein")[index]["x"]["rna"]).sum() == 0
    batch = joined[index]
    assert batch["present"]["atac"].tolist() == [False, True, False]
    values = model.module.scale(batch)
    alone = [model.module.scale(cells[np.arange(cells.n_obs)]) for cells in sides]
    for kind, own in values.items():
        truth = torch.cat([dense(side[kind]) for side in alone])[index]
        torch.testing.assert_close(dense(own), truth, rtol=1e-5, atol=1e-5)


def test_adding_keeps_rows_in_order():
    x = SparseRows(torch.tensor([1.0, 2.0]), torch.tensor([0, 2]), torch.tensor([0, 2]), (3, 3))
    other = SparseRows(torch.tensor([3.0, 4.0]), torch.tensor([1, 0]), torch.tensor([1, 1]), (3, 3))
    total = added(x, other)
    assert isinstance(total, SparseRows)
    assert (total.rows.diff() >= 0).all()
    assert total.to_dense().tolist() == [[1, 0, 0], [4, 3, 0], [0, 0, 2]]
    assert torch.equal(added(x, other.to_dense()), total.to_dense())
