"""Mini-batches: a dict by modality with a presence mask, zeros only where a cell was not measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows

RNA = np.arange(1, 13, dtype=np.float64).reshape(4, 3)
# Measured in three of the four cells, rows in another order than the cells.
PROTEIN = np.array([[10, 20], [30, 40], [50, 60]], dtype=np.int64)
POSITION = np.array([2, -1, 0, 1])


@pytest.fixture
def cells():
    return Cells(
        {
            "rna": Modality(Rows(sparse.csr_matrix(RNA)), "log"),
            "protein": Modality(Rows(PROTEIN), "counts", np.array([True, False]), "mdata['prot'].X", POSITION),
        },
        4,
        labels=np.array([1, 0, -1, 2]),
        batch=np.array([0, 0, 1, 1]),
    )


def test_a_mini_batch_holds_everything_by_modality_in_the_order_asked_for(cells):
    batch = cells[[3, 0]]
    assert set(batch) == {"x", "present", "scale", "labels", "batch", "index"}
    np.testing.assert_array_equal(batch["x"]["rna"], RNA[[3, 0]])
    np.testing.assert_array_equal(batch["x"]["protein"], [[30, 40], [50, 60]])
    assert batch["scale"]["rna"] == ("log", None)
    scale, found = batch["scale"]["protein"]
    assert scale == "counts"
    assert found.tolist() == [True, False]
    assert batch["labels"].tolist() == [2, 1]
    assert batch["batch"].tolist() == [1, 0]
    assert batch["index"].tolist() == [3, 0]
    assert all(values.dtype == torch.float32 for values in batch["x"].values())
    assert all(batch[key].dtype == torch.int64 for key in ("labels", "batch", "index"))
    assert all(mask.dtype == torch.bool and mask.all() for mask in batch["present"].values())


def test_a_cell_that_was_not_measured_is_zero_and_marked_absent(cells):
    batch = cells[np.array([1, 0, 1, 2])]
    assert batch["present"]["protein"].tolist() == [False, True, False, True]
    assert batch["present"]["rna"].all()
    np.testing.assert_array_equal(batch["x"]["protein"], [[0, 0], [50, 60], [0, 0], [10, 20]])
    np.testing.assert_array_equal(batch["x"]["rna"], RNA[[1, 0, 1, 2]])


def test_a_mini_batch_in_which_nothing_was_measured(cells):
    batch = cells[[1]]
    assert batch["x"]["protein"].shape == (1, 2)
    assert not batch["x"]["protein"].any()
    assert not batch["present"]["protein"].any()


def test_without_labels_and_batches_all_are_unlabelled_and_of_one_batch():
    batch = Cells({"rna": Modality(Rows(RNA))}, 4)[[0, 1]]
    assert batch["labels"].tolist() == [-1, -1]
    assert batch["batch"].tolist() == [0, 0]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
@pytest.mark.parametrize("indices", [None, [2, 0, 3, 3], []])
def test_in_order_yields_every_cell_once_in_order(cells, indices, batch_size):
    wanted = list(range(4)) if indices is None else indices
    batches = list(cells.in_order(indices, batch_size=batch_size))
    assert [i for batch in batches for i in batch["index"].tolist()] == wanted
    assert [len(batch["index"]) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for batch in batches:
        np.testing.assert_array_equal(batch["x"]["rna"], RNA[batch["index"].numpy()])


def test_length_is_the_number_of_cells(cells):
    assert len(cells) == 4


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN or infinite"), (-1.0, "negative")])
def test_bad_values_that_sampling_missed_are_refused_when_read(bad, word):
    values = RNA.copy()
    values[2, 1] = bad
    cells = Cells({"rna": Modality(Rows(values), where="adata.layers['c']")}, 4)
    cells[[0, 1, 3]]
    with pytest.raises(ValueError, match=rf"adata\.layers\['c'\] holds .*{word}"):
        cells[[2]]


def test_serves_torchs_loader_with_whole_batches_as_indices(cells):
    loader = torch.utils.data.DataLoader(cells, sampler=[[0, 2], [3]], batch_size=None)
    assert [batch["index"].tolist() for batch in loader] == [[0, 2], [3]]
