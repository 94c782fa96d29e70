"""Peers that read the query's counts: they reach reference cells where batches lie apart, and survive unlucky numbers of cells."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.annotation import joint_peers, peers
from benchmarks.annotation.peers import trained
from benchmarks.annotation.tasks import Spec, Task, folds

MODALITIES = {"rna_layer": "rna", "protein_layer": "protein"}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Numba, with which scanpy finds neighbours, sets torch's threads too, and with them the last digits of all training after this."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


class Model:
    """Stops as batch norm does where a mini-batch is left with one of 257 cells."""

    def __init__(self):
        self.told = None

    def train(self, batch_size, **kwargs):
        if 257 % batch_size == 1:
            raise ValueError("Expected more than 1 value per channel when training, got input size [1, 128]")
        self.told = batch_size, kwargs


def test_mini_batches_leave_no_single_cell():
    batch_size, kwargs = trained(Model, max_epochs=3).told
    assert batch_size == 127
    assert kwargs["max_epochs"] == 3


def test_neighbours_are_asked_where_there_are_fewer_than_fifteen(make_adata):
    adata = make_adata(90)
    query = adata[6:].copy()
    truth = query.obs.pop("cell_type").to_numpy().astype(str)
    task = Task(Spec("own", "random", ()), "f", adata[:6].copy(), query, truth)
    found = peers.neighbours_on_components(task, 0)["kNN-pca50"]
    # All six are the neighbours of each cell.
    shares = adata.obs["cell_type"].iloc[:6].value_counts(normalize=True)[found.probabilities.columns]
    np.testing.assert_allclose(found.probabilities.to_numpy(), np.tile(shares, (84, 1)))


def test_celltypist_is_given_the_seed(make_adata, monkeypatch):
    adata = make_adata(30)
    asked = []

    def job(command, **kwargs):
        asked.append(command)
        np.savez(
            command[5], names=["b", "a"], probabilities=np.tile([0.2, 0.8], (30, 1)), seconds=[1.0, 2.0], peak_mib=3.0
        )

    monkeypatch.setenv("CELLTYPIST_PYTHON", "own-python")
    monkeypatch.setattr(peers.subprocess, "run", job)
    task = Task(Spec("own", "random", ()), "f", adata, adata.copy(), adata.obs["cell_type"].to_numpy())
    found = peers.celltypist(task, 7)["CellTypist"]
    assert asked[0][:3] == ["own-python", "-m", "benchmarks.annotation.celltypist_job"]
    assert asked[0][6:] == ["cell_type", "7"]
    assert set(found.labels) == {"a"}


def test_other_errors_are_not_hidden():
    def fails(**kwargs):
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        trained(lambda: SimpleNamespace(train=fails))


@pytest.mark.slow
def test_weighted_neighbours_are_reference_cells(monkeypatch, tmp_path):
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    told = {"n_obs": 400, "n_labels": 4, "n_batches": 2, "n_genes": 300, "n_proteins": 20, "seed": 0}
    told |= {"modalities": ["rna", "protein"], "label_strength": 2.0, "batch_strength": 1.0}
    spec = Spec("own", "held-batches", ("",), "label", simulate=told, modalities=MODALITIES, held_batches=("batch_1",))
    (task,) = folds(spec)
    found = joint_peers.weighted_neighbours(task, 0)["wnn"]
    assert np.mean(found.labels == task.truth) > 0.95
    votes = found.probabilities.to_numpy()
    np.testing.assert_allclose(votes.sum(axis=1), 1)
    # Each of so many neighbours has one vote.
    np.testing.assert_allclose(votes * joint_peers.N_NEIGHBOURS, np.round(votes * joint_peers.N_NEIGHBOURS), atol=1e-9)
