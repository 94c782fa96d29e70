"""Labels that cells of the same label contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.confidence import doubtful_labels, fit_calibration


def simulated(n_obs: int, wrong: float, *, spread: float = 0.5, seed: int = 0):
    """Return logits that tell the true label, labels some of which are wrong, and which ones are."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n_obs)
    logits = rng.normal(0, spread, size=(n_obs, 4)) + 3 * np.eye(4)[truth]
    codes, is_wrong = truth.copy(), rng.random(n_obs) < wrong
    codes[is_wrong] = (truth[is_wrong] + rng.integers(1, 4, size=is_wrong.sum())) % 4
    return logits, codes, is_wrong


def test_wrong_labels_are_found_and_hardly_any_right_one():
    logits, codes, is_wrong = simulated(2000, 0.2)
    doubted = doubtful_labels(logits, codes)
    assert doubted[is_wrong].mean() > 0.5
    assert doubted[~is_wrong].mean() < 0.01


def test_right_labels_are_not_doubted():
    logits, codes, _ = simulated(2000, 0.0)
    assert doubtful_labels(logits, codes).mean() < 0.002


@given(seed=st.integers(0, 200), wrong=st.sampled_from([0.1, 0.4, 0.8]), spread=st.sampled_from([0.5, 2.0, 5.0]))
@settings(max_examples=40, deadline=None)
def test_doubted_cells_are_those_of_the_rule(seed, wrong, spread):
    """A loop over cells with the rule in words; labels that would lose too many are spared."""
    logits, codes, _ = simulated(60, wrong, spread=spread, seed=seed)
    p = fit_calibration(logits, codes, allowance=0.0).probabilities(logits)
    usual = [p[codes == label, label].mean() if (codes == label).any() else 1.0 for label in range(4)]
    expected = []
    for own, row in zip(codes, p, strict=True):
        called = row.argmax()
        expected.append(called != own and row[called] >= usual[called] - 1e-9 and row[called] >= 3 * row[own])
    expected = np.array(expected)
    for label in range(4):
        left = (codes == label).sum() - expected[codes == label].sum()
        if left < 3 or left < 0.2 * (codes == label).sum():
            expected[codes == label] = False
    np.testing.assert_array_equal(doubtful_labels(logits, codes), expected)


@pytest.mark.parametrize("n_right", [0, 2, 3])
def test_rare_labels_are_spared_where_hardly_any_cell_would_be_left(n_right):
    logits, codes, _ = simulated(300, 0.0)
    own = np.flatnonzero(codes == 3)
    codes[codes == 3] = 0
    codes[own] = np.where(np.arange(len(own)) < n_right, 3, 0)
    wrong = np.flatnonzero(codes == 1)[:6]
    codes[wrong], logits[wrong] = 3, [0, 15, 0, 0]  # called label 1, and surely
    doubted = doubtful_labels(logits, codes)
    assert doubted[wrong].all() == (n_right == 3)
    assert doubted[wrong].any() == (n_right == 3)


def test_networks_that_learned_nothing_doubt_nothing():
    rng = np.random.default_rng(0)
    assert not doubtful_labels(rng.normal(0, 0.01, size=(300, 4)), rng.integers(4, size=300)).any()


def test_a_label_keeps_cells_that_train_not_only_held_out_ones():
    logits, codes, _ = simulated(300, 0.0)
    wrong, right = np.flatnonzero(codes == 1)[:6], np.flatnonzero(codes == 3)
    codes[right[3:]] = 0
    logits[right[3:]] = [15, 0, 0, 0]
    codes[wrong], logits[wrong] = 3, [0, 15, 0, 0]  # called label 1, and surely
    assert doubtful_labels(logits, codes)[wrong].all()
    # The three cells that would be left are held out: none would train.
    assert not doubtful_labels(logits, codes, trains=~np.isin(np.arange(300), right[:3]))[wrong].any()
    # Cells that do not train are not doubted.
    trains = np.arange(300) != wrong[0]
    np.testing.assert_array_equal(doubtful_labels(logits, codes, trains=trains)[wrong], trains[wrong])
