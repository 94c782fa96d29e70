"""Calibrated answers, novelty, rejection and prediction sets of a trained model, and that they survive its files."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import anndata as ad
import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy.special import softmax

from plkd import PLKD, Annotator, add_annotation, presets
from plkd.annotator._file import read_annotator
from plkd.confidence import Calibration, fit_temperature, matched_temperature
from plkd.data import Cells, Modality, Rows
from plkd.inference import run_in_surroundings, run_student
from plkd.model import _confidence as confidence_module
from plkd.nn import ProteinScaling

COLUMNS = ["label", "confidence", "novelty", "runner_up", "rejected", "reason"]
FAST = {"teacher": {"lr": 1e-2, "max_epochs": 15}, "student": {"lr": 6e-3, "max_epochs": 15}}
PLAIN = presets.default.replace(confidence={"n_folds": 0})


@pytest.fixture(scope="module")
def data(make_adata):
    """Four types in three batches; ``type_3`` is new in the query."""
    adata = make_adata(n_obs=400, n_labels=4, n_batches=4, seed=3)
    is_query = (adata.obs["batch"] == "batch_3").to_numpy()
    known = (adata.obs["cell_type"] != "type_3").to_numpy()
    ref = adata[~is_query & known].copy()
    ref.obs["cell_type"] = ref.obs["cell_type"].cat.remove_unused_categories()
    return ref, adata[is_query].copy()


@pytest.fixture(scope="module")
def model(data, make_model, train):
    return train(make_model(data[0].copy()), 15, plan_kwargs=FAST, batch_size=16)


@pytest.fixture(scope="module")
def plain(data, make_model, train):
    """A model without calibration."""
    return train(make_model(data[0].copy(), preset=PLAIN), 1)


class CutOff(pl.Callback):
    """Ctrl-C in the Student's phase."""

    def on_train_epoch_end(self, trainer, pl_module):
        if pl_module.phase == "student":
            raise KeyboardInterrupt


def held_out_novelty(model, name: str | int) -> np.ndarray:
    """Recompute the novelty of the held-out cells from the distances that are kept."""
    part = model._confidence.parts["rna",]
    scale = part.alone if name == "alone" else part.surrounded[name]
    return scale.score(np.asarray(scale.knots))


def surroundings(model, query):
    """Return a query's distances with neighbours, and the scale that they go by."""
    cells, _ = model._cells(query)
    part, scaling = model._confidence.parts["rna",], model._scaling()
    output, places = run_in_surroundings(
        scaling, model.module.student, cells, np.arange(query.n_obs), model._confidence.profiles
    )
    alone = part.centres.distance(output.latent)
    return places.surround(alone, output.logits), part.scale_for(query.n_obs)


def test_held_out_predictions_are_of_every_reference_cell(model):
    held = model.held_out_
    np.testing.assert_array_equal(held["cells"], np.arange(model.adata.n_obs))
    truth = model.adata.obs["cell_type"].cat.codes.to_numpy()
    np.testing.assert_array_equal(held["codes"], truth)
    assert (held["logits"].argmax(axis=1) == truth).mean() > 0.9
    assert model.confidence_["note"] == "whole batches left out in turn (3 batches in 3 folds)"


def of_the_folds(model) -> Calibration:
    """The calibration as it was fitted to the Students that did not see the cells."""
    held, own = model.held_out_, model._confidence.parts["rna",].calibration
    return replace(own, temperature=fit_temperature(held["logits"], held["codes"]))


def test_calibration_is_that_of_the_held_out_cells(model):
    held = model.held_out_
    probabilities = of_the_folds(model).probabilities(held["logits"])
    right = probabilities.argmax(axis=1) == held["codes"]
    assert probabilities.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.02)
    own = model._confidence.parts["rna",].own
    np.testing.assert_array_equal(own, probabilities[np.arange(len(own)), held["codes"]])


def test_the_distilled_student_is_as_sure_of_the_validation_cells_as_those_that_did_not_see_them(model):
    held, validation, cells = model.held_out_, np.sort(model.validation_indices), model._reference_cells()
    others = held["logits"][np.isin(held["cells"], validation)]
    logits = run_student(dict(model.module.scaling.items()), model.module.student, cells, validation).logits
    part = model._confidence.parts["rna",]
    assert part.calibration.temperature == pytest.approx(matched_temperature(logits, others, of_the_folds(model)))
    # The curve of this model is level, which asks for nothing; of one that rises:
    steep = replace(part, calibration=Calibration(1.7, np.array([0.2, 1.0]), np.array([0.3, 0.9]), 0.0))
    found = {"cells": held["cells"], "rna.logits": held["logits"]}
    own = model._as_sure(steep, found, cells, ("rna",), SimpleNamespace(validation=validation)).calibration
    assert own.temperature == matched_temperature(logits, others, steep.calibration) != 1.7
    np.testing.assert_array_equal(own.accuracy, steep.calibration.accuracy)


def test_training_gives_the_distilled_student_the_temperature_that_was_found_for_it(
    data, make_model, train, monkeypatch
):
    monkeypatch.setattr(confidence_module, "matched_temperature", lambda logits, others, calibration: 3.21)
    model = train(make_model(data[0].copy(), preset=presets.default.replace(confidence={"n_folds": 2})), 1)
    assert model._confidence.parts["rna",].calibration.temperature == 3.21


def test_soft_predictions_are_the_calibrated_logits_and_hard_ones_are_theirs(model, data):
    query = data[1]
    cells, _ = model._cells(query)
    logits = run_student(dict(model.module.scaling.items()), model.module.student, cells, np.arange(query.n_obs)).logits
    calibration = model._confidence.parts["rna",].calibration
    soft = model.predict(query, soft=True)
    np.testing.assert_array_equal(soft, calibration.probabilities(logits))
    np.testing.assert_array_equal(model.predict(query), soft.idxmax(axis=1))
    assert np.abs(soft.to_numpy() - softmax(logits.astype(float), axis=1)).max() > 1e-3


@pytest.mark.parametrize("rate", [0.05, 0.2])
@pytest.mark.parametrize("name", ["alone", 64])
def test_held_out_cells_are_rejected_at_the_stated_rate(model, rate, name):
    # Of 1,001 quantiles of the distances each is one held-out cell in a thousand.
    assert (held_out_novelty(model, name) > 1 - rate).mean() == pytest.approx(rate, abs=2e-3)


def test_cells_of_a_new_type_are_novel_and_known_ones_are_not(model, data):
    query = data[1]
    novelty, new = model.annotate(query)["novelty"], (query.obs["cell_type"] == "type_3").to_numpy()
    assert novelty[new].median() > 0.99
    assert novelty[~new].median() < 0.8
    pairs = novelty[new].to_numpy()[:, None] > novelty[~new].to_numpy()[None, :]
    assert pairs.mean() > 0.9  # the area under the ROC curve


@pytest.mark.parametrize(("unknown", "rate"), [("auto", 0.05), (0.05, 0.05), (0.3, 0.3), (np.float32(0.3), 0.3)])
def test_rejected_cells_alone_are_relabelled(model, data, unknown, rate):
    query = data[1]
    before, table = model.annotate(query), model.annotate(query, unknown=unknown, unknown_label="new type")
    assert list(table.columns) == COLUMNS
    rejected = table["rejected"].to_numpy()
    np.testing.assert_array_equal(rejected, before["novelty"] > 1 - np.float64(rate))
    assert 0 < rejected.sum() < query.n_obs
    np.testing.assert_array_equal(table["label"] == "new type", rejected)
    assert table["label"][~rejected].tolist() == before["label"][~rejected].tolist()
    assert table["label"].cat.categories.tolist() == [*model.labels, "new type"]
    for column in ("confidence", "novelty", "runner_up"):
        pd.testing.assert_series_equal(table[column], before[column])


def test_reasons_are_given_to_rejected_cells_alone(model, data):
    query = data[1]
    table, soft = model.annotate(query, unknown=0.3), model.predict(query, soft=True)
    for cell, row in table.iterrows():
        first, second = soft.loc[cell].nlargest(2).index
        between = soft.loc[cell, second] >= 0.5 * soft.loc[cell, first]
        expected = f"between {first} and {second}" if between else "unlike the reference"
        assert row["reason"] == (expected if row["rejected"] else "")


def test_nothing_is_rejected_unasked(model, data):
    table = model.annotate(data[1])
    assert not table["rejected"].any()
    assert (table["reason"] == "").all()
    assert table["label"].cat.categories.tolist() == model.labels


@pytest.mark.parametrize("unknown", [0, 1, 1.5, -0.1, True, False, "x", "0.05", np.nan, [0.05], np.array([0.1, 0.2])])
def test_impossible_rates_are_refused_before_the_query_is_read(model, tmp_path, unknown):
    with pytest.raises(ValueError, match=r"unknown=.*between 0 and 1.*Fix: `unknown=0.05`"):
        model.annotate("no query", unknown=unknown)
    with pytest.raises(ValueError, match="unknown="):
        model.export_student(tmp_path).annotate("no query", unknown=unknown)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("type_1", "is a label of the model"),
        (" type_1 ", "is a label of the model"),
        ("", "a name"),
        ("  ", "a name"),
        (None, "a name"),
        ("\ud800", "a name"),
        ("a\0", "a name"),
    ],
)
def test_impossible_unknown_labels_are_refused(model, label, message):
    with pytest.raises(ValueError, match=rf"unknown_label=.*{message}.*Fix: `unknown_label="):
        model.annotate("no query", unknown="auto", unknown_label=label)


def test_without_folds_probabilities_are_the_softmax_and_novelty_is_not_known(plain, data, tmp_path):
    query = data[1]
    cells, _ = plain._cells(query)
    logits = run_student(dict(plain.module.scaling.items()), plain.module.student, cells, np.arange(query.n_obs)).logits
    np.testing.assert_allclose(plain.predict(query, soft=True), softmax(logits.astype(float), axis=1), rtol=1e-12)
    exported = plain.export_student(tmp_path)
    assert exported.confidence is None
    for who in (plain, exported):
        table = who.annotate(query)
        assert list(table.columns) == COLUMNS
        assert table["novelty"].isna().all()
        with pytest.raises(ValueError, match=r"unknown='auto'.*not calibrated.*n_folds"):
            who.annotate(query, unknown="auto")
        with pytest.raises(ValueError, match=r"not calibrated.*n_folds"):
            who.predict_sets(query)


@pytest.mark.parametrize("n_folds", [1, -1, 2.5, True, "five"])
def test_impossible_numbers_of_folds_are_refused(n_folds):
    with pytest.raises(ValueError, match=r"n_folds=.*at least 2, or 0.*Fix"):
        presets.default.replace(confidence={"n_folds": n_folds})


@pytest.mark.parametrize("coverage", [0, 1, 1.2, True, "0.9", None, np.nan])
def test_impossible_coverage_is_refused_before_the_query_is_read(model, coverage):
    with pytest.raises(ValueError, match=r"coverage=.*Fix: `coverage=0.9`"):
        model.predict_sets("no query", coverage=coverage)


def test_sets_hold_the_called_label_and_cover_as_stated(model, data):
    query = data[1][data[1].obs["cell_type"] != "type_3"].copy()
    sets = model.predict_sets(query, coverage=0.9)
    assert list(sets.columns) == model.labels
    assert sets.index.equals(query.obs_names)
    called, truth = model.predict(query), query.obs["cell_type"].astype(str)
    values = sets.to_numpy()
    assert values.dtype == bool
    assert values[np.arange(len(values)), sets.columns.get_indexer(called)].all()
    assert values[np.arange(len(values)), sets.columns.get_indexer(truth)].mean() > 0.8
    assert (model.predict_sets(query, coverage=0.99).to_numpy() >= values).all()


def test_teacher_is_calibrated_on_the_cells_held_out_from_it(model, data):
    soft = model.predict(data[1], soft=True, model="teacher")
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_array_equal(soft.idxmax(axis=1), model.predict(data[1], model="teacher"))
    held = model.predict(indices=model.validation_indices, soft=True, model="teacher")
    right = (
        held.idxmax(axis=1).to_numpy() == model.adata.obs["cell_type"].astype(str).to_numpy()[model.validation_indices]
    )
    assert held.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.1)


def test_files_bring_every_answer_back_bit_for_bit(model, data, tmp_path):
    query = data[1]
    model.save(tmp_path / "m")
    loaded = PLKD.load(tmp_path / "m")
    exported = loaded.export_student(tmp_path / "a")
    exported.save(tmp_path / "again")
    expected, sets = model.annotate(query, unknown=0.2), model.predict_sets(query)
    for who in (loaded, exported, Annotator.load(tmp_path / "again")):
        pd.testing.assert_frame_equal(who.annotate(query, unknown=0.2), expected, check_exact=True)
        pd.testing.assert_frame_equal(who.predict(query, soft=True), model.predict(query, soft=True), check_exact=True)
        pd.testing.assert_frame_equal(who.predict_sets(query), sets)
    teacher = {"soft": True, "model": "teacher"}
    pd.testing.assert_frame_equal(loaded.predict(query, **teacher), model.predict(query, **teacher), check_exact=True)
    assert exported.confidence.note == model.confidence_["note"]
    for name, value in model.held_out_.items():
        np.testing.assert_array_equal(loaded.held_out_[name], value)
    (first, about), (second, about_again) = (read_annotator(tmp_path / folder) for folder in ("a", "again"))
    assert about == about_again
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


def test_the_same_seed_gives_the_same_confidence_and_the_fit_leaves_the_networks_alone(data, make_model, train):
    every = presets.default.replace(confidence={"drop_doubtful": False})
    one, again, without = (train(make_model(data[0].copy(), preset=preset), 1) for preset in (every, every, PLAIN))
    for name, value in one.confidence_["arrays"].items():
        np.testing.assert_array_equal(again.confidence_["arrays"][name], value)
    for name, value in one.module.state_dict().items():
        np.testing.assert_array_equal(without.module.state_dict()[name], value)


def test_one_batch_lowers_the_confidence_and_says_so(make_adata, make_model, train, caplog):
    with caplog.at_level(logging.INFO, logger="plkd"):
        model = train(make_model(make_adata(90), batch_key=None), 1)
    assert "5 folds stratified by label" in model.confidence_["note"]
    assert model.confidence_["note"].endswith("one batch: confidence lowered by 5%")
    assert model.confidence_["arrays"]["rna.allowance"] == [0.05]
    assert "Confidence: 90 held-out cells, 5 folds stratified by label" in caplog.text
    assert model.predict(soft=True).to_numpy().max() <= 0.95


def test_reference_whose_labels_have_one_cell_each_is_not_calibrated_and_says_so(make_adata, make_model, train, caplog):
    adata = make_adata(40)
    adata.obs["cell_type"] = pd.Categorical(["a", "b", *[np.nan] * 38])
    with caplog.at_level(logging.WARNING, logger="plkd"):
        model = train(make_model(adata), 1)
    assert "Confidence is not calibrated" in caplog.text
    assert model.annotate()["novelty"].isna().all()


def test_shift_of_the_whole_query_is_said_and_taken_out(model, data, caplog):
    query = data[1][data[1].obs["cell_type"] != "type_3"].copy()
    rng = np.random.default_rng(0)
    # Half of each count replaced by counts without any pattern: every cell moves.
    query.X = rng.binomial(query.X.toarray().astype(int), 0.4) + rng.poisson(1.0, size=query.shape)
    query.X = query.X.astype(np.float32)
    distance, scale = surroundings(model, query)
    shift = scale.shift(distance)
    assert shift > 1.2
    with caplog.at_level(logging.INFO, logger="plkd"):
        table = model.annotate(query)
    assert f"lie {shift:.1f} times as far" in caplog.text
    assert table.attrs["shift"] == shift
    np.testing.assert_array_equal(table["novelty"], scale.score(distance, shift))


def test_a_handful_of_cells_is_judged_one_by_one(model, data):
    query = data[1][:49].copy()
    table, alone = model.annotate(query), model._confidence.parts["rna",].alone
    distance = model._confidence.parts["rna",].centres.distance(model.get_latent_representation(query))
    np.testing.assert_array_equal(table["novelty"], alone.score(distance))
    one_by_one = pd.concat([model.annotate(query, indices=[i]) for i in range(5)])
    np.testing.assert_allclose(one_by_one["novelty"], table["novelty"][:5], atol=1e-4)


def test_profiles_are_the_labels_mean_values(model):
    counts = model.adata.X.toarray()
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    train, truth = model.train_indices_, model.adata.obs["cell_type"].astype(str).to_numpy()
    for label, profile in zip(model.labels, model._confidence.profiles["rna"], strict=True):
        own = train[truth[train] == label]
        np.testing.assert_allclose(profile, values[own].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_profiles_of_a_rare_modality_come_from_the_cells_that_have_it(monkeypatch):
    """Of 600 cells 30 have proteins: thinned together with the others, most labels would lose theirs."""
    monkeypatch.setattr(confidence_module, "_MOST_CENTRED", 60)
    monkeypatch.setattr(confidence_module, "_LEAST_OF_A_LABEL", 5)
    labels, position = np.arange(600) % 3, np.full(600, -1)
    measured = np.arange(1, 600, 20)
    position[measured] = np.arange(30)
    counts = np.full((30, 3), 5.0, dtype=np.float32)
    counts[np.arange(30), labels[measured]] = 80
    cells = Cells({"protein": Modality(Rows(counts), position=position)}, 600, labels=labels)
    profiles = confidence_module._profiles({"protein": ProteinScaling(np.zeros(3))}, cells, np.arange(600), 3)
    assert profiles["protein"].argmax(axis=1).tolist() == [0, 1, 2]


def test_cells_left_out_of_the_table_are_missing_and_can_be_written(model, data, tmp_path):
    query = data[1].copy()
    add_annotation(query, model.annotate(query, indices=[0, 1, 2], unknown=0.3))
    assert query.obs["plkd_rejected"].isna().sum() == query.n_obs - 3
    query.write_h5ad(tmp_path / "query.h5ad")
    again = ad.read_h5ad(tmp_path / "query.h5ad").obs["plkd_rejected"]
    assert again.isna().tolist() == query.obs["plkd_rejected"].isna().tolist()


def test_rejected_cells_do_not_vote(model, data):
    query = data[1]
    table = model.annotate(query, unknown=0.3, over_clustering=query.obs["cell_type"])
    cells = model.annotate(query, unknown=0.3)
    assert list(table.columns) == [*COLUMNS, "cell_label", "vote_share"]
    np.testing.assert_array_equal(table["rejected"], cells["rejected"])
    assert (table["label"][table["rejected"]] == "Unknown").all()
    assert not (table["label"][~table["rejected"]] == "Unknown").any()


class TestModalities:
    def test_each_set_of_modalities_has_a_part(self, joint):
        parts = set(joint._confidence.parts)
        assert ("rna",) in parts
        assert ("rna", "protein", "atac") in parts
        assert len(parts) == 7

    def test_a_query_of_proteins_alone_goes_by_their_own_part(self, joint, make_mdata):
        query = make_mdata(60, seed=1)
        part = joint._confidence.parts["protein",]
        cells, _ = joint._cells(query["prot"])
        out = run_student(joint._scaling(), joint.module.student, cells, np.arange(60))
        table = joint.annotate(query["prot"])
        np.testing.assert_array_equal(
            joint.predict(query["prot"], soft=True), part.calibration.probabilities(out.logits)
        )
        # Folds of 24 cells: too few to judge a cell by its neighbours.
        assert not part.surrounded
        distance = part.centres.distance(out.latent)
        np.testing.assert_array_equal(table["novelty"], part.alone.score(distance, part.alone.shift(distance)))
        restricted = joint.annotate(query, modality="prot").loc[table.index]
        np.testing.assert_allclose(restricted["confidence"], table["confidence"], rtol=1e-4)

    def test_files_keep_every_part(self, joint, make_mdata, tmp_path):
        query = make_mdata(60, seed=1, mosaic=True)
        exported = joint.export_student(tmp_path)
        pd.testing.assert_frame_equal(exported.annotate(query), joint.annotate(query), check_exact=True)

    def test_a_mosaic_reference_is_held_out_whole_and_every_cell_is_answered(self, make_mdata, make_joint_model, train):
        mdata = make_mdata(120, modalities=("rna", "prot"), mosaic=True)
        model = train(make_joint_model(mdata), 1)
        assert len(model.held_out_["cells"]) == 120
        table = model.annotate()
        assert np.isfinite(table[["confidence", "novelty"]].to_numpy()).all()

    def test_proteins_of_one_batch_alone_are_calibrated_too(self, make_mdata, make_joint_model, train):
        mdata = make_mdata(150, modalities=("rna", "prot"))
        mdata.obs["batch"] = [f"b{i % 3}" for i in range(150)]
        proteins = mdata["prot"][mdata["prot"].obs_names.isin(mdata.obs_names[mdata.obs["batch"] == "b0"])].copy()
        some = MuData({"rna": mdata["rna"].copy(), "prot": proteins})
        some.obs[["cell_type", "batch"]] = mdata.obs.loc[some.obs_names, ["cell_type", "batch"]]
        model = train(make_joint_model(some), 1)
        assert "labels or modalities lie in single batches" in model.confidence_["note"]
        assert ("rna", "protein") in model._confidence.parts
        assert np.isfinite(model.annotate()["novelty"]).all()


def test_clusters_in_place_of_labels_are_calibrated_like_labels(make_adata, train):
    adata = make_adata(90)
    PLKD.setup_anndata(adata, None)
    small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
    model = train(PLKD(adata, **small), 1)
    table = model.annotate(unknown="auto")
    assert np.isfinite(table[["confidence", "novelty"]].to_numpy()).all()


def test_training_on_fits_the_confidence_anew(data, make_model, train):
    model = train(make_model(data[0].copy()), 1)
    before = model.held_out_["logits"].copy()
    train(model, 2)
    assert len(model.held_out_["logits"]) == len(before)
    assert not np.array_equal(model.held_out_["logits"], before)


def test_training_on_that_is_cut_off_leaves_no_confidence_of_other_weights(data, make_model, train):
    model = train(make_model(data[0].copy()), 1)
    with pytest.raises(KeyboardInterrupt):
        train(model, 1, callbacks=[CutOff()])
    assert model.is_trained
    assert model.held_out_ is None
    assert model.annotate(data[0])["novelty"].isna().all()
    with pytest.raises(ValueError, match="not calibrated"):
        model.annotate(data[0], unknown="auto")


class TestDoubtfulLabels:
    @pytest.fixture(scope="class")
    def wrong(self, data) -> tuple[ad.AnnData, np.ndarray]:
        """Give the reference with ten wrong labels, and the numbers of those cells."""
        ref, numbers = data[0].copy(), np.arange(0, 200, 20)
        codes = ref.obs["cell_type"].cat.codes.to_numpy().copy()
        codes[numbers] = (codes[numbers] + 1) % 3
        ref.obs["cell_type"] = pd.Categorical.from_codes(codes, ref.obs["cell_type"].cat.categories)
        return ref, numbers

    def test_cells_of_wrong_labels_do_not_train_and_are_named(self, wrong, make_model, train, tmp_path, caplog):
        ref, numbers = wrong
        with caplog.at_level(logging.INFO, logger="plkd"):
            model = train(make_model(ref.copy()), 15, plan_kwargs=FAST, batch_size=16)
        found = model.doubtful_indices
        assert np.isin(found, numbers).mean() > 0.5
        assert len(found) >= 4
        assert not np.intersect1d(found, model.train_indices).size
        # Those held out for validation stay there.
        assert not np.intersect1d(found, model.validation_indices).size
        assert len(found) + len(model.train_indices) + len(model.validation_indices) == ref.n_obs
        assert f"{len(found)} of {len(found) + len(model.train_indices)} labels are doubtful" in caplog.text
        # Calibration is about the labels as they are.
        np.testing.assert_array_equal(model.held_out_["codes"], ref.obs["cell_type"].cat.codes)
        model.save(tmp_path / "m")
        np.testing.assert_array_equal(PLKD.load(tmp_path / "m").doubtful_indices, found)

    def test_all_cells_train_where_that_is_asked_for(self, wrong, make_model, train):
        preset = presets.default.replace(confidence={"drop_doubtful": False})
        model = train(make_model(wrong[0].copy(), preset=preset), 1)
        assert not len(model.doubtful_indices)
        assert len(model.train_indices) + len(model.validation_indices) == wrong[0].n_obs

    def test_clusters_in_place_of_labels_are_not_doubted(self, make_adata, train):
        adata = make_adata(90)
        PLKD.setup_anndata(adata, None)
        small = {"teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (16, 8)}}
        assert not len(train(PLKD(adata, **small), 1).doubtful_indices)
