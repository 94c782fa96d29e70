"""Gains are those with the least cross-entropy on held-out cells."""

from __future__ import annotations

import numpy as np
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


def test_no_other_gains_on_the_grid_are_better():
    gain, logits, labels = setting()
    set_gains(gain, logits, labels, np.ones((N, 2), dtype=bool), np.arange(N), ["rna", "atac"])

    def loss(values):
        gain.copy_(torch.tensor(values))
        return -log_softmax(logits(np.arange(N)), axis=1)[np.arange(N), labels].mean()

    chosen = loss(gain.tolist())
    grid = [0.0, 0.1, 0.25, 0.5, 1.0]
    assert chosen <= min(loss(pair) for pair in [*((1.0, g) for g in grid), *((g, 1.0) for g in grid)]) + 1e-9


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
