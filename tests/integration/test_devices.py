"""Files written on a GPU load where there is none, and the other way round."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from plkd import PLKD, Annotator
from plkd.data._resident import ResidentRows
from plkd.model._device import gpu_for_counts, single_device


@pytest.fixture
def query(make_adata):
    return make_adata(20, seed=9)


def test_model_whose_weights_say_cuda_loads_on_the_cpu(trained, query, tmp_path, monkeypatch):
    """torch notes the place of each tensor in the file, and refuses to read one of a GPU where there is none."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        trained.save(tmp_path / "m")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(tmp_path / "m" / "model.pt", weights_only=False)
    model = PLKD.load(tmp_path / "m", accelerator="cpu")
    assert {p.device.type for p in model.module.state_dict().values()} == {"cpu"}
    pd.testing.assert_frame_equal(model.predict(query, soft=True), trained.predict(query, soft=True))
    # From such a file an Annotator too.
    found = model.export_student(tmp_path / "a").predict(query, soft=True)
    pd.testing.assert_frame_equal(found, trained.predict(query, soft=True), atol=1e-5)


def test_every_reading_of_a_model_says_where_to(trained, tmp_path, monkeypatch):
    trained.save(tmp_path / "m")
    places, load = [], torch.load

    def noted(*args, **kwargs):
        places.append(kwargs.get("map_location"))
        return load(*args, **kwargs)

    monkeypatch.setattr(torch, "load", noted)
    PLKD.load(tmp_path / "m", accelerator="cpu")
    assert len(places) > 1
    assert {str(place) for place in places} == {"cpu"}


def test_counts_go_to_the_only_gpu(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert gpu_for_counts(cpu, "cpu", 1) is None
    for devices, expected in (([0], gpu), (1, gpu), ([0, 1], None), (2, None)):
        monkeypatch.setattr("plkd.model._device.parse_device_args", lambda *_, own=devices, **__: ("cuda", own, gpu))
        assert gpu_for_counts(gpu, "gpu", devices) == expected


@pytest.mark.gpu
def test_trained_on_a_gpu_answers_the_same_on_the_cpu_and_back(make_model, query, tmp_path, monkeypatch):
    model, taken = make_model(), []
    take = ResidentRows.take
    monkeypatch.setattr(
        ResidentRows, "take", lambda self, index: taken.append(self.values.device.type) or take(self, index)
    )
    model.train(2, accelerator="gpu", devices=1, enable_progress_bar=False)
    assert set(taken) == {"cuda"}
    model.save(tmp_path / "m")
    model.export_student(tmp_path / "a")
    expected = model.predict(query, soft=True)
    on_cpu = PLKD.load(tmp_path / "m", accelerator="cpu")
    pd.testing.assert_frame_equal(on_cpu.predict(query, soft=True), expected, atol=1e-4)
    on_cpu.save(tmp_path / "n")
    back = PLKD.load(tmp_path / "n", accelerator="gpu", device=0)
    assert next(back.module.parameters()).device.type == "cuda"
    pd.testing.assert_frame_equal(back.predict(query, soft=True), expected, atol=1e-4)
    pd.testing.assert_frame_equal(Annotator.load(tmp_path / "a").predict(query, soft=True), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("accelerator", "device", "expected"),
    [("gpu", 0, [0]), ("cuda", 1, [1]), ("cpu", 1, 1), ("gpu", "auto", "auto"), ("gpu", [1], [1]), ("gpu", True, True)],
)
def test_a_number_is_the_index_of_a_gpu(accelerator, device, expected):
    assert single_device(accelerator, device) == expected
