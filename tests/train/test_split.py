from __future__ import annotations

import numpy as np
import pytest

from plkd import PLKD
from plkd.train import split_cells
from plkd.train._split import share_of_teacher

RNG = np.random.default_rng


def spare_batch() -> tuple[np.ndarray, np.ndarray]:
    """200 cells, 2 labels; batch 3 holds 5 % of each label, the others the rest."""
    labels = np.arange(200) % 2
    batch = np.repeat([0, 1, 2, 3], [70, 60, 60, 10])
    return labels, batch


def together(split) -> np.ndarray:
    return np.sort(np.concatenate([split.train, split.validation, split.test]))


def test_whole_batch_is_held_out_where_every_label_can_spare_it():
    labels, batch = spare_batch()
    split = split_cells(labels, batch, RNG(0))
    np.testing.assert_array_equal(split.validation, np.flatnonzero(batch == 3))
    assert "1 whole batches held out" in split.note
    np.testing.assert_array_equal(together(split), np.arange(200))


@pytest.mark.parametrize("seed", range(5))
def test_no_batch_is_held_out_that_costs_a_label_over_a_tenth(seed):
    labels, batch = spare_batch()
    labels = labels.copy()
    labels[batch == 3] = 1  # batch 3 holds label 1 alone ...
    labels[np.flatnonzero((batch != 3) & (labels == 1))[:40]] = 0  # ... and more than a tenth of it
    split = split_cells(labels, batch, RNG(seed))
    assert "stratified by label" in split.note
    assert "10 %" in split.note
    kept = np.bincount(labels[split.train]) / np.bincount(labels)
    np.testing.assert_allclose(kept, 0.9, atol=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_held_out_batches_never_leave_a_label_below_nine_tenths(seed):
    rng = RNG(seed)
    labels, batch = rng.integers(0, 3, 300), rng.choice(25, 300)
    split = split_cells(labels, batch, rng)
    if "whole batches" in split.note:
        assert not set(batch[split.train]) & set(batch[split.validation])
        assert (np.bincount(labels[split.train]) >= 0.9 * np.bincount(labels)).all()
    np.testing.assert_array_equal(together(split), np.arange(300))


def test_single_batch_is_split_by_label_without_talk_of_batches():
    split = split_cells(np.arange(120) % 4, np.zeros(120, int), RNG(0))
    assert split.note == "12 cells held out for validation, stratified by label"
    assert np.bincount(split.validation % 4).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("train_size", [0.1, 0.5, 0.9])
def test_a_label_s_only_cell_trains(train_size):
    labels = np.array([0] * 20 + [1] * 20 + [2])
    for seed in range(5):
        assert 40 in split_cells(labels, np.zeros(41, int), RNG(seed), train_size=train_size).train


def test_unlabelled_cells_have_a_place_of_their_own():
    labels = np.array([0, 1, -1] * 20)
    split = split_cells(labels, np.zeros(60, int), RNG(0))
    np.testing.assert_array_equal(split.unlabeled, np.flatnonzero(labels < 0))
    assert not set(together(split)) & set(split.unlabeled)


def test_sizes_left_over_are_test_cells():
    labels = np.arange(200) % 2
    split = split_cells(labels, np.zeros(200, int), RNG(0), train_size=0.6, validation_size=0.2)
    assert (len(split.train), len(split.validation), len(split.test)) == (120, 40, 40)
    np.testing.assert_array_equal(together(split), np.arange(200))


def test_train_size_one_holds_nothing_out():
    split = split_cells(np.arange(50) % 2, np.arange(50) % 5, RNG(0), train_size=1.0)
    assert (len(split.train), len(split.validation), len(split.test)) == (50, 0, 0)


def test_same_seed_same_split():
    labels, batch = spare_batch()
    a, b, c = (split_cells(labels, np.zeros_like(batch), RNG(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.validation, b.validation)
    assert not np.array_equal(a.validation, c.validation)


@pytest.mark.parametrize("sizes", [(0, None), (1.1, None), (-0.5, None), (0.9, 0.2), (0.9, -0.1)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="train_size="):
        split_cells(np.arange(50) % 2, np.zeros(50, int), RNG(0), train_size=sizes[0], validation_size=sizes[1])


def test_no_labelled_cell_is_refused():
    with pytest.raises(ValueError, match="None of the 10 cells has a label"):
        split_cells(np.full(10, -1), np.zeros(10, int), RNG(0))


def test_given_split_is_used_as_it_is():
    labels = np.array([0, 1, -1, 0, 1, 0])
    split = split_cells(labels, np.zeros(6, int), RNG(0), external_indexing=[np.array([4, 0]), [2, 1], np.array([3])])
    assert (split.train.tolist(), split.validation.tolist(), split.test.tolist()) == ([0, 4], [1], [3])


def test_given_split_may_be_masks():
    mask = np.array([True, True, False, False])
    split = split_cells(np.array([0, 1, 0, 1]), np.zeros(4, int), RNG(0), external_indexing=[mask, ~mask])
    assert (split.train.tolist(), split.validation.tolist()) == ([0, 1], [2, 3])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([[0, 1], [1]], "disjoint"),
        ([[0, 9]], "expected cell numbers from 0 to 3"),
        ([[-1, 0]], "expected cell numbers from 0 to 3"),
        ([[0.5]], "float"),
        ([], "0 arrays"),
        ([[0], [1], [2], [3]], "4 arrays"),
        ([[], [1]], "no labelled cell"),
    ],
)
def test_given_split_that_does_not_fit_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        split_cells(np.array([0, 1, 0, 1]), np.zeros(4, int), RNG(0), external_indexing=parts)


def test_training_follows_the_given_split(make_model, train):
    train_cells, held = np.arange(0, 90), np.arange(90, 110)
    model = train(make_model(), 1, datasplitter_kwargs={"external_indexing": [train_cells, held, np.arange(110, 120)]})
    np.testing.assert_array_equal(model.train_indices, train_cells)
    np.testing.assert_array_equal(model.validation_indices, held)
    np.testing.assert_array_equal(model.test_indices, np.arange(110, 120))


def test_a_batch_that_alone_has_a_modality_is_never_held_out():
    labels, batch = np.arange(400) % 2, np.arange(400) // 2 % 20
    for seed in range(20):
        free = split_cells(labels, batch, RNG(seed))
        for alone in np.unique(batch[free.validation]):
            measured = np.column_stack([np.ones(400, dtype=bool), batch == alone])
            assert alone in batch[split_cells(labels, batch, RNG(seed), measured=measured).train]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([6, 6, 6], "6 training cells"),
        ([1, 3, 13], "5.67 training cells"),
        ([7, 7, 7], ""),
        ([1, 1, 1, 1, 50], ""),
        ([], ""),
    ],
)
def test_few_cells_per_label_leave_the_student_to_these(counts, said, caplog):
    with caplog.at_level("WARNING", logger="plkd"):
        share = share_of_teacher(np.repeat(np.arange(len(counts)), counts))
    assert (said in caplog.text) if said else not caplog.text
    assert share == (0.0 if said else 1.0)
    assert not said or 'plan_kwargs={"student": {"kd_weight": 1}}' in caplog.text


@pytest.mark.parametrize(
    ("n_cells", "kd_weight", "said", "distilled"), [(3, None, 1, False), (3, 1.0, 0, True), (20, None, 0, True)]
)
def test_a_teacher_of_few_cells_is_there_but_does_not_teach(
    make_adata, make_model, train, caplog, n_cells, kd_weight, said, distilled
):
    adata = make_adata(90)
    kept = adata.obs.groupby("cell_type", observed=True).head(n_cells).index
    model = make_model(adata[kept].copy())
    with caplog.at_level("WARNING", logger="plkd"):
        train(model, 2, plan_kwargs={"student": {"kd_weight": kd_weight}})
    assert caplog.text.count("learns from the labels alone") == said
    assert ("student_kd_loss_train" in model.history) is distilled
    assert ("student_ce_loss_train" in model.history) is not distilled
    assert len(model.predict(model="teacher")) == len(kept)
    assert model.training_["training"]["share of the Teacher"] == float(distilled)


def test_who_asks_for_self_training_asks_for_the_teacher(make_adata, make_model, train, caplog):
    few, query = make_adata(9), make_adata(30, seed=1)
    plan = {"student": {"self_training": 0.5}}
    assert "student_kd_loss_train" in train(make_model(few), 1, unlabeled=query, plan_kwargs=plan).history
    assert "learns from the labels alone" not in caplog.text


@pytest.mark.parametrize("kwargs", [{}, {"unlabeled": True, "ratio": 0.0}], ids=["no cell to call", "none asked for"])
def test_self_training_that_calls_no_cell_changes_nothing(make_adata, make_model, train, kwargs):
    few, query = make_adata(9), make_adata(30, seed=1) if kwargs else None
    plan = {"student": {"self_training": 0.5, "unlabeled_ratio": kwargs.get("ratio", 1.0)}}
    assert "student_kd_loss_train" not in train(make_model(few), 1, unlabeled=query, plan_kwargs=plan).history


@pytest.mark.parametrize("with_first", [True, False])
def test_the_first_reference_counts_where_a_model_learns_on_from_few_cells(make_adata, trained, train, with_first):
    first, few = make_adata(), make_adata(9, seed=1)
    grown = train(PLKD.load_query_data(few, trained), 1, earlier=first if with_first else None)
    assert ("student_kd_loss_train" in grown.history) is with_first
