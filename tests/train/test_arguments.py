"""What train() is asked is done, or refused before the first epoch."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pytest
from lightning.pytorch.callbacks import EarlyStopping
from scvi.train import SaveCheckpoint, TrainerConfig, TrainingPlanConfig

from plkd import PLKD


class Lengths(pl.Callback):
    """Note what each phase was started with."""

    def __init__(self):
        self.plans, self.stopping, self.epochs = {}, {}, {}

    def on_fit_start(self, trainer, pl_module):
        self.plans[pl_module.phase] = (pl_module.lr, pl_module.weight_decay)
        self.epochs[pl_module.phase] = trainer.max_epochs
        self.stopping[pl_module.phase] = [c for c in trainer.callbacks if isinstance(c, EarlyStopping)]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"learning_rate": 1e-3}, TypeError, r"learning_rate.*plan_kwargs"),
        ({"kwargs": 1}, TypeError, "unknown arguments"),
        ({"trainer_config": {"n_epochs": 3}}, TypeError, "n_epochs"),
        ({"trainer_config": 3}, TypeError, "trainer"),
        ({"plan_kwargs": {"lr": 1e-3}}, TypeError, r"lr.*by phase"),
        ({"plan_kwargs": {"teacher": {"learning_rate": 1}}}, TypeError, r"learning_rate.*teacher_training.*expected"),
        ({"plan_kwargs": {"student": 3}}, TypeError, "expected a dict of settings"),
        ({"plan_config": TrainingPlanConfig(lr=1e-2)}, TypeError, "by phase"),
        ({"plan_kwargs": {"teacher": {"optimizer": "lion"}}}, ValueError, r"optimizer='lion'.*adamw"),
        ({"plan_kwargs": {"student": {"schedule": "linear"}}}, ValueError, r"schedule='linear'.*one_cycle"),
        ({"plan_kwargs": {"student": {"kd_weight": 1.5}}}, ValueError, r"kd_weight=1.5.*\[0, 1\]"),
        ({"plan_kwargs": {"student": {"temperature": 0}}}, ValueError, "temperature=0"),
        ({"plan_kwargs": {"teacher": {"balance": -1}}}, ValueError, "balance=-1"),
        ({"plan_kwargs": {"teacher": {"unlabeled_ratio": -1}}}, ValueError, "unlabeled_ratio=-1"),
        ({"plan_kwargs": {"student": {"alignment_weight": -1}}}, ValueError, "student: alignment_weight=-1"),
        ({"plan_kwargs": {"teacher": {"lr": float("nan")}}}, ValueError, "lr=nan"),
        ({"plan_kwargs": {"teacher": {"max_epochs": 0}}}, ValueError, "max_epochs=0"),
        ({"max_epochs": 0}, ValueError, "max_epochs=0"),
        ({"max_epochs": 2.5}, ValueError, "max_epochs=2.5"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"train_size": 1.5}, ValueError, "train_size=1.5"),
        ({"datasplitter_kwargs": {"shuffle": True}}, TypeError, r"shuffle.*external_indexing"),
        ({"datasplitter_kwargs": {"external_indexing": [[0, 1], [1]]}}, ValueError, "disjoint"),
    ],
)
def test_impossible_arguments_are_refused_before_the_first_epoch(make_model, kwargs, error, message):
    epochs = []

    class Spy(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            epochs.append(pl_module.phase)

    model = make_model()
    with pytest.raises(error, match=message):
        model.train(**{"max_epochs": 1, **kwargs}, callbacks=[Spy()], enable_progress_bar=False)
    assert not epochs
    assert not model.is_trained


def test_plan_kwargs_win_over_plan_config_setting_by_setting(make_model, train):
    spy = Lengths()
    config = {"teacher": {"lr": 0.011, "weight_decay": 0.5}, "student": {"lr": 0.012}}
    train(make_model(), 1, callbacks=[spy], plan_config=config, plan_kwargs={"teacher": {"lr": 0.02}})
    assert spy.plans["teacher"] == (0.02, 0.5)
    assert spy.plans["student"][0] == 0.012
    assert config == {"teacher": {"lr": 0.011, "weight_decay": 0.5}, "student": {"lr": 0.012}}


def test_trainer_config_of_scvi_switches_early_stopping_on_with_our_metric(make_model, train):
    spy = Lengths()
    still = {"lr": 1e-12, "patience": 2, "schedule": "constant"}
    config = TrainerConfig(early_stopping=True)
    model = train(
        make_model(), 20, callbacks=[spy], trainer_config=config, plan_kwargs={"teacher": still, "student": still}
    )
    assert [c.monitor for c in spy.stopping["teacher"]] == ["teacher_score_validation"]
    assert [c.monitor for c in spy.stopping["student"]] == ["student_score_validation"]
    assert len(model.history["student_loss_train"]) < 20


def test_trainer_config_left_at_its_defaults_changes_nothing(make_model, train):
    spy = Lengths()
    model = train(make_model(), 2, callbacks=[spy], trainer_config=TrainerConfig())
    assert len(spy.stopping["teacher"]) == 1
    assert "teacher_ce_loss_validation" in model.history


def test_trainer_config_sets_what_train_was_not_told(make_model):
    spy = Lengths()
    config = TrainerConfig(max_epochs=3, enable_progress_bar=False, early_stopping_patience=7, accelerator="cpu")
    make_model().train(trainer_config=config, callbacks=[spy])
    assert spy.epochs == {"teacher": 3, "student": 3}
    assert spy.stopping["teacher"][0].patience == 7


def test_arguments_win_over_the_trainer_config(make_model, train):
    spy = Lengths()
    config = TrainerConfig(max_epochs=9, early_stopping=True, early_stopping_patience=7)
    train(make_model(), 1, callbacks=[spy], trainer_config=config, early_stopping=False)
    assert spy.epochs["student"] == 1
    assert not spy.stopping["teacher"]
    train(make_model(), 1, callbacks=[spy], trainer_config=config, early_stopping_patience=4)
    assert spy.stopping["teacher"][0].patience == 4


def test_config_without_early_stopping_as_a_dict_is_honoured(make_model, train):
    spy = Lengths()
    train(make_model(), 1, callbacks=[spy], trainer_config={"early_stopping": False})
    assert not spy.stopping["teacher"]


def test_callbacks_act_in_both_phases_and_the_list_stays_as_it_is(make_model, train):
    spy = Lengths()
    callbacks = [spy]
    train(make_model(), 1, callbacks=callbacks)
    assert set(spy.plans) == {"teacher", "student"}
    assert callbacks == [spy]


def test_one_callback_needs_no_list(make_model, train):
    spy = Lengths()
    train(make_model(), 1, callbacks=spy)
    assert set(spy.plans) == {"teacher", "student"}


def test_early_stopping_of_the_user_starts_afresh_with_the_student(make_model, train):
    """The Teacher's loss is lower here: a score carried over would stop the Student after one epoch."""
    stopping = EarlyStopping("validation_loss", patience=1)
    plans = {"teacher": {"lr": 1e-2}, "student": {"lr": 1e-4, "schedule": "constant", "kd_weight": 0.1}}
    model = train(make_model(), 6, callbacks=[stopping], early_stopping=False, plan_kwargs=plans)
    teacher, student = (model.history[f"{p}_ce_loss_validation"].iloc[:, 0] for p in ("teacher", "student"))
    assert stopping.best_score == pytest.approx(student.min(), rel=1e-4)
    assert len(student) > 2 or student.iloc[1] > student.iloc[0]
    assert len(teacher) >= 2


def test_save_checkpoint_of_scvi_puts_the_best_student_back(make_model, train, tmp_path):
    saving = SaveCheckpoint(dirpath=str(tmp_path), monitor="validation_loss", load_best_on_end=True)
    plans = {"teacher": {"lr": 1e-2}, "student": {"lr": 1e-4, "kd_weight": 0.1}}
    model = train(make_model(), 3, callbacks=[saving], early_stopping=False, plan_kwargs=plans)
    loaded = PLKD.load(saving.best_model_path, adata=model.adata)
    # By the latent space: the checkpoint is of a model that was not calibrated yet.
    expected = model.get_latent_representation()
    np.testing.assert_allclose(loaded.get_latent_representation(), expected, atol=1e-6)
    np.testing.assert_array_equal(loaded.predict(), model.predict())
    student = model.history["student_ce_loss_validation"].iloc[:, 0]
    assert float(saving.best_model_score) == pytest.approx(student.min(), rel=1e-4)


def test_numbers_of_numpy_are_numbers(make_model, train, tmp_path):
    plans = {"teacher": {"lr": np.float32(1e-3)}, "student": {"patience": np.int64(3)}}
    model = train(make_model(), np.int64(1), batch_size=np.int32(16), plan_kwargs=plans, checkpoint_dir=tmp_path)
    assert model.is_trained
