from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scvi.model import SCVI

from plkd import PLKD, PatternSet, presets
from plkd.model._files import FORMAT


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    trained.save(folder)
    return folder


@pytest.fixture
def query(make_adata):
    return make_adata(40, seed=9)


def assert_same_answers(model, trained, query):
    for which in ("student", "teacher"):
        pd.testing.assert_frame_equal(
            model.predict(query, soft=True, model=which), trained.predict(query, soft=True, model=which)
        )


def test_model_without_its_reference_answers_explains_and_exports(saved, trained, query, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = PLKD.load(saved)
    assert model.adata is None
    assert_same_answers(model, trained, query)
    pd.testing.assert_frame_equal(model.get_pattern_attention(query), trained.get_pattern_attention(query))
    pd.testing.assert_frame_equal(model.get_pattern_attribution(query), trained.get_pattern_attribution(query))
    model.export_student(tmp_path / "annotator")


def test_model_without_its_reference_says_what_it_lacks(saved):
    model = PLKD.load(saved)
    with pytest.raises(ValueError, match="without its reference"):
        model.predict()
    with pytest.raises(ValueError, match=r"load\(path, adata=ref\)"):
        model.train()


def test_model_comes_back_with_its_reference(saved, trained, make_adata):
    ref = make_adata()
    model = PLKD.load(saved, adata=ref)
    assert model.adata is ref
    pd.testing.assert_frame_equal(model.predict(soft=True), trained.predict(soft=True))


def test_all_that_was_learned_comes_back(saved, trained):
    model = PLKD.load(saved)
    assert model.is_trained
    assert model.labels == trained.labels
    assert repr(model) == repr(trained)
    assert set(model.history) == set(trained.history)
    for part in ("train_indices", "validation_indices"):
        np.testing.assert_array_equal(getattr(model, part), getattr(trained, part))
    state, expected = model.patterns.state(), trained.patterns.state()
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(np.asarray(state[key]), np.asarray(value))
    assert all(torch.equal(v, trained.module.state_dict()[k]) for k, v in model.module.state_dict().items())


def test_preset_and_changes_to_it_come_back(make_model, tmp_path, train):
    preset = presets.default.replace(student_training={"temperature": 3.5})
    model = train(make_model(preset=preset, student_kwargs={"n_hidden": (5,)}), 1)
    model.save(tmp_path / "m")
    again = PLKD.load(tmp_path / "m")
    assert again._settings == model._settings
    assert again._settings.student_training.temperature == 3.5
    assert tuple(again._settings.student.n_hidden) == (5,)


def test_patterns_need_their_path_no_more(make_model, marker_sets, train, tmp_path, query):
    path = tmp_path / "sets.gmt"
    path.write_text("".join("\t".join([name, "from here", *genes]) + "\n" for name, genes in marker_sets.items()))
    model = train(make_model(patterns=path), 1)
    model.save(tmp_path / "m")
    path.unlink()
    again = PLKD.load(tmp_path / "m")
    assert set(marker_sets) <= set(again.patterns.names)
    assert_same_answers(again, model, query)


def test_saved_patterns_make_a_new_model(trained, make_adata):
    assert PatternSet.from_state(trained.patterns.state()).names == trained.patterns.names


def test_loaded_model_trains_on(saved, make_adata, train, trained):
    model = PLKD.load(saved, adata=make_adata())
    before = model.module.state_dict()["student.head.weight"].clone()
    train(model, 2, plan_kwargs={"student": {"schedule": "constant"}})
    assert len(model.history["student_loss_train"]) == len(trained.history["student_loss_train"]) + 2
    assert not torch.equal(before, model.module.state_dict()["student.head.weight"])


def test_reordered_reference_is_matched_by_name(saved, trained, make_adata, train):
    """Its columns lie elsewhere: read by position they would be other genes."""
    ref = make_adata()
    shuffled = ref[:, np.random.default_rng(0).permutation(ref.n_vars)].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scvi-tools says that the order differs
        model = PLKD.load(saved, adata=shuffled)
        plain = PLKD.load(saved, adata=ref)
    expected = trained.predict(soft=True)
    np.testing.assert_allclose(model.predict(soft=True), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(ref, soft=True), expected, atol=1e-6)
    assert list(model.get_var_names()) == list(ref.var_names)
    for each in (model, plain):
        torch.manual_seed(3)
        train(each, 1)
    np.testing.assert_allclose(model.predict(ref, soft=True), plain.predict(ref, soft=True), atol=1e-5)


def test_query_without_labels_or_batches_can_be_attached(saved, trained, query):
    expected = trained.predict(query, soft=True)
    del query.obs["cell_type"], query.obs["batch"]
    model = PLKD.load(saved, adata=query)
    pd.testing.assert_frame_equal(model.predict(soft=True), expected)
    with pytest.raises(ValueError, match=r"None of the 40 cells has a label.*adata=ref"):
        model.train(1, enable_progress_bar=False)


def test_attached_data_on_another_scale_leaves_the_model_s_own(saved, trained, query, caplog):
    query.X = query.X.log1p() * 1.01
    model = PLKD.load(saved, adata=query)
    assert "(counts)" in repr(model)
    with caplog.at_level(logging.WARNING, logger="plkd"):
        model.predict()
    assert "the reference held counts" in caplog.text


def test_new_labels_and_batches_can_be_attached(saved, query, caplog):
    query.obs["cell_type"] = ["alien", *query.obs["cell_type"].astype(str)[1:]]
    query.obs["batch"] = "never seen"
    with caplog.at_level(logging.WARNING, logger="plkd"):
        model = PLKD.load(saved, adata=query)
    assert "alien" in caplog.text
    assert model.labels == ["type_0", "type_1", "type_2"]
    labels = model._reference_cells().labels
    assert labels[0] == -1
    assert (labels[1:] >= 0).all()


def test_data_of_other_genes_are_refused_untouched(saved, query):
    query.var_names = [f"OTHER{i}" for i in range(query.n_vars)]
    with pytest.warns(UserWarning, match="var_names"), pytest.raises(ValueError, match="0 of the model's 60 features"):
        PLKD.load(saved, adata=query)
    assert not query.uns
    assert list(query.obs) == ["cell_type", "batch"]


def test_view_cannot_be_attached(saved, query):
    view = query[:30]
    with pytest.raises(ValueError, match="copy"):
        PLKD.load(saved, adata=view)
    assert view.is_view


def test_reference_can_be_saved_with_the_model(trained, tmp_path):
    trained.save(tmp_path / "m", save_anndata=True)
    model = PLKD.load(tmp_path / "m")
    assert model.adata.shape == trained.adata.shape
    pd.testing.assert_frame_equal(model.predict(soft=True), trained.predict(soft=True))
    trained.save(tmp_path / "m", overwrite=True)
    assert PLKD.load(tmp_path / "m").adata is None


def test_prefix_lets_two_models_share_a_folder(trained, tmp_path, query):
    trained.save(tmp_path / "m", prefix="a_")
    trained.save(tmp_path / "m", prefix="b_", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["a_model.pt", "b_model.pt"]
    assert_same_answers(PLKD.load(tmp_path / "m", prefix="a_"), trained, query)
    with pytest.raises(ValueError, match=r"\(model.pt\); found \['a_model.pt', 'b_model.pt'\]"):
        PLKD.load(tmp_path / "m")


def test_nothing_is_overwritten_unasked(trained, tmp_path):
    trained.save(tmp_path / "m")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"already exists.*overwrite=True"):
        trained.save(tmp_path / "m")
    trained.save(tmp_path / "m", overwrite=True)
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        trained.save(tmp_path / "file", overwrite=True)


def test_save_makes_parents_and_takes_the_folder_one_is_in(trained, tmp_path, monkeypatch):
    trained.save(tmp_path / "a" / "b" / "m")
    monkeypatch.chdir(tmp_path / "a")
    trained.save(".", overwrite=True)
    assert (tmp_path / "a" / "model.pt").exists()
    assert PLKD.load(".").is_trained


def test_wrong_folders_are_refused_with_what_they_hold(trained, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        PLKD.load(tmp_path / "nowhere")
    (tmp_path / "data.csv").write_text("x")
    with pytest.raises(ValueError, match=r"no saved PLKD model.*data.csv"):
        PLKD.load(tmp_path)
    trained.export_student(tmp_path / "annotator")
    with pytest.raises(ValueError, match=r"plkd\.Annotator\.load"):
        PLKD.load(tmp_path / "annotator")


def test_model_of_another_class_is_refused(make_adata, tmp_path):
    adata = make_adata(30)
    SCVI.setup_anndata(adata)
    SCVI(adata, n_hidden=4, n_latent=2).save(str(tmp_path / "scvi"))
    with pytest.raises(ValueError, match=r"another class, SCVI; expected PLKD"):
        PLKD.load(tmp_path / "scvi", adata=adata)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_file_cut_short_is_refused_by_name(saved, tmp_path, share):
    data = (saved / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"model.pt is damaged or cut short"):
        PLKD.load(tmp_path)


def test_newer_format_is_refused_before_anything_is_built(saved, tmp_path):
    content = torch.load(saved / "model.pt", weights_only=False)
    content["attr_dict"]["format_"] += 1
    content["attr_dict"]["init_params_"] = {"kwargs": {}, "non_kwargs": {"from_the_future": 1}}
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"format {FORMAT + 1}; this plkd reads up to {FORMAT}.*update plkd"):
        PLKD.load(tmp_path)


def test_failing_save_leaves_the_old_model_and_nothing_else(trained, make_model, tmp_path, monkeypatch, query):
    trained.save(tmp_path / "m")

    def fail(obj, path, **kwargs):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            make_model().save(tmp_path / "m", overwrite=True, save_anndata=True)
        with pytest.raises(OSError, match="disk full"):
            make_model().save(tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["m", "model.pt"]
    assert_same_answers(PLKD.load(tmp_path / "m"), trained, query)


def test_untrained_model_comes_back_untrained(make_model, tmp_path):
    make_model().save(tmp_path / "m")
    model = PLKD.load(tmp_path / "m")
    assert not model.is_trained
    assert "Not trained" in repr(model)
