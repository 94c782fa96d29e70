"""Training that is killed from outside: `plkd train --checkpoint-dir` loses at most one epoch."""

from __future__ import annotations

import json
import os
import signal

import pytest
from safetensors import safe_open

from plkd import PLKD, presets
from plkd.cli._app import run
from tests import moments

FILE = "training.safetensors"
EPOCHS = 6


def progress(folder) -> tuple[str, int]:
    """Return phase and finished epochs of a checkpoint; it is whole whenever it is looked at."""
    try:
        with safe_open(folder / FILE, "pt") as file:
            state = json.loads(file.metadata()["plkd"])
    except FileNotFoundError:
        return "", 0
    return state["phase"], state["epochs"]


@pytest.fixture(scope="module")
def reference(make_adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("kill") / "ref.h5ad"
    make_adata(60).write_h5ad(path)
    return path


def command(reference, out, checkpoints) -> list[str]:
    words = ["--labels-key", "cell_type", "--max-epochs", str(EPOCHS), "--seed", "0"]
    return ["train", str(reference), "--out", str(out), *words, "--checkpoint-dir", str(checkpoints)]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_killed_run_goes_on_from_its_last_epoch(reference, tmp_path, capsys):
    words, checkpoints = command(reference, tmp_path / "m", tmp_path / "checkpoints"), tmp_path / "checkpoints"
    seen = []

    def has_learned() -> bool:
        seen.append(progress(checkpoints))
        return seen[-1][1] >= 3

    assert moments.in_child(lambda: run(words), killed_once=has_learned) == -signal.SIGKILL
    phase, finished = seen[-1]
    assert phase
    assert not (tmp_path / "m").exists()
    kept_phase, kept = progress(checkpoints)
    assert (kept_phase, kept) >= (phase, finished)

    assert run(words) == 0
    assert f"Going on with the {kept_phase} after epoch {kept}" in capsys.readouterr().err
    model = PLKD.load(tmp_path / "m", accelerator="cpu")
    assert [len(model.history[f"{part}_loss_train"]) for part in ("teacher", "student")] == [EPOCHS, EPOCHS]
    assert [path.name for path in checkpoints.iterdir()] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("call", ["save_file", "fsync", "replace"])
def test_a_kill_at_any_moment_of_writing_a_checkpoint_costs_that_epoch_alone(make_model, train, tmp_path, call):
    preset = presets.default.replace(confidence={"n_folds": 0})

    def run():
        return train(make_model(preset=preset), 4, checkpoint_dir=tmp_path)

    def killed():
        with moments.struck(2, moments.die, only=call):
            run()

    assert moments.in_child(killed) == -signal.SIGKILL
    # The directory is flushed to disk too, so that each epoch has two of these calls.
    assert progress(tmp_path) == ("teacher", 1 if call == "fsync" else 2)
    assert [path.name for path in tmp_path.glob(".*.tmp")], "the kill left what it was writing"
    assert len(run().history["teacher_loss_train"]) == 4
    assert not list(tmp_path.iterdir())
