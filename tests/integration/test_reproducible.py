"""The same seed gives the same model, bit for bit on one CPU."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scvi
import torch

from plkd.annotator._file import read_annotator


def fingerprint(model) -> str:
    found = hashlib.sha256()
    for name, value in sorted(model.module.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    found.update(model.predict(soft=True).to_numpy().tobytes())
    return found.hexdigest()


def run(make_model, train, seed: int) -> str:
    scvi.settings.seed = seed
    return fingerprint(train(make_model(seed=seed), 2))


def test_same_seed_same_bits_in_one_process(make_model, train):
    first = run(make_model, train, 0)
    torch.rand(17)  # what was drawn before the seed was set does not matter
    np.random.rand(17)  # noqa: NPY002
    assert run(make_model, train, 0) == first
    assert run(make_model, train, 1) != first


def test_seed_of_scvi_settings_is_enough(make_adata, train):
    from plkd import PLKD

    found = set()
    for _ in range(2):
        adata = make_adata()
        PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
        scvi.settings.seed = 5
        found.add(fingerprint(train(PLKD(adata, student_kwargs={"n_hidden": (8,)}), 1)))
    assert len(found) == 1


def everything(model, data, folder) -> str:
    """Fingerprint of both networks, of all that the model says, and of what its Annotator's file holds."""
    annotator = model.export_student(folder)
    tensors, about = read_annotator(folder)
    answers = {
        "student": model.predict(data, soft=True),
        "teacher": model.predict(data, soft=True, model="teacher"),
        "latent": model.get_latent_representation(data),
        "attention": model.get_pattern_attention(data),
        "attribution": model.get_pattern_attribution(data),
        "annotator": annotator.predict(data, soft=True),
        "table": annotator.annotate(data)[["confidence", "novelty"]],
    }
    found = hashlib.sha256()
    # In order of the names: safetensors gives a file's tensors in any.
    for name, value in sorted({**model.module.state_dict(), **tensors, **answers}.items()):
        found.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest() + json.dumps(about)


@pytest.mark.parametrize("kind", ["anndata", "mudata"])
def test_same_seed_same_bits_of_both_networks_and_the_annotator(
    make_adata, make_mdata, make_model, make_joint_model, train, tmp_path, kind
):
    data = make_adata(60) if kind == "anndata" else make_mdata(60, mosaic=True)
    found = []
    for number in range(2):
        scvi.settings.seed = 3
        model = make_model(data.copy()) if kind == "anndata" else make_joint_model(data.copy())
        found.append(everything(train(model, 2), data, tmp_path / str(number)))
    assert found[0] == found[1]


@pytest.mark.slow
def test_same_seed_same_bits_in_another_process(make_adata, tmp_path):
    """Of networks of default size; strings hash otherwise there."""
    code = f"""
import sys
sys.path[:0] = {[str(path) for path in sys.path]!r}
from pathlib import Path
from tests.conftest import _make_adata
from tests.integration.test_reproducible import of_default_size
Path({str(tmp_path / "bits")!r}).write_text(of_default_size(_make_adata()))
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    assert (tmp_path / "bits").read_text() == of_default_size(make_adata())


def of_default_size(adata) -> str:
    from plkd import PLKD, presets

    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    scvi.settings.seed = 0
    model = PLKD(adata, preset=presets.default.replace(confidence={"n_folds": 2}))
    model.train(2, accelerator="cpu", enable_progress_bar=False)
    return fingerprint(model)
