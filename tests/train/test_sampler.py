from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scipy import stats

from plkd.train._sampler import BalancedSampler, JoinedSampler, RepeatedSampler, label_prior

LABELS = np.repeat([0, 1, 2], [160, 30, 10])
CELLS = np.arange(1000, 1200)


def drawn(balance: float, *, epochs: int = 1, batch_size: int = 32) -> np.ndarray:
    sampler = BalancedSampler(CELLS, LABELS, batch_size=batch_size, balance=balance)
    return np.concatenate([batch for _ in range(epochs) for batch in sampler])


def test_without_balance_every_cell_is_drawn_once_in_random_order():
    order = drawn(0)
    np.testing.assert_array_equal(np.sort(order), CELLS)
    assert not np.array_equal(order, CELLS)


def test_full_balance_draws_every_label_equally_often():
    counts = np.bincount(LABELS[drawn(1, epochs=30) - 1000])
    assert counts.sum() == 6000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_half_balance_draws_by_the_root_of_the_label_size():
    counts = np.bincount(LABELS[drawn(0.5, epochs=30) - 1000])
    expected = np.sqrt([160, 30, 10])
    assert stats.chisquare(counts, expected / expected.sum() * 6000).pvalue > 1e-3
    np.testing.assert_allclose(label_prior(LABELS, 3, 0.5), expected / expected.sum())


def test_mini_batches_are_of_the_size_asked_for_but_the_last():
    sampler = BalancedSampler(CELLS, LABELS, batch_size=64, balance=0.5)
    assert [len(batch) for batch in sampler] == [64, 64, 64, 8]
    assert len(sampler) == 4


def test_prior_leaves_absent_labels_at_zero():
    np.testing.assert_allclose(label_prior(np.array([0, 0, 2, -1]), 4, 1.0), [0.5, 0, 0.5, 0])


@pytest.mark.parametrize(("ratio", "n_unlabeled"), [(1.0, 500), (0.5, 500), (2.0, 50), (0.3, 7)])
def test_unlabelled_cells_join_each_mini_batch_in_turn(ratio, n_unlabeled):
    labelled = BalancedSampler(CELLS, LABELS, batch_size=64, balance=0.0)
    sampler = JoinedSampler(labelled, np.arange(n_unlabeled), ratio=ratio)
    batches = list(sampler)
    assert len(sampler) == len(batches) == 4
    assert [(batch >= 1000).sum() for batch in batches] == [64, 64, 64, 8]
    joined = [batch[batch < 1000] for batch in batches]
    assert [len(cells) for cells in joined] == [min(round(ratio * n), n_unlabeled) for n in (64, 64, 64, 8)]
    # No cell comes again before all have come.
    counts = np.bincount(np.concatenate(joined), minlength=n_unlabeled)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(np.sort(np.concatenate(batches))[-200:], CELLS)


def test_epochs_come_again_in_turn_and_other_draws_are_left_alone():
    labelled = BalancedSampler(CELLS, LABELS, batch_size=64, balance=0.5)
    joined = JoinedSampler(labelled, np.arange(50), ratio=0.5)

    def epochs(n, **settings):
        sampler = RepeatedSampler(joined, n_rounds=3, **{"seed": 7, **settings})
        assert len(sampler) == 4
        return [np.concatenate(list(sampler)) for _ in range(n)]

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    found = epochs(7)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    for epoch in range(4):
        np.testing.assert_array_equal(found[epoch], found[epoch + 3])
    assert not any(np.array_equal(found[one], found[other]) for one, other in [(0, 1), (0, 2), (1, 2)])
    for own, wanted in zip(epochs(3, first_epoch=4), found[4:], strict=True):
        np.testing.assert_array_equal(own, wanted)
    assert not np.array_equal(epochs(1, seed=100)[0], found[0])


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_validation_cells_are_never_drawn_for_training(make_model, train, balance):
    class Spy(pl.Callback):
        seen: dict[str, list] = {"train": [], "validation": []}

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.seen["train"].extend(batch["index"].tolist())

        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            self.seen["validation"].extend(batch["index"].tolist())

    spy = Spy()
    spy.seen = {"train": [], "validation": []}
    part = {"balance": balance}
    model = train(make_model(), 2, callbacks=[spy], plan_kwargs={"teacher": part, "student": part})
    assert set(spy.seen["train"]) <= set(model.train_indices)
    assert set(spy.seen["validation"]) == set(model.validation_indices)
    # Both phases and epochs saw each held-out cell once.
    assert set(np.unique(spy.seen["validation"], return_counts=True)[1]) == {4}
    if balance == 0:
        assert set(np.unique(spy.seen["train"], return_counts=True)[1]) == {4}
