"""What training leaves behind: nothing after it diverged, the same held-out cells when a model trains on."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
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


def test_the_same_sizes_in_other_words_are_the_same(make_model, train, caplog):
    model = train(make_model())
    held_out = model.validation_indices
    train(model, train_size=0.9, validation_size=0.1)
    assert model.validation_indices.tolist() == held_out.tolist()
    assert "too good" not in caplog.text


@pytest.mark.parametrize(
    "given", [{"train_size": 0.7}, {"datasplitter_kwargs": {"external_indexing": [range(100), range(100, 120)]}}]
)
def test_cells_that_trained_and_are_held_out_now_are_said(make_model, train, caplog, given):
    model = train(make_model())
    assert "too good" not in caplog.text
    with caplog.at_level(logging.WARNING, logger="plkd"):
        train(model, **given)
    assert "Cells are held out that have trained before" in caplog.text


@pytest.mark.parametrize("change", ["other labels", "another order"])
def test_another_reference_is_divided_anew_and_that_is_said(make_model, make_adata, train, tmp_path, caplog, change):
    model = train(make_model())
    model.save(tmp_path / "model")
    order = np.argsort(model.adata.obs["cell_type"].to_numpy(), kind="stable")
    other = make_adata(seed=5) if change == "other labels" else make_adata()[order].copy()
    loaded = PLKD.load(tmp_path / "model", other)
    with caplog.at_level(logging.WARNING, logger="plkd"):
        train(loaded)
    assert "Cells are held out that have trained before, or may have" in caplog.text


def test_cells_of_two_references_that_were_held_out_stay_so(make_model, make_adata, train, caplog):
    first, second = make_adata(seed=1), make_adata(60, seed=2)
    second.obs_names = "second_" + second.obs_names
    grown = PLKD.load_query_data(second, train(make_model(first)))
    train(grown, earlier=first)
    kept = [part.tolist() for part in grown.split_of_["parts"]]
    assert len(kept[1]) > len(grown.validation_indices)
    with caplog.at_level(logging.INFO, logger="plkd"):
        train(grown, earlier=first)
    assert f"the {len(kept[1])} cells held out before stay so" in caplog.text
    assert [part.tolist() for part in grown.split_of_["parts"]] == kept


def test_a_query_that_teaches_changes_nothing_of_that(make_model, make_adata, train):
    model = train(make_model(), unlabeled=make_adata(50, seed=3))
    held_out = model.validation_indices
    train(model, unlabeled=make_adata(40, seed=4))
    assert model.validation_indices.tolist() == held_out.tolist()


def test_a_run_that_was_cut_off_holds_out_the_same_cells_when_it_is_started_anew(make_model, train):
    class Cut(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if pl_module.phase == "student":
                raise RuntimeError("power cut")

    model = make_model()
    with pytest.raises(RuntimeError, match="power cut"):
        train(model, callbacks=[Cut()])
    held_out = model.split_of_["parts"][1]
    train(model)
    assert model.validation_indices.tolist() == held_out.tolist()


def test_a_second_training_is_resumed_in_another_object(make_model, train, tmp_path):
    class Cut(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if pl_module.phase == "student":
                raise RuntimeError("power cut")

    model = train(make_model())
    held_out = model.validation_indices
    with pytest.raises(RuntimeError, match="power cut"):
        train(model, callbacks=[Cut()], checkpoint_dir=tmp_path)
    again = train(make_model(), checkpoint_dir=tmp_path)
    assert again.validation_indices.tolist() == held_out.tolist()
