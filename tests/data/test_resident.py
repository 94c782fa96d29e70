"""Counts that lie on a device give the mini-batches that are read and moved otherwise."""

from __future__ import annotations

import pickle

import anndata as ad
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.data import Cells, JoinedCells, Modality, Rows, lying_on, open_query
from plkd.data._resident import ResidentRows
from plkd.inference import to_device
from plkd.nn import SparseRows, dense

CPU = torch.device("cpu")


def of_matrix(matrix, **kwargs) -> Cells:
    n_obs = len(kwargs["position"]) if "position" in kwargs else matrix.shape[0]
    return Cells({"rna": Modality(Rows(matrix, kwargs.pop("columns", None)), **kwargs)}, n_obs)


@given(
    seed=st.integers(0, 1000), density=st.sampled_from([0.0, 0.1, 0.9]), index=st.lists(st.integers(0, 11), max_size=20)
)
@settings(max_examples=60, deadline=None)
def test_any_cells_in_any_order_with_cells_that_were_not_measured(seed, density, index):
    matrix = sparse.random(9, 7, density, format="csr", dtype=np.float32, random_state=seed)
    position = np.random.default_rng(seed).permutation([*range(9), -1, -1, -1])
    cells = of_matrix(matrix, position=position)
    found, truth = (own[np.array(index, dtype=np.int64)] for own in (cells.brought_to(CPU), cells))
    expected = np.vstack([matrix.toarray(), np.zeros((1, 7))])[position[index]] if index else np.zeros((0, 7))
    np.testing.assert_array_equal(dense(found["x"]["rna"]), expected)
    assert type(found["x"]["rna"]) is type(truth["x"]["rna"])
    assert found["present"]["rna"].tolist() == (position[index] >= 0).tolist()
    if isinstance(truth["x"]["rna"], SparseRows):
        for name in ("values", "columns", "rows"):
            own, other = (getattr(batch["x"]["rna"], name) for batch in (found, truth))
            assert own.dtype == other.dtype
            torch.testing.assert_close(own, other)


def test_columns_in_the_models_order_and_entries_of_one_place_added_up():
    doubled = sparse.csr_matrix((np.ones(3), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    cells = of_matrix(doubled, columns=np.array([1, -1, 0])).brought_to(CPU)
    np.testing.assert_array_equal(dense(cells[[0, 1]]["x"]["rna"]), [[2, 0, 0], [0, 0, 1]])


def test_more_cells_than_are_read_at_a_time():
    matrix = sparse.random(9000, 4, 0.2, format="csr", dtype=np.float32, random_state=0)
    index = np.random.default_rng(0).permutation(9000)[:500]
    np.testing.assert_array_equal(dense(of_matrix(matrix).brought_to(CPU)[index]["x"]["rna"]), matrix[index].toarray())


def test_a_matrix_on_disk_and_a_query_behind_the_reference(make_adata, tmp_path):
    from plkd import PLKD

    ref, query = make_adata(40), make_adata(20, seed=1)
    PLKD.setup_anndata(ref, "cell_type", batch_key="batch")
    specs = PLKD(ref)._specs
    query.write_h5ad(tmp_path / "query.h5ad")
    backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    joined = JoinedCells(open_query(ref, specs), open_query(backed, specs)).spooled().relabelled(np.arange(60))
    brought = joined.brought_to(CPU)
    index = np.random.default_rng(0).permutation(60)
    found, truth = brought[index], joined[index]
    torch.testing.assert_close(dense(found["x"]["rna"]), dense(truth["x"]["rna"]))
    torch.testing.assert_close(dense(found["others"][0]["x"]["rna"]), dense(truth["others"][0]["x"]["rna"]))
    torch.testing.assert_close(found["labels"], torch.from_numpy(index))
    backed.file.close()


def test_other_rows_of_the_same_cells_are_not_taken_from_the_device():
    matrix = sparse.csr_matrix(np.diag([1.0, 2, 3, 4]))
    some = of_matrix(matrix).brought_to(CPU).loaded(np.array([2, 1]))
    np.testing.assert_array_equal(dense(some[[0, 1]]["x"]["rna"]), matrix.toarray()[[2, 1]])


def test_bad_values_are_refused_by_their_place():
    cells = of_matrix(sparse.csr_matrix([[1.0, -2.0]]), where="adata.layers['counts']")
    with pytest.raises(ValueError, match=r"adata\.layers\['counts'\]"):
        cells.brought_to(CPU)


def test_what_takes_more_than_a_quarter_of_the_free_memory_stays(monkeypatch):
    matrix = sparse.csr_matrix(np.ones((10, 10), dtype=np.float32))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * 800 - 1, 10**9))
    # At a quarter it would be brought, and asks for a GPU.
    cells = of_matrix(matrix).brought_to(torch.device("cuda"))
    assert cells.modalities["rna"].rows.resident is None
    assert not dense(cells[[0]]["x"]["rna"]).is_cuda


def test_a_file_of_cells_holds_nothing_of_a_device():
    rows = of_matrix(sparse.csr_matrix(np.eye(3))).brought_to(CPU).modalities["rna"].rows
    assert rows.resident is not None
    assert pickle.loads(pickle.dumps(rows)).resident is None


@pytest.mark.parametrize("joined", [False, True])
def test_counts_lie_on_a_device_no_longer_than_asked_whoever_holds_the_cells(joined):
    cells = of_matrix(sparse.csr_matrix(np.eye(3)))
    cells = JoinedCells(cells, of_matrix(sparse.csr_matrix(np.eye(3) * 2))) if joined else cells
    held = []

    def cut_off():
        with lying_on(cells, CPU) as near:
            held.extend([near, near.relabelled(near.labels)])
            assert held[1].modalities["rna"].rows.resident is not None
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        cut_off()
    for own in held:
        rows = [own.modalities["rna"].rows, *(part.modalities["rna"].rows for part in getattr(own, "parts", ()))]
        assert all(each.resident is None for each in rows)
        torch.testing.assert_close(dense(own[[2, 0]]["x"]["rna"]), dense(cells[[2, 0]]["x"]["rna"]))
    with lying_on(cells, None) as near:
        assert near is cells


def test_training_makes_mini_batches_of_what_lies_there(make_adata, make_model, train, monkeypatch):
    models, taken = [], []
    take = ResidentRows.take
    monkeypatch.setattr(ResidentRows, "take", lambda self, index: taken.append(len(index)) or take(self, index))
    for device in (None, CPU):
        monkeypatch.setattr("plkd.model._train.gpu_for_counts", lambda *_, own=device: own)
        torch.manual_seed(0)
        models.append(train(make_model(make_adata(90)), 2))
        if device is None:
            assert not taken
    assert taken
    states = [model.module.state_dict() for model in models]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    loader = models[1].trainer.datamodule
    assert loader.cells.modalities["rna"].rows.resident is None
    assert models[1].trainer.train_dataloader.dataset.modalities["rna"].rows.resident is None


@pytest.mark.gpu
def test_on_a_gpu_nothing_is_left_to_move(make_adata):
    from plkd import PLKD

    ref = make_adata(40)
    PLKD.setup_anndata(ref, "cell_type", batch_key="batch")
    device = torch.device("cuda", 0)
    cells = open_query(ref, PLKD(ref)._specs)
    index = np.random.default_rng(0).permutation(40)
    found, truth = cells.brought_to(device)[index], to_device(cells[index], device)
    assert found["x"]["rna"].device == device
    torch.testing.assert_close(dense(found["x"]["rna"]), dense(truth["x"]["rna"]))
