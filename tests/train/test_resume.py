"""Interrupted training goes on from its last finished epoch as if nothing had happened."""

from __future__ import annotations

import os
import signal

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from plkd import presets
from plkd.train import cross_fit

FILE = "training.safetensors"


class Stop(pl.Callback):
    """Raise in an epoch of a phase; count the epochs of each phase that begin."""

    def __init__(self, phase: str = "", epoch: int = -1, *, when: str = "start", error: type = RuntimeError):
        self.phase, self.epoch, self.when, self.error = phase, epoch, when, error
        self.begun = {"teacher": 0, "student": 0}

    def _raise(self, pl_module, epoch, when):
        if (pl_module.phase, epoch, when) == (self.phase, self.epoch, self.when):
            raise self.error("power cut")

    def on_train_epoch_start(self, trainer, pl_module):
        self._raise(pl_module, trainer.current_epoch, "start")
        self.begun[pl_module.phase] += 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._raise(pl_module, trainer.current_epoch, "batch")

    def on_train_epoch_end(self, trainer, pl_module):
        self._raise(pl_module, trainer.current_epoch, "end")

    def on_train_end(self, trainer, pl_module):
        self._raise(pl_module, -1, "last")


#: Not calibrated, to save time.
PLAIN = presets.default.replace(confidence={"n_folds": 0})
PLANS = {"teacher": {"lr": 0.05, "schedule": "constant"}, "student": {"lr": 0.05}}


@pytest.fixture(scope="module")
def whole(make_model, train):
    """A run that nobody interrupted."""
    return train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS)


def interrupted(make_model, train, folder, stop, preset=PLAIN, **kwargs):
    with pytest.raises(stop.error):
        train(make_model(preset=preset), 4, plan_kwargs=PLANS, checkpoint_dir=folder, callbacks=[stop], **kwargs)
    return folder / FILE


def assert_same(model, whole):
    state = model.module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.module.state_dict().items())
    assert set(model.history) == set(whole.history)
    for key, frame in whole.history.items():
        pd.testing.assert_frame_equal(model.history[key], frame, check_index_type=False, rtol=1e-4, check_dtype=False)
    assert model.validation_indices.tolist() == whole.validation_indices.tolist()


@pytest.mark.parametrize(
    ("phase", "epoch", "when", "left"),
    [
        pytest.param("teacher", 0, "start", (4, 4), marks=pytest.mark.slow),
        ("teacher", 2, "batch", (2, 4)),
        pytest.param("teacher", 2, "end", (2, 4), marks=pytest.mark.slow),
        pytest.param("teacher", -1, "last", (0, 4), marks=pytest.mark.slow),
        ("student", 0, "start", (0, 4)),
        ("student", 3, "start", (0, 1)),
        pytest.param("student", 3, "batch", (0, 1), marks=pytest.mark.slow),
    ],
)
def test_resumed_run_ends_as_one_that_was_not_interrupted(make_model, train, whole, tmp_path, phase, epoch, when, left):
    interrupted(make_model, train, tmp_path, Stop(phase, epoch, when=when))
    counter = Stop()
    model = train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path, callbacks=[counter])
    assert (counter.begun["teacher"], counter.begun["student"]) == left
    assert_same(model, whole)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_checkpoint_that_nobody_interrupts_changes_nothing(make_model, train, whole, tmp_path):
    assert_same(
        train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path / "new" / "folder"), whole
    )
    assert not list((tmp_path / "new" / "folder").iterdir())


def test_mixtures_come_again_as_if_nothing_had_happened(make_model, train, tmp_path, monkeypatch):
    monkeypatch.setattr("plkd.train._plan._MIXTURES", 1)
    monkeypatch.setattr("plkd.train._plan._FEWEST_ROUNDS", 2)
    whole = train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS)
    interrupted(make_model, train, tmp_path, Stop("student", 3))
    assert_same(train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path), whole)


def test_losses_that_set_in_go_on_from_where_they_were(make_model, train, tmp_path, monkeypatch):
    monkeypatch.setattr("plkd.train._plan.SET_IN_SHARE", 1.0)
    plans = {"teacher": {"lr": 0.05, "schedule": "one_cycle", "divergence_weight": 1.0, "alignment_weight": 1.0}}
    whole = train(make_model(preset=PLAIN), 4, plan_kwargs=plans)
    with pytest.raises(RuntimeError):
        train(make_model(preset=PLAIN), 4, plan_kwargs=plans, checkpoint_dir=tmp_path, callbacks=[Stop("teacher", 2)])
    assert_same(train(make_model(preset=PLAIN), 4, plan_kwargs=plans, checkpoint_dir=tmp_path), whole)


def test_same_model_goes_on_too(make_model, train, whole, tmp_path):
    model = make_model(preset=PLAIN)
    with pytest.raises(RuntimeError, match="power cut"):
        train(model, 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path, callbacks=[Stop("student", 2)])
    assert not model.is_trained
    assert all(parameter.requires_grad for parameter in model.module.parameters())
    assert_same(train(model, 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path), whole)


@pytest.mark.slow
def test_early_stopping_counts_on(make_model, train, tmp_path):
    still = {"lr": 1e-12, "patience": 4, "schedule": "constant"}
    plans = {"teacher": still, "student": still}
    expected = len(train(make_model(preset=PLAIN), 12, plan_kwargs=plans).history["teacher_loss_train"])
    with pytest.raises(RuntimeError):
        train(make_model(preset=PLAIN), 12, plan_kwargs=plans, checkpoint_dir=tmp_path, callbacks=[Stop("teacher", 3)])
    model = train(make_model(preset=PLAIN), 12, plan_kwargs=plans, checkpoint_dir=tmp_path)
    assert len(model.history["teacher_loss_train"]) == expected < 12


@pytest.mark.slow
def test_history_before_the_run_is_kept(make_model, train, tmp_path):
    model = train(make_model(preset=PLAIN), 1)
    with pytest.raises(RuntimeError):
        train(model, 3, checkpoint_dir=tmp_path, callbacks=[Stop("student", 1)])
    train(model, 3, checkpoint_dir=tmp_path)
    assert [len(model.history[f"{phase}_loss_train"]) for phase in ("teacher", "student")] == [4, 4]


def test_run_on_other_counts_is_refused(make_model, make_adata, train, tmp_path):
    interrupted(make_model, train, tmp_path, Stop("student", 1))
    other = make_adata()
    other.X = other.X[np.random.default_rng(0).permutation(other.n_obs)]
    with pytest.raises(ValueError, match=r"reference.* differ"):
        train(make_model(other, preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_epochs": 5}, "max_epochs"),
        ({"train_size": 0.8}, "train_size"),
        ({"plan_kwargs": {"teacher": {"lr": 1e-4}}}, "teacher"),
        ({"datasplitter_kwargs": {"external_indexing": [range(100), range(100, 120)]}}, "external_indexing"),
    ],
)
def test_run_of_other_settings_is_refused(make_model, train, tmp_path, change, named):
    file = interrupted(make_model, train, tmp_path, Stop("teacher", 1))
    with pytest.raises(ValueError, match=rf"{named}.* differ.*checkpoint_dir"):
        train(make_model(preset=PLAIN), **{"max_epochs": 4, "plan_kwargs": PLANS, "checkpoint_dir": tmp_path, **change})
    assert file.exists()


def test_run_of_another_reference_is_refused(make_adata, make_model, train, tmp_path):
    interrupted(make_model, train, tmp_path, Stop("teacher", 1))
    other = make_adata(seed=5)
    with pytest.raises(ValueError, match=r"reference.* differ"):
        train(make_model(other, preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path)


def test_damaged_file_is_refused(make_model, train, tmp_path):
    file = interrupted(make_model, train, tmp_path, Stop("teacher", 1))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path)


def test_kill_while_writing_leaves_the_file_of_the_epoch_before(make_model, train, tmp_path, monkeypatch):
    calls = []

    def fail_at_third(tensors, path, metadata):
        if path.name.startswith(f".{FILE}"):  # not that of the folds
            calls.append(path)
        path.write_bytes(b"half a file")
        if len(calls) == 3:
            raise OSError("disk full")
        from safetensors.torch import save

        path.write_bytes(save(tensors, metadata))

    monkeypatch.setattr("plkd.train._checkpoint.save_file", fail_at_third)
    with pytest.raises(OSError, match="disk full"):
        train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    with safe_open(tmp_path / FILE, "pt") as file:
        assert '"epochs": 2' in file.metadata()["plkd"]


def test_what_kills_left_of_either_file_is_removed(make_model, train, tmp_path):
    for name in (FILE, f"folds_of_{FILE}"):
        (tmp_path / f".{name}.0123abcd.tmp").write_bytes(b"half a file")
    train(make_model(preset=PLAIN), 1, checkpoint_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_keyboard_interrupt_stays_one_and_can_be_resumed(make_model, train, whole, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    model = make_model(preset=PLAIN)
    with pytest.raises(KeyboardInterrupt):
        train(
            model, 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path,
            callbacks=[Stop("student", 2, error=KeyboardInterrupt)],
        )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is handler
    assert not model.is_trained
    assert not model.module.training
    assert_same(train(make_model(preset=PLAIN), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path), whole)


@pytest.fixture
def heeds_ctrl_c():
    """Python's own handler: a process started in the background is born ignoring the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("epoch", [0, 1])
def test_losses_of_an_epoch_that_was_cut_short_are_kept(make_model, train, tmp_path, epoch):
    class EndTeacher(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if (pl_module.phase, trainer.current_epoch, batch_idx) == ("teacher", epoch, 1):
                trainer.should_stop = True

    def run(*callbacks):
        return train(
            make_model(preset=PLAIN),
            3,
            plan_kwargs=PLANS,
            checkpoint_dir=tmp_path,
            callbacks=[EndTeacher(), *callbacks],
        )

    expected = run().history
    with pytest.raises(RuntimeError, match="power cut"):
        run(Stop("student", 1))
    found = run().history
    assert len(found["teacher_loss_train"]) == epoch + 1
    for key in ("teacher_loss_train", "teacher_ce_loss_train"):
        pd.testing.assert_frame_equal(found[key], expected[key], check_index_type=False, check_dtype=False)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_is_a_keyboard_interrupt(make_model, train):
    class Press(pl.Callback):
        def on_train_batch_end(self, *args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(make_model(preset=PLAIN), 2, callbacks=[Press()])


class TestFolds:
    """A kill between the folds that are left out: finished ones are not trained again."""

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, make_model, train):
        return train(make_model(), 4, plan_kwargs=PLANS)

    @pytest.fixture
    def killed(self, make_model, train, tmp_path, monkeypatch):
        """Return the folder of a run that was cut off after two folds of five."""

        def stop_after_two(*args, **kwargs):
            for done, outputs in enumerate(cross_fit(*args, **kwargs)):
                if done == 2:
                    raise KeyboardInterrupt
                yield outputs

        with monkeypatch.context() as patch:
            patch.setattr("plkd.model._confidence.cross_fit", stop_after_two)
            with pytest.raises(KeyboardInterrupt):
                train(make_model(), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path)
        return tmp_path

    @pytest.fixture
    def left_out(self, monkeypatch) -> list[int]:
        """Note the number of each fold whose Student is trained."""
        numbers = []

        def noted(*args, **kwargs):
            for outputs in cross_fit(*args, **kwargs):
                numbers.append(outputs[0])
                yield outputs

        monkeypatch.setattr("plkd.model._confidence.cross_fit", noted)
        return numbers

    def test_finished_folds_are_not_trained_again_and_the_end_is_the_same(
        self, make_model, train, whole, killed, left_out
    ):
        model = train(make_model(), 4, plan_kwargs=PLANS, checkpoint_dir=killed)
        assert left_out == [2, 3, 4]
        assert_same(model, whole)
        assert_same_confidence(model, whole)
        assert not list(killed.iterdir())

    def test_none_is_trained_again_after_a_kill_in_an_epoch(self, make_model, train, whole, tmp_path, left_out):
        interrupted(make_model, train, tmp_path, Stop("student", 2), preset=presets.default)
        assert left_out == [0, 1, 2, 3, 4]
        model = train(make_model(), 4, plan_kwargs=PLANS, checkpoint_dir=tmp_path)
        assert left_out == [0, 1, 2, 3, 4]
        assert_same(model, whole)
        assert_same_confidence(model, whole)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("change", ["settings", "reference", "format"])
    def test_folds_of_another_run_are_not_taken(
        self, make_model, make_adata, train, killed, left_out, monkeypatch, change
    ):
        reference = make_adata(seed=5) if change == "reference" else None
        plans = {**PLANS, "student": {"lr": 0.01}} if change == "settings" else PLANS
        if change == "format":
            monkeypatch.setattr("plkd.train._checkpoint.FORMAT", 99)
        expected = train(make_model(reference), 4, plan_kwargs=plans)
        left_out.clear()
        model = train(make_model(reference), 4, plan_kwargs=plans, checkpoint_dir=killed)
        assert left_out == [0, 1, 2, 3, 4]
        assert_same_confidence(model, expected)


def assert_same_confidence(model, whole):
    assert model.confidence_["note"] == whole.confidence_["note"]
    for name, value in whole.confidence_["arrays"].items():
        np.testing.assert_array_equal(model.confidence_["arrays"][name], value)
    for name, value in whole.held_out_.items():
        np.testing.assert_array_equal(model.held_out_[name], value)
    np.testing.assert_array_equal(model.doubtful_indices, whole.doubtful_indices)
