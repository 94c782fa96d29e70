"""Gains are those with the least cross-entropy on held-out cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from plkd.train._gains import set_gains

N = 400


def setting(seed=0):
    """Two experts' logits: one that knows, one that is sure and wrong half of the time; a network that adds them up."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, N)
    knows, noise = np.eye(3)[labels] * 3, np.eye(3)[rng.integers(0, 3, N)] * 6
    gain = torch.ones(2)

    def logits(cells):
        weights = gain.numpy()
        return weights[0] * knows[cells] + weights[1] * noise[cells]

    return gain, logits, labels


def test_a_modality_that_misleads_on_held_out_cells_is_turned_down():
    gain, logits, labels = setting()
    set_gains(gain, logits, labels, np.ones((N, 2), dtype=bool), np.arange(N), ["rna", "atac"])
    assert gain[0] == 1
    assert gain[1] < 0.5


def test_cross_entropy_falls_by_more_than_chance():
    gain, logits, labels = setting()

    def losses():
        return -log_softmax(logits(np.arange(N)), axis=1)[np.arange(N), labels]

    before = losses()
    set_gains(gain, logits, labels, np.ones((N, 2), dtype=bool), np.arange(N), ["rna", "atac"])
    gained = before - losses()
    assert gained.mean() > gained.std() / np.sqrt(N)


def test_gains_stay_where_nothing_is_better_than_by_chance():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, N)
    gain = torch.ones(2)
    same = np.eye(3)[labels] * 2 + rng.normal(size=(N, 3))

    def logits(cells):
        # Two modalities that say the same: their mean, whatever their gains.
        return same[cells] + 1e-3 * float(gain[1]) * rng.normal(size=(len(cells), 3))

    set_gains(gain, logits, labels, np.ones((N, 2), dtype=bool), np.arange(N), ["rna", "atac"])
    assert gain.tolist() == [1, 1]


def test_cells_of_rare_labels_weigh_more():
    labels = np.repeat([0, 1], [360, 40])
    gain = torch.ones(2)
    sure = np.eye(2)[labels]
    # The second modality always says the frequent label.
    frequent = np.tile([3.0, 0.0], (N, 1))

    def logits(cells):
        return (gain[0].item() * sure + gain[1].item() * frequent)[cells]

    def loss(second, weights):
        chances = log_softmax(sure + second * frequent, axis=1)[np.arange(N), labels]
        return -(weights * chances).sum() / weights.sum()

    weights = np.where(labels == 0, 360, 40) ** -0.5
    # Cell by cell the second modality is worth more than by root-inverse weights.
    assert loss(0.7, np.ones(N)) < loss(0.3, np.ones(N))
    assert loss(0.3, weights) < loss(0.7, weights)
    set_gains(gain, logits, labels, np.ones((N, 2), dtype=bool), np.arange(N), ["rna", "atac"])
    tried = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    assert gain[1].item() == pytest.approx(min(tried, key=lambda second: loss(second, weights)))


def test_only_held_out_cells_of_several_modalities_decide():
    gain, logits, labels = setting()
    seen = []
    measured = np.ones((N, 2), dtype=bool)
    measured[100:, 1] = False
    set_gains(gain, lambda cells: seen.append(cells) or logits(cells), labels, measured, np.arange(50, N), ["a", "b"])
    assert all(set(cells) <= set(range(50, 100)) for cells in seen)


def test_few_cells_or_one_modality_decide_nothing():
    gain, logits, labels = setting()
    set_gains(gain, logits, labels, np.ones((N, 2), dtype=bool), np.arange(10), ["a", "b"])
    assert gain.tolist() == [1, 1]
    alone = torch.ones(1)
    set_gains(alone, logits, labels, np.ones((N, 1), dtype=bool), np.arange(N), ["a"])
    assert alone.tolist() == [1]
