"""Training on two processes at once, by Lightning's strategy, against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plkd.train._runner import check_trainer_kwargs
from plkd.train._sampler import BalancedSampler, DividedSampler

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("ddp_script.py")), str(tmp_path), "2"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"2_{rank}.json").read_text()) for rank in (0, 1))
    for same in ("train", "validation", "weights", "labels"):
        assert first[same] == second[same], same
    history = first["history"]
    assert second["history"] == {}
    assert {"teacher_loss_train", "teacher_macro_f1_validation", "student_loss_train"} <= set(history)
    epochs = [len(history[f"{phase}_score_validation"]) for phase in ("teacher", "student")]
    assert epochs == [2, 2]
    # Each step's cells are divided: together as many as with one process, drawn from the training cells alone.
    assert len(first["mini_batches"]) == len(second["mini_batches"]) == sum(epochs)
    for ours, theirs in zip(first["mini_batches"], second["mini_batches"], strict=True):
        assert ours != theirs
        sizes = [len(a) + len(b) for a, b in zip(ours, theirs, strict=True)]
        assert sizes == [min(32, len(first["train"]) - i) for i in range(0, len(first["train"]), 32)]
        assert {cell for cells in ours + theirs for cell in cells} <= set(first["train"])


def test_mini_batches_are_divided_between_processes(monkeypatch):
    """With the first process's draw given to the others, as the broadcast does."""
    drawn: list = []

    def broadcast(objects, src):
        assert src == 0
        if objects[0] is not None:
            drawn[:] = objects
        objects[:] = drawn

    monkeypatch.setattr("torch.distributed.broadcast_object_list", broadcast)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    cells = np.arange(100, 141)
    sampler = DividedSampler(BalancedSampler(cells, np.zeros(41, dtype=int), batch_size=13, balance=0.0))
    shares = []
    for rank in range(3):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        shares.append([own.tolist() for own in sampler])
    assert [len(share) for share in shares] == [len(sampler)] * 3 == [4] * 3
    for first, second, third in list(zip(*shares, strict=True))[:3]:
        assert sorted(map(len, (first, second, third))) == [4, 4, 5]
    # Two cells for three processes: each takes both.
    assert shares[0][3] == shares[1][3] == shares[2][3]
    together = [
        cell for step in zip(*shares, strict=True) for share in step[: 1 if step[0] == step[1] else 3] for cell in share
    ]
    assert sorted(together) == cells.tolist()


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook"])
def test_processes_of_a_single_phase_are_refused(strategy):
    with pytest.raises(ValueError, match="strategy='ddp'"):
        check_trainer_kwargs({"strategy": strategy})
