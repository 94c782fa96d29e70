"""Gene weights against a loop over labels and genes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd.data import Cells, Modality, Rows
from plkd.nn import RNAScaling
from plkd.train import label_weights


@pytest.fixture
def reference():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 8, 3])
    counts = rng.poisson(2.0, size=(41, 6)).astype(np.float32)
    counts[labels == 1, 2] += 20
    counts[:, 5] = 0
    return Cells({"rna": Modality(Rows(counts))}, 41, labels=labels), counts, labels


def by_hand(counts: np.ndarray, labels: np.ndarray, power: float) -> np.ndarray:
    x = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    means = np.array([x[labels == label].mean(axis=0) for label in np.unique(labels)])
    weights = means.std(axis=0) ** power
    return weights * np.sqrt(x.var(axis=0).sum() / (weights**2 * x.var(axis=0)).sum())


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_weights_are_the_spread_of_the_label_means(reference, power):
    cells, counts, labels = reference
    found = label_weights(cells, np.arange(41), "rna", RNAScaling(torch.full((6,), 1 / 6)), power=power)
    np.testing.assert_allclose(found, by_hand(counts, labels, power), rtol=1e-4, atol=1e-6)
    assert found[5] == 0


def test_held_out_cells_take_no_part(reference):
    cells, counts, labels = reference
    train = np.setdiff1d(np.arange(41), [0, 31, 40])
    found = label_weights(cells, train, "rna", RNAScaling(torch.full((6,), 1 / 6)), power=1.0)
    np.testing.assert_allclose(found, by_hand(counts[train], labels[train], 1.0), rtol=1e-4, atol=1e-6)


def test_weights_in_force_are_neither_used_nor_changed(reference):
    cells, counts, labels = reference
    scaling = RNAScaling(torch.full((6,), 1 / 6))
    scaling.weight.copy_(torch.arange(6.0))
    found = label_weights(cells, np.arange(41), "rna", scaling, power=1.0)
    np.testing.assert_allclose(found, by_hand(counts, labels, 1.0), rtol=1e-4, atol=1e-6)
    assert torch.equal(scaling.weight, torch.arange(6.0))


def test_genes_that_differ_nowhere_are_all_alike():
    cells = Cells({"rna": Modality(Rows(np.ones((4, 3), dtype=np.float32)))}, 4, labels=np.array([0, 0, 1, 1]))
    found = label_weights(cells, np.arange(4), "rna", RNAScaling(torch.full((3,), 1 / 3)), power=1.0)
    np.testing.assert_array_equal(found, np.ones(3))
