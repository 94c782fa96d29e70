"""Folds: every labelled cell once, whole batches where they can be spared, parts of every label elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.train import make_folds

RNG = np.random.default_rng


@st.composite
def references(draw):
    n_obs = draw(st.integers(1, 60))
    rng = RNG(draw(st.integers(0, 1000)))
    labels = rng.integers(-1, draw(st.integers(1, 6)), size=n_obs)
    batch = rng.integers(draw(st.integers(1, 8)), size=n_obs)
    measured = rng.random((n_obs, 2)) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    return labels, batch, np.flatnonzero(labels >= 0), measured


@given(reference=references(), n_folds=st.integers(2, 6))
@settings(max_examples=150, deadline=None)
def test_every_cell_that_takes_part_is_left_out_once_and_scored_where_its_label_stays(reference, n_folds):
    labels, batch, cells, measured = reference
    folds = make_folds(labels, batch, cells, RNG(0), n_folds=n_folds, measured=measured)
    assert len(folds) <= n_folds
    np.testing.assert_array_equal(np.flatnonzero(folds.fold >= 0), cells)
    assert sorted(set(folds.fold[cells])) == list(range(len(folds)))
    assert not folds.scored[folds.fold < 0].any()
    for number in range(len(folds)):
        train, held = folds.split(number)
        own = np.flatnonzero(folds.fold == number)
        np.testing.assert_array_equal(np.union1d(train, own), cells)
        assert not np.intersect1d(train, own).size
        expected = [
            cell
            for cell in own
            if labels[cell] in labels[train] and (measured[train].any(axis=0) | ~measured[cell]).all()
        ]
        np.testing.assert_array_equal(held, expected)


@given(reference=references(), n_folds=st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_batches_stay_whole_if_the_note_says_so(reference, n_folds):
    labels, batch, cells, measured = reference
    folds = make_folds(labels, batch, cells, RNG(0), n_folds=n_folds, measured=measured)
    if folds.note.startswith("whole batches"):
        assert len(np.unique(batch[cells])) >= 3
        assert all(len(np.unique(folds.fold[cells][batch[cells] == b])) == 1 for b in np.unique(batch[cells]))
    else:
        # Each label's cells lie in as many folds as it can fill, as evenly as can be.
        for label in np.unique(labels[cells]):
            counts = np.bincount(folds.fold[cells][labels[cells] == label], minlength=len(folds))
            assert counts.max() - counts.min() <= 1


def test_batches_are_put_together_into_folds_of_like_size():
    batch = np.repeat(np.arange(6), [50, 40, 30, 20, 10, 10])
    folds = make_folds(np.arange(160) % 2, batch, np.arange(160), RNG(0), n_folds=3)
    assert folds.note == "whole batches left out in turn (6 batches in 3 folds)"
    assert sorted(np.bincount(folds.fold)) == [50, 50, 60]


def test_cells_whose_label_is_in_one_batch_alone_are_not_scored_but_train():
    labels, batch = np.zeros(100, dtype=int), np.arange(100) % 4
    labels[batch == 1] = 1
    labels[[1, 5, 9]] = 2  # in batch 1 alone
    labels[batch == 2] = 1
    folds = make_folds(labels, batch, np.arange(100), RNG(0), n_folds=5)
    assert folds.note.startswith("whole batches")
    np.testing.assert_array_equal(np.flatnonzero(~folds.scored), [1, 5, 9])
    assert {1, 5, 9} <= set(folds.split((folds.fold[1] + 1) % len(folds))[0])


@pytest.mark.parametrize(
    ("labels", "batch", "why"),
    [
        (np.arange(60) % 3, np.arange(60) % 2, "fewer than three batches"),
        (np.arange(60) % 3, np.arange(60) % 3, "labels or modalities lie in single batches"),
    ],
)
def test_parts_of_every_label_where_batches_cannot_be_left_out(labels, batch, why):
    folds = make_folds(labels, batch, np.arange(60), RNG(0), n_folds=5)
    assert folds.note == f"5 folds stratified by label, each left out in turn ({why})"
    assert folds.scored.all()
    for label in range(3):
        assert np.bincount(folds.fold[labels == label]).tolist() == [4] * 5


def test_a_batch_with_the_only_cells_of_a_modality_is_not_left_out_as_a_whole():
    batch, labels = np.arange(80) % 4, np.arange(80) // 4 % 2
    measured = np.column_stack([np.ones(80, dtype=bool), batch == 0])
    assert make_folds(labels, batch, np.arange(80), RNG(0), n_folds=4).note.startswith("whole batches")
    folds = make_folds(labels, batch, np.arange(80), RNG(0), n_folds=4, measured=measured)
    assert "modalities lie in single batches" in folds.note
    assert folds.scored.all()


def test_label_of_one_cell_and_reference_of_single_cells():
    labels = np.array([0, 0, 0, 0, 1])
    folds = make_folds(labels, np.zeros(5, dtype=int), np.arange(5), RNG(0), n_folds=2)
    np.testing.assert_array_equal(folds.scored, [True, True, True, True, False])
    assert not make_folds(np.arange(4), np.zeros(4, dtype=int), np.arange(4), RNG(0), n_folds=2).scored.any()


def test_the_generator_decides():
    labels, batch, cells = np.zeros(40, dtype=int), np.zeros(40, dtype=int), np.arange(40)
    one, again, other = (make_folds(labels, batch, cells, RNG(seed), n_folds=4).fold for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
