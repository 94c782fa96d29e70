"""Files of every format, written with either version of scvi-tools, load and say what they said."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from plkd import PLKD, Annotator

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDERS = sorted(path.parent for path in FIXTURES.glob("format_*/scvi_*/*/expected.json"))


@pytest.fixture(scope="module")
def make():
    """Give the script that wrote the fixtures."""
    spec = importlib.util.spec_from_file_location("fixtures_make", FIXTURES / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_stacks_and_both_kinds_of_data_are_kept():
    assert {"/".join(folder.parts[-3:]) for folder in FOLDERS} >= {
        f"format_{number}/scvi_{version}/{kind}"
        for number in (1, 2, 3, 4, 5)
        for version in ("1.4.2", "1.5.1")
        for kind in ("anndata", "mudata")
    }
    assert all(path.stat().st_size < 120_000 for folder in FOLDERS for path in folder.iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:]))
def test_fixture_says_what_it_said(make, folder):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    data = make.DATA[folder.name]()
    found = make.answers(PLKD.load(folder, accelerator="cpu"), Annotator.load(folder), data)
    assert found.pop("labels") == expected.pop("labels") == list(make.LABELS)
    assert found.keys() >= expected.keys()
    if not {"format_4", "format_5"} & set(folder.parts):
        # Gradients times values when these files were written; integrated gradients now.
        del expected["attribution"]
    assert ("novelty" in expected) is (not {"format_1", "format_2"} & set(folder.parts))
    for name, values in expected.items():
        # Distances were of double precision before, and a rank among few held-out cells moves in steps.
        np.testing.assert_allclose(found[name], values, atol=1e-3 if name == "novelty" else 1e-5, err_msg=name)
    # Answers that do not depend on the cell would be equal whatever was read.
    assert all(np.ptp(np.asarray(expected[name]), axis=0).min() > 0.3 for name in ("student", "teacher"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:]))
def test_fixture_trains_on_and_is_saved_in_the_present_format(make, folder, tmp_path, train):
    data = make.DATA[folder.name]()
    model = PLKD.load(folder, adata=data, accelerator="cpu")
    before = len(model.history["student_loss_train"])
    student = model._settings.student_training
    # One weight for both before format 4; format 1 knew none.
    weights = {"format_1": (0.0, 0.0), "format_4": (1.0, 0.1), "format_5": (1.0, 0.1)}.get(folder.parts[-3], (0.1, 0.1))
    assert (student.alignment_weight, student.modality_alignment_weight) == weights
    train(model, 1)
    assert len(model.history["student_loss_train"]) == before + 1
    model.save(tmp_path / "m")
    again = PLKD.load(tmp_path / "m", accelerator="cpu")
    assert again.format_ == model.format_
    np.testing.assert_array_equal(again.predict(data), model.predict(data))


def test_hops_reach_the_model_and_what_it_is_built_from(make, monkeypatch):
    """One format ahead: the first hop changes a setting that the networks are built with, the last adds an attribute."""
    from plkd.model import _files

    def to_2(saved):
        given = saved["init_params_"]["non_kwargs"]
        preset = {**given["preset"], "student_training": {**given["preset"]["student_training"], "temperature": 7.0}}
        return {**saved, "init_params_": {"kwargs": {}, "non_kwargs": {**given, "preset": preset}}}

    folder = FIXTURES / "format_1" / "scvi_1.4.2" / "anndata"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    first, last = _files.HOPS[1], _files.FORMAT
    hops = {
        **_files.HOPS,
        1: lambda saved: to_2(first(saved)),
        last: lambda saved: {**saved, "added_": "by the last hop"},
    }
    monkeypatch.setattr(_files, "FORMAT", last + 1)
    monkeypatch.setattr(_files, "HOPS", hops)
    model = PLKD.load(folder, accelerator="cpu")
    assert (model.format_, model.added_, model._settings.student_training.temperature) == (
        last + 1,
        "by the last hop",
        7.0,
    )
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["student"]
    np.testing.assert_allclose(model.predict(make.make_adata(), soft=True), expected, atol=1e-5)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_hops_reach_the_annotator(monkeypatch):
    from plkd.annotator import _file

    last = _file.FORMAT
    hops = {**_file.HOPS, last: lambda about: {**about, "labels": [name.lower() for name in about["labels"]]}}
    monkeypatch.setattr(_file, "FORMAT", last + 1)
    monkeypatch.setattr(_file, "HOPS", hops)
    assert Annotator.load(FIXTURES / "format_1" / "scvi_1.4.2" / "anndata").labels == ["b", "nk", "t"]


def test_first_format_takes_the_data_that_lie_beside_it(make, tmp_path):
    shutil.copy(FIXTURES / "format_1" / "scvi_1.4.2" / "anndata" / "model.pt", tmp_path)
    assert PLKD.load(tmp_path, accelerator="cpu").adata is None
    make.make_adata().write_h5ad(tmp_path / "adata.h5ad")
    assert PLKD.load(tmp_path, accelerator="cpu").adata.shape == (make.N_CELLS, make.N_GENES)
