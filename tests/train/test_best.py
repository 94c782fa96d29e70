"""After a whole run the last weights stay, unless they score over one standard error below the best."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from plkd.train._best import KeepBest


def run(scores, *, n_obs=100, stopped=False):
    """Return the epoch whose weights a run of these scores ends with."""
    network = torch.nn.Linear(1, 1)
    plan, keep = SimpleNamespace(network=network), KeepBest("score", n_obs)
    for epoch, score in enumerate(scores):
        network.weight.data.fill_(epoch)
        logged = {} if score is None else {"score": torch.tensor(score)}
        keep.on_validation_end(SimpleNamespace(callback_metrics=logged, sanity_checking=False), plan)
    keep.on_train_end(SimpleNamespace(should_stop=stopped), plan)
    return int(network.weight.item())


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([0.5, 0.9, 0.88], 2),  # the standard error of 0.9 in 100 cells is 0.03
        ([0.5, 0.9, 0.86], 1),
        ([0.9, 0.9, 0.5], 1),  # of two alike the later
        ([0.5, 0.9, None], 2),  # an epoch without a score is passed over
        ([None, float("nan")], 1),
    ],
)
def test_which_weights_a_whole_run_ends_with(scores, epoch):
    assert run(scores) == epoch


def test_more_cells_tell_smaller_differences():
    assert run([0.9, 0.88], n_obs=100) == 1
    assert run([0.9, 0.88], n_obs=10_000) == 0


def test_a_run_that_was_stopped_ends_with_the_best():
    assert run([0.9, 0.88], stopped=True) == 0
