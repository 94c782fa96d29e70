"""Distances of cells and their neighbours against a loop over cells, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from plkd.confidence import Places, surrounded_distance
from plkd.confidence._surroundings import n_neighbours

N_LABELS, N_AXES = 4, 6


def make_query(n_obs: int = 120, seed: int = 0):
    """Cells around their labels, a third of each label's own way, and logits that mostly call them rightly."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(N_LABELS, size=n_obs)
    labels = 3 * rng.normal(size=(N_LABELS, N_AXES))
    cells = labels[codes] + rng.normal(size=(n_obs, N_AXES))
    logits = rng.normal(size=(n_obs, N_LABELS)) + 4 * np.eye(N_LABELS)[codes]
    return rng.gamma(5, size=n_obs), logits, cells, labels


def by_hand(distance, logits, cells, labels, sample):
    """One cell after the other, by the formula of the docstring."""
    p, called, known = softmax(logits, axis=1), logits.argmax(axis=1), np.flatnonzero(sample)
    off = []
    for label in range(len(labels)):
        own = [cells[i] - labels[label] for i in known if called[i] == label]
        if len(own) >= 10:
            off.append(np.mean(own, axis=0))
    common = np.median(off, axis=0) if len(off) >= 3 else 0.0
    r = np.array([x - sum(p[i, c] * labels[c] for c in range(len(labels))) - common for i, x in enumerate(cells)])
    found = []
    for i in range(len(cells)):
        apart = {j: float(np.linalg.norm(cells[i] - cells[j])) for j in known if j != i}
        others = sorted(apart, key=apart.get)[: n_neighbours(len(known)) - 1]
        width = apart[others[min(5, len(others)) - 1]]
        weights = {i: 1.0} | {j: np.exp(-((apart[j] / width) ** 2)) for j in others}
        total = sum(weights.values())
        mean_distance = sum(w * distance[j] for j, w in weights.items()) / total
        mean_off = sum(w * r[j] for j, w in weights.items()) / total
        found.append(mean_distance ** (1 / 3) * np.linalg.norm(mean_off) ** (2 / 3))
    return np.array(found)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_distance_is_that_of_the_formula(share):
    query = make_query()
    sample = np.random.default_rng(1).random(120) < share
    np.testing.assert_allclose(surrounded_distance(*query, sample), by_hand(*query, sample), rtol=1e-5)


def test_a_neighbourhood_is_a_twentieth_of_the_sample_within_limits():
    assert [n_neighbours(n) for n in (50, 100, 240, 400, 10_000)] == [5, 5, 12, 20, 20]


def test_cells_of_a_new_type_among_those_called_alike_lie_further_out():
    distance, logits, cells, labels = make_query(400)
    logits, distance = 3 * logits, np.full(400, 1.0)
    called = logits.argmax(axis=1)
    is_new = np.zeros(400, dtype=bool)
    is_new[np.flatnonzero(called == 0)[:40]] = True
    # As sure of label 0 as its own cells are, and no further in the Student's latent space.
    cells[is_new] += 1.2
    found = surrounded_distance(distance, logits, cells, labels, np.ones(400, dtype=bool))
    alone = np.linalg.norm(cells - labels[logits.argmax(axis=1)], axis=1)
    assert roc_auc_score(is_new, found) > roc_auc_score(is_new, alone) + 0.05


def test_what_all_labels_have_in_common_is_the_query_s_own():
    distance, logits, cells, labels = make_query(200)
    everyone = np.ones(200, dtype=bool)
    moved = cells + np.array([5.0, 0, 0, -2.0, 0, 0])
    np.testing.assert_allclose(
        surrounded_distance(distance, logits, moved, labels, everyone),
        surrounded_distance(distance, logits, cells, labels, everyone),
        rtol=1e-5,
    )


def test_a_query_of_one_type_has_nothing_in_common_to_take_out():
    distance, _, cells, labels = make_query(80)
    logits = np.tile([9.0, 0, 0, 0], (80, 1))
    one_type = labels[0] + np.random.default_rng(2).normal(size=cells.shape)
    everyone = np.ones(80, dtype=bool)
    near = surrounded_distance(distance, logits, one_type, labels, everyone)
    far = surrounded_distance(distance, logits, one_type + 4.0, labels, everyone)
    assert np.median(far) > 2 * np.median(near)


def test_twice_as_far_scores_twice_as_much():
    distance, logits, cells, labels = make_query()
    everyone = np.ones(120, dtype=bool)
    once = surrounded_distance(distance, logits, cells, labels, everyone)
    np.testing.assert_allclose(
        surrounded_distance(2 * distance, logits, 2 * cells, 2 * labels, everyone), 2 * once, rtol=1e-6
    )


def test_cells_that_are_all_the_same_have_a_distance_too():
    distance, logits, _, labels = make_query(60)
    found = surrounded_distance(distance, logits, np.zeros((60, N_AXES)), labels, np.ones(60, dtype=bool))
    assert np.isfinite(found).all()


def test_cells_outside_the_sample_do_not_change_the_others():
    query = make_query()
    sample = np.arange(120) < 80
    whole = surrounded_distance(*query, sample)
    distance, logits, cells, labels = query
    alone = surrounded_distance(distance[:80], logits[:80], cells[:80], labels, sample[:80])
    np.testing.assert_allclose(whole[:80], alone, rtol=1e-6)


class TestPlaces:
    def test_modalities_are_put_side_by_side(self):
        distance, logits, cells, labels = make_query()
        sample = np.ones(120, dtype=bool)
        split = Places(
            {"rna": cells[:, :4], "protein": cells[:, 4:], "atac": 100 * cells},
            {"rna": labels[:, :4], "protein": labels[:, 4:], "atac": labels},
            sample,
        )
        some = split.of(np.arange(120), ("rna", "protein"))
        np.testing.assert_allclose(
            some.surround(distance, logits), surrounded_distance(distance, logits, cells, labels, sample), rtol=1e-9
        )

    def test_some_cells_are_taken_with_their_part_of_the_sample(self):
        distance, logits, cells, labels = make_query()
        sample, rows = np.arange(120) % 2 == 0, np.arange(10, 115)
        some = Places({"rna": cells}, {"rna": labels}, sample).of(rows, ("rna",))
        np.testing.assert_array_equal(
            some.surround(distance[rows], logits[rows]),
            surrounded_distance(distance[rows], logits[rows], cells[rows], labels, sample[rows]),
        )

    @pytest.mark.parametrize(("n_obs", "known"), [(49, False), (50, True)])
    def test_fewer_than_fifty_cells_have_no_surroundings(self, n_obs, known):
        distance, logits, cells, labels = make_query(120)
        places = Places({"rna": cells}, {"rna": labels}, np.arange(120) < n_obs)
        assert (places.surround(distance, logits) is not None) is known

    def test_cells_that_do_not_differ_have_none_either(self):
        distance, logits, _, labels = make_query(120)
        places = Places({"rna": np.zeros((120, N_AXES))}, {"rna": labels}, np.ones(120, dtype=bool))
        assert places.surround(distance, logits) is None
