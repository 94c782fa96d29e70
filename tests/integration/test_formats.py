"""Files of every format, written with either version of scvi-tools, load and say what they said."""

from __future__ import annotations

import importlib.util
import json
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
        f"format_1/scvi_{version}/{kind}" for version in ("1.4.2", "1.5") for kind in ("anndata", "mudata")
    }
    assert all(path.stat().st_size < 60_000 for folder in FOLDERS for path in folder.iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:]))
def test_fixture_says_what_it_said(make, folder):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    data = make.DATA[folder.name]()
    found = make.answers(PLKD.load(folder, accelerator="cpu"), Annotator.load(folder), data)
    assert found.pop("labels") == expected.pop("labels") == list(make.LABELS)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
    # Answers that do not depend on the cell would be equal whatever was read.
    assert all(np.ptp(np.asarray(expected[name]), axis=0).min() > 0.3 for name in ("student", "teacher"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:]))
def test_fixture_trains_on_and_is_saved_in_the_present_format(make, folder, tmp_path, train):
    data = make.DATA[folder.name]()
    model = PLKD.load(folder, adata=data, accelerator="cpu")
    before = len(model.history["student_loss_train"])
    train(model, 1)
    assert len(model.history["student_loss_train"]) == before + 1
    model.save(tmp_path / "m")
    again = PLKD.load(tmp_path / "m", accelerator="cpu")
    assert again.format_ == model.format_
    np.testing.assert_array_equal(again.predict(data), model.predict(data))
