"""Peers that read the query's counts: they reach reference cells where batches lie apart, and survive unlucky numbers of cells."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.annotation import joint_peers
from benchmarks.annotation.peers import trained
from benchmarks.annotation.tasks import Spec, folds

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
