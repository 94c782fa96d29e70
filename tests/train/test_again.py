"""What training leaves behind: nothing after it diverged, the same held-out cells when a model trains on."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from plkd import PLKD, presets

LABELS_ALONE = {"student": {"kd_weight": 0.0}}


@pytest.mark.parametrize(("phase", "n_folds"), [("teacher", 0), ("student", 0), ("student", 5)])
def test_training_that_diverged_is_refused(make_model, train, phase, n_folds):
    model = make_model(preset=presets.default.replace(confidence={"n_folds": n_folds}))
    with pytest.raises(RuntimeError, match=rf"Training of the {phase} diverged.*learning rate"):
        train(model, plan_kwargs={phase: {"lr": 1e10}})
    assert not model.is_trained
    with pytest.raises(RuntimeError, match="not trained"):
        model.predict()


def test_a_model_that_diverges_when_it_trains_on_is_not_trained_any_more(make_model, train):
    model = train(make_model(preset=presets.default.replace(confidence={"n_folds": 0})))
    with pytest.raises(RuntimeError, match="diverged"):
        train(model, plan_kwargs={"student": {"lr": 1e10}})
    assert not model.is_trained


def test_folds_that_diverge_leave_the_model_as_it_was(make_model, train):
    model = train(make_model())
    before = model.predict(soft=True)
    with pytest.raises(RuntimeError, match="Training of the student diverged"):
        train(model, plan_kwargs={"student": {"lr": 1e10}})
    np.testing.assert_array_equal(model.predict(soft=True), before)


def test_a_teacher_that_was_not_trained_does_not_answer(make_model, train, tmp_path):
    model = train(make_model(), plan_kwargs=LABELS_ALONE)
    model.save(tmp_path / "model")
    for asked in (model, PLKD.load(tmp_path / "model", model.adata)):
        assert len(asked.predict()) == asked.adata.n_obs
        for ask in (
            lambda asked=asked: asked.predict(model="teacher"),
            lambda asked=asked: asked.get_latent_representation(model="teacher"),
            asked.get_pattern_attention,
        ):
            with pytest.raises(RuntimeError, match="The Teacher is not trained: with kd_weight=0"):
                ask()
    train(model)
    assert len(model.predict(model="teacher")) == model.adata.n_obs


def test_a_teacher_that_does_not_teach_stays_as_it_is(make_model, make_adata, train):
    model = train(make_model(make_adata(n_obs=300)))
    assert model.confidence_["teacher"] is not None
    before = model.predict(model="teacher", soft=True)
    train(model, plan_kwargs=LABELS_ALONE)
    np.testing.assert_array_equal(model.predict(model="teacher", soft=True), before)


def test_cells_that_were_held_out_stay_so(make_model, train, tmp_path, caplog):
    model = train(make_model())
    parts = [model.train_indices, model.validation_indices, model.doubtful_indices]
    model.save(tmp_path / "model")
    loaded = PLKD.load(tmp_path / "model", model.adata)
    for again in (model, loaded):
        with caplog.at_level(logging.INFO, logger="plkd"):
            train(again)
        assert again.validation_indices.tolist() == parts[1].tolist()
        assert (
            np.union1d(again.train_indices, again.doubtful_indices).tolist() == np.union1d(parts[0], parts[2]).tolist()
        )
        assert f"the {len(parts[1])} cells held out before stay so" in caplog.text


def test_other_sizes_draw_anew_and_say_what_that_does(make_model, train, caplog):
    model = train(make_model())
    with caplog.at_level(logging.WARNING, logger="plkd"):
        train(model, train_size=0.7)
    assert len(model.validation_indices) == 36
    assert "scores of them look too good" in caplog.text


def test_a_reference_of_other_labels_is_divided_anew(make_model, make_adata, train, tmp_path):
    model = train(make_model())
    model.save(tmp_path / "model")
    other = make_adata(n_obs=150, seed=5)
    loaded = PLKD.load(tmp_path / "model", other)
    train(loaded)
    assert len(loaded.train_indices) + len(loaded.doubtful_indices) + len(loaded.validation_indices) == 150
