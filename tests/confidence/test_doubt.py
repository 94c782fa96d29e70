"""Labels that other cells contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.confidence import doubtful_labels


def simulated(n_obs: int, wrong: float, *, spread: float = 0.5, seed: int = 0):
    """Return what networks call cells, labels some of which are wrong, the cells' places, and which labels are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n_obs)
    embedding = rng.normal(0, spread, size=(n_obs, 4)) + 3 * np.eye(4)[truth]
    codes, is_wrong = truth.copy(), rng.random(n_obs) < wrong
    codes[is_wrong] = (truth[is_wrong] + rng.integers(1, 4, size=is_wrong.sum())) % 4
    return embedding.argmax(axis=1), codes, embedding, is_wrong


def test_wrong_labels_are_found_and_no_right_one():
    called, codes, embedding, is_wrong = simulated(2000, 0.2)
    doubted = doubtful_labels(called, codes, embedding)
    assert doubted[is_wrong].mean() > 0.95
    assert not doubted[~is_wrong].any()


def test_both_must_contradict():
    called, codes, embedding, is_wrong = simulated(500, 0.2)
    # Networks that call every cell by its label contradict none.
    assert not doubtful_labels(codes, codes, embedding).any()
    # Neighbours at random are mostly of no one label.
    anywhere = np.random.default_rng(0).normal(size=embedding.shape)
    assert doubtful_labels(called, codes, anywhere)[is_wrong].mean() < 0.7
    # Where networks mistake right labels, the neighbours protect them.
    mistaken = (called + 1) % 4
    assert not doubtful_labels(mistaken, codes, embedding)[~is_wrong].any()


@pytest.mark.parametrize(
    ("wrong", "least", "most"), [(0.0, 0, 0), (0.01, 0, 0), (0.05, 0.8, 1), (0.1, 0.95, 1), (0.25, 0.9, 1)]
)
def test_where_few_labels_are_wrong_more_must_speak_against_one(wrong, least, most):
    called, codes, embedding, is_wrong = simulated(3000, wrong)
    doubted = doubtful_labels(called, codes, embedding)
    assert not doubted[~is_wrong].any()
    if is_wrong.any():
        assert least <= doubted[is_wrong].mean() <= most


@given(seed=st.integers(0, 200), wrong=st.sampled_from([0.1, 0.4, 0.8]), spread=st.sampled_from([0.5, 2.0, 5.0]))
@settings(max_examples=40, deadline=None)
def test_doubted_cells_are_those_of_the_rule(seed, wrong, spread):
    """A loop over cells with the rule in words."""
    called, codes, embedding, _ = simulated(60, wrong, spread=spread, seed=seed)
    trains = np.random.default_rng(seed).random(60) < 0.9
    odds, own = np.zeros(60), np.zeros(60)
    for i in range(60):
        distance = np.linalg.norm(embedding - embedding[i], axis=1)
        nearest = [j for j in np.argsort(distance) if j != i][:10]
        votes = [sum(codes[j] == label for j in nearest) for label in range(4)]
        own[i] = votes[codes[i]]
        odds[i] = max(votes) / max(own[i], 0.5) if trains[i] and called[i] != codes[i] else 0
    # Bayes: odds of 3 are enough where the odds of a wrong label are 18 to 82.
    contradicted = (odds >= 3).sum()
    right_to_wrong = (trains.sum() - contradicted) / contradicted if contradicted else np.inf
    expected = odds >= 3 * max(right_to_wrong / (82 / 18), 1)
    for label in range(4):
        n_cells = (trains & (codes == label)).sum()
        found = sorted(np.flatnonzero(expected & (codes == label)), key=lambda i: own[i])
        for i in found[4 * n_cells // 5 if n_cells >= 15 else 0 :]:
            expected[i] = False
    np.testing.assert_array_equal(doubtful_labels(called, codes, embedding, trains=trains), expected)


def with_a_rare_label(n_right: int, n_wrong: int):
    """Labels 0 to 2, a fifth of them wrong, and a rare label 3 of cells of its own and cells of type 1.

    Returns what networks call the cells, labels, places, the numbers of the rare label's wrong cells, and which cells are right.
    """
    called, codes, embedding, _ = simulated(1500, 0.0, spread=0.1)
    others = np.flatnonzero(codes == 3)[n_right:]
    codes[others], called[others], embedding[others] = 0, 0, [3, 0, 0, 0]
    truth, rng = codes.copy(), np.random.default_rng(1)
    wrong = np.flatnonzero(codes == 1)[:n_wrong]
    codes[wrong] = 3
    noisy = (codes < 3) & (rng.random(1500) < 0.2)
    codes[noisy] = (codes[noisy] + rng.integers(1, 3, size=noisy.sum())) % 3
    return called, codes, embedding, wrong, codes == truth


@pytest.mark.parametrize(("n_wrong", "n_doubted"), [(14, 0), (15, 12), (20, 16)])
def test_a_label_keeps_a_fifth_of_its_cells_and_few_cells_are_not_judged(n_wrong, n_doubted):
    called, codes, embedding, wrong, right = with_a_rare_label(0, n_wrong)
    doubted = doubtful_labels(called, codes, embedding)
    assert doubted[wrong].sum() == n_doubted
    assert not doubted[right].any()


def test_of_a_label_those_most_like_it_are_kept():
    called, codes, embedding, wrong, right = with_a_rare_label(6, 24)
    doubted = doubtful_labels(called, codes, embedding)
    assert doubted[wrong].mean() > 0.85  # of 24; the 6 right ones are kept
    assert not doubted[right].any()


def test_a_rare_type_that_networks_do_not_know_keeps_its_own_cells():
    """Of 30 cells 9 are right and lie together; networks call all 30 otherwise, the right ones too."""
    called, codes, embedding, wrong, right = with_a_rare_label(9, 21)
    called[right & (codes == 3)] = 0
    doubted = doubtful_labels(called, codes, embedding)
    assert doubted[wrong].mean() > 0.85
    assert not doubted[right].any()


def test_a_rare_type_that_all_contradict_stays_where_labels_are_right():
    """Cells within another type that differ by few features: networks and neighbours call most of them otherwise."""
    called, codes, embedding, _ = simulated(1500, 0.0, spread=0.1)
    rare = np.flatnonzero(codes == 1)[:40]
    codes[rare] = 3
    assert not doubtful_labels(called, codes, embedding).any()


def test_cells_that_do_not_train_vote_but_are_not_doubted():
    called, codes, embedding, is_wrong = simulated(300, 0.3)
    every = doubtful_labels(called, codes, embedding)
    trains = np.ones(300, dtype=bool)
    trains[np.flatnonzero(is_wrong)[::4]] = False
    np.testing.assert_array_equal(doubtful_labels(called, codes, embedding, trains=trains), every & trains)


@pytest.mark.parametrize("n_obs", [0, 1, 2, 10, 12, 40])
def test_few_cells_and_cells_that_are_all_the_same(n_obs):
    codes = np.arange(n_obs) * 2 // max(n_obs, 1)
    found = doubtful_labels(1 - codes, codes, np.zeros((n_obs, 3)))
    assert found.shape == (n_obs,)
    assert not found.any()


def test_the_order_of_the_cells_does_not_matter():
    """Cells of few values, many of which lie equally far from each other, in a file sorted by label."""
    rng = np.random.default_rng(0)
    embedding = rng.poisson(0.5, size=(600, 3)).astype(float)
    codes = np.repeat([0, 1, 2], 200)
    doubted = doubtful_labels((codes + 1) % 3, codes, embedding)
    share = [doubted[codes == label].mean() for label in range(3)]
    assert max(share) - min(share) < 0.1
