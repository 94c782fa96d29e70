"""Prediction sets hold the right label as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from plkd.confidence import prediction_sets, set_thresholds


def simulated(n_obs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of three labels and the labels; the second one is the hardest and too sure of itself."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, size=n_obs, p=[0.6, 0.3, 0.1])
    logits = rng.normal(0, 1.5, size=(n_obs, 3))
    logits[np.arange(n_obs), codes] += np.array([3.0, 0.5, 1.5])[codes]
    return softmax(logits, axis=1), codes


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_coverage_of_each_label_is_as_stated(coverage):
    held, codes = simulated(6000, 0)
    thresholds = set_thresholds(held[np.arange(6000), codes], codes, 3, coverage)
    query, truth = simulated(6000, 1)
    # By the thresholds alone: that the called label always belongs adds to the coverage.
    inside = query[np.arange(6000), truth] >= thresholds[truth]
    for label in range(3):
        n = (truth == label).sum()
        # Twice the variance of a binomial: thresholds are estimated from as many cells.
        low, high = binom.interval(0.9999, n, coverage)
        middle = n * coverage
        assert middle - 1.5 * (middle - low) <= inside[truth == label].sum() <= middle + 1.5 * (high - middle)
    sets = prediction_sets(query, thresholds)
    assert (sets[np.arange(6000), truth] >= inside).all()


def test_threshold_is_the_kth_largest_by_hand():
    own = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    # k = ceil(10 x 0.9) = 9: the least; k = ceil(10 x 0.75) = 8.
    assert set_thresholds(own, np.zeros(9, dtype=int), 1, 0.9) == [0.1]
    assert set_thresholds(own, np.zeros(9, dtype=int), 1, 0.75) == [0.2]


def test_labels_with_too_few_cells_take_the_threshold_of_all():
    own = np.r_[np.linspace(0.5, 0.99, 98), 0.01, 0.02]
    codes = np.r_[np.zeros(98, dtype=int), [1, 1]]
    found = set_thresholds(own, codes, 3, 0.9)
    together = np.sort(own)[100 - int(np.ceil(101 * 0.9))]
    np.testing.assert_array_equal(found[1:], [together, together])
    assert found[0] == np.sort(own[:98])[98 - int(np.ceil(99 * 0.9))]


def test_too_few_cells_in_all_put_every_label_into_every_set():
    thresholds = set_thresholds(np.array([0.9, 0.8]), np.array([0, 1]), 2, 0.9)
    assert prediction_sets(np.array([[0.99, 0.01]]), thresholds).all()


def test_the_called_label_belongs_always():
    found = prediction_sets(np.array([[0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]), np.array([0.9, 0.3, 0.9]))
    np.testing.assert_array_equal(found, [[True, True, False], [False, False, True]])


def test_larger_coverage_never_shrinks_a_set():
    held, codes = simulated(500, 2)
    query, _ = simulated(100, 3)
    own = held[np.arange(500), codes]
    sizes = [prediction_sets(query, set_thresholds(own, codes, 3, c)).sum(axis=1) for c in (0.5, 0.8, 0.9, 0.99)]
    assert all((b >= a).all() for a, b in zip(sizes, sizes[1:], strict=False))
