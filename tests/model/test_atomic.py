"""A save that fails or is killed, at whichever moment, leaves the old model or the new one, whole."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import numpy as np
import pytest

from plkd import PLKD, Annotator
from plkd._files import NotWrittenError
from tests import moments

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")


@pytest.fixture(scope="module")
def models(make_adata, make_model, train):
    """Give two models that answer differently, trained on data of different sizes."""
    return [train(make_model(make_adata(n), seed=n), 1) for n in (60, 90)]


@pytest.fixture(scope="module")
def query(make_adata):
    return make_adata(12, seed=9)


def save_whole(model, folder):
    model.save(folder, overwrite=True, save_anndata=True)


def save_both(model, folder):
    from plkd.cli._train import save_model

    save_model(model, folder)


def export(model, folder):
    model.export_student(folder, overwrite=True)


@pytest.fixture(scope="module")
def answers(models, query):
    """Give what each of the models says."""
    return [(model, model.predict(query, soft=True)) for model in models]


def held_by(folder, answers, query, *, with_data):
    """Return the model that a folder holds, just this, with its own reference; None if it is none of them."""
    loaded = PLKD.load(folder, accelerator="cpu")
    assert (loaded.adata is not None) == with_data
    model = that_says(loaded.predict(query, soft=True), answers)
    assert model is None or not with_data or loaded.adata.n_obs == model.adata.n_obs
    return model


def exported_to(folder, answers, query):
    """Return the model whose Annotator a folder holds."""
    return that_says(Annotator.load(folder).predict(query, soft=True), answers)


def that_says(found, answers):
    return next((model for model, said in answers if np.allclose(found, said, atol=1e-6)), None)


def strike_each_moment(tmp_path, prepare, work, check):
    """Kill, and fail, at every moment of some work on a folder; return the names of the moments."""
    for number in range(100):
        folder = prepare(tmp_path / f"killed_{number}")

        def killed(number=number, folder=folder):
            with moments.struck(number, moments.die):
                work(folder)

        was_killed = moments.in_child(killed) == -9
        check(folder, f"killed in {number}")
        # What the killed one left behind does not hinder the next.
        work(folder)

        folder = prepare(tmp_path / f"failed_{number}")
        # Where only the names could not be written, or leftovers not removed, the save is done.
        with moments.struck(number, moments.fail) as calls, suppress(NotWrittenError):
            work(folder)
        check(folder, f"failed in {number}, {calls[-1]}")
        left = [*folder.parent.glob(".failed*.tmp"), *folder.glob(".*.tmp")]
        assert not left or calls[number] in ("rmdir", "unlink"), calls[number]
        if not was_killed:
            return calls
    raise AssertionError("no end")


@pytest.mark.parametrize("over", ["nothing", "an old model with its data"])
def test_model_with_its_data(models, answers, query, tmp_path, over):
    old, new = models

    def prepare(folder):
        if over != "nothing":
            save_whole(old, folder)
        return folder

    def check(folder, moment):
        if over == "nothing" and not folder.exists():
            return
        held = held_by(folder, answers, query, with_data=True)
        assert held is new or (over != "nothing" and held is old), moment

    calls = strike_each_moment(tmp_path, prepare, lambda folder: save_whole(new, folder), check)
    assert {"torch.save", "fsync", "replace"} <= set(calls)
    assert len(list((tmp_path / "killed_0").iterdir())) == 2


def test_model_without_data_over_one_with_data(models, answers, query, tmp_path):
    old, new = models

    def prepare(folder):
        save_whole(old, folder)
        return folder

    def check(folder, moment):
        found = PLKD.load(folder, accelerator="cpu")
        assert found.adata is None or found.adata.n_obs == old.adata.n_obs
        assert that_says(found.predict(query, soft=True), answers) is (new if found.adata is None else old), moment

    strike_each_moment(tmp_path, prepare, lambda folder: new.save(folder, overwrite=True), check)
    assert [path.name for path in (tmp_path / "killed_0").iterdir()] == ["model.pt"]


def test_annotator(models, answers, query, tmp_path):
    old, new = models
    exported = {}
    for name, model in (("old", old), ("new", new)):
        exported[name] = model.export_student(tmp_path / name)

    def prepare(folder):
        return shutil.copytree(tmp_path / "old", folder)

    def check(folder, moment):
        assert exported_to(folder, answers, query) in models, moment

    calls = strike_each_moment(tmp_path, prepare, lambda folder: exported["new"].save(folder, overwrite=True), check)
    assert {"write_bytes", "fsync", "replace"} <= set(calls)


@pytest.mark.slow
def test_folder_of_the_command_line_never_holds_an_annotator_of_another_model(models, answers, query, tmp_path):
    old, new = models
    save_both(old, tmp_path / "old")

    def prepare(folder):
        return shutil.copytree(tmp_path / "old", folder)

    def check(folder, moment):
        whose = held_by(folder, answers, query, with_data=False)
        assert whose in models, moment
        if (folder / "annotator.safetensors").exists():
            assert exported_to(folder, answers, query) is whose, moment

    strike_each_moment(tmp_path, prepare, lambda folder: save_both(new, folder), check)
    assert sorted(path.name for path in (tmp_path / "killed_0").iterdir()) == ["annotator.safetensors", "model.pt"]


@pytest.mark.parametrize("step", range(8))
def test_killed_from_outside_at_any_time(models, answers, query, tmp_path, step):
    old, new = models
    save_whole(old, tmp_path / "m")
    moments.in_child(lambda: save_whole(new, tmp_path / "m"), killed_after=0.01 * step)
    assert held_by(tmp_path / "m", answers, query, with_data=True) in models
    save_whole(new, tmp_path / "m")
    assert held_by(tmp_path / "m", answers, query, with_data=True) is new


def test_full_disk_is_said_with_what_it_means_for_the_old_model(models, tmp_path, monkeypatch):
    save_whole(models[0], tmp_path / "m")
    with moments.struck(0, moments.fail, only="torch.save"), pytest.raises(NotWrittenError) as caught:
        save_whole(models[1], tmp_path / "m")
    assert str(caught.value).startswith(
        f"{tmp_path / 'm'} could not be written (No space left on device); what was there"
    )


def test_a_users_own_file_of_that_name_is_never_removed(models, tmp_path):
    """``plkd train adata.h5ad --out .``: the reference lies in the folder of the model."""
    (tmp_path / "adata.h5ad").write_bytes(b"mine")
    for _ in range(2):
        models[0].save(tmp_path, overwrite=True)
        models[0].save(tmp_path, overwrite=True, save_anndata=True)
    assert (tmp_path / "adata.h5ad").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 3
    models[0].save(tmp_path, overwrite=True)
    assert PLKD.load(tmp_path, accelerator="cpu").adata is None
