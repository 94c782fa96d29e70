"""Gene weights against a loop over labels and genes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd.data import Cells, Modality, Rows
from plkd.nn import ATACScaling, RNAScaling
from plkd.train import feature_weights
from plkd.train._weights import label_spread


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
    found = feature_weights(cells, np.arange(41), {"rna": RNAScaling(torch.full((6,), 1 / 6))}, power=power)["rna"]
    np.testing.assert_allclose(found, by_hand(counts, labels, power), rtol=1e-4, atol=1e-6)
    assert found[5] == 0


def test_held_out_cells_take_no_part(reference):
    cells, counts, labels = reference
    train = np.setdiff1d(np.arange(41), [0, 31, 40])
    found = feature_weights(cells, train, {"rna": RNAScaling(torch.full((6,), 1 / 6))}, power=1.0)["rna"]
    np.testing.assert_allclose(found, by_hand(counts[train], labels[train], 1.0), rtol=1e-4, atol=1e-6)


def test_weights_in_force_are_neither_used_nor_changed(reference):
    cells, counts, labels = reference
    scaling = RNAScaling(torch.full((6,), 1 / 6))
    scaling.weight.copy_(torch.arange(6.0))
    found = feature_weights(cells, np.arange(41), {"rna": scaling}, power=1.0)["rna"]
    np.testing.assert_allclose(found, by_hand(counts, labels, 1.0), rtol=1e-4, atol=1e-6)
    assert torch.equal(scaling.weight, torch.arange(6.0))


def test_genes_that_differ_nowhere_are_all_alike():
    cells = Cells({"rna": Modality(Rows(np.ones((4, 3), dtype=np.float32)))}, 4, labels=np.array([0, 0, 1, 1]))
    found = feature_weights(cells, np.arange(4), {"rna": RNAScaling(torch.full((3,), 1 / 3))}, power=1.0)["rna"]
    np.testing.assert_array_equal(found, np.ones(3))


def by_anova(x: np.ndarray, labels: np.ndarray) -> float:
    """Share of variance between labels over features, less its mean under shuffled labels, relative to what is left."""
    between = sum(
        (labels == label).mean() * (x[labels == label].mean(axis=0) - x.mean(axis=0)) ** 2 for label in set(labels)
    )
    within = x.var(axis=0) - between
    chance = within * (len(set(labels)) - 1) / (len(labels) - len(set(labels)))
    return float(np.maximum(between - chance, 0).sum() / x.var(axis=0).sum())


def test_explained_share_is_that_of_a_one_way_analysis_of_variance(reference):
    cells, counts, labels = reference
    spread = label_spread(cells, np.arange(41), "rna", RNAScaling(torch.full((6,), 1 / 6)))
    x = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    assert spread.explained == pytest.approx(by_anova(x, labels), rel=1e-4)


def test_labels_that_mean_nothing_explain_next_to_nothing():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, size=(900, 40)).astype(np.float32)
    cells = Cells({"rna": Modality(Rows(counts))}, 900, labels=rng.integers(0, 30, 900))
    spread = label_spread(cells, np.arange(900), "rna", RNAScaling(torch.full((40,), 1 / 40)))
    assert spread.explained < 0.01


@pytest.fixture
def noisy_peaks(reference):
    """A second modality of many noisy features, measured in the even cells only."""
    cells, _, labels = reference
    rng = np.random.default_rng(1)
    peaks = (rng.random((21, 300)) < np.where(labels[::2, None] == 0, 0.3, 0.25)).astype(np.float32)
    position = np.where(np.arange(41) % 2 == 0, np.arange(41) // 2, -1)
    modalities = {**cells.modalities, "atac": Modality(Rows(peaks), position=position)}
    return Cells(modalities, 41, labels=labels), peaks, labels[::2]


def test_a_modality_is_held_to_its_share_of_what_labels_explain(noisy_peaks, reference):
    cells, peaks, labels = noisy_peaks
    scaling = {"rna": RNAScaling(torch.full((6,), 1 / 6)), "atac": ATACScaling(np.full(300, 1 / 300), np.ones(300))}
    found = feature_weights(cells, np.arange(41), scaling, power=1.0)
    _, counts, all_labels = reference
    np.testing.assert_allclose(found["rna"], by_hand(counts, all_labels, 1.0), rtol=1e-4, atol=1e-6)
    rna = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    atac = np.log1p(peaks / peaks.sum(axis=1, keepdims=True) * 1e4)
    allowed = rna.var(axis=0).sum() * by_anova(atac, labels) / by_anova(rna, all_labels)
    assert allowed < atac.var(axis=0).sum()
    assert (atac * found["atac"]).var(axis=0).sum() == pytest.approx(allowed, rel=1e-3)


def test_a_modality_that_no_training_cell_has_weighs_1(noisy_peaks):
    cells, _, _ = noisy_peaks
    scaling = {"rna": RNAScaling(torch.full((6,), 1 / 6)), "atac": ATACScaling(np.full(300, 1 / 300), np.ones(300))}
    found = feature_weights(cells, np.array([1, 3, 31, 33, 39]), scaling, power=1.0)
    np.testing.assert_array_equal(found["atac"], np.ones(300))
