from __future__ import annotations

import numpy as np
import pytest
import torch
from scvi.module.base import LossOutput
from torch.nn import functional as F

from plkd.module import PLKDModule


@pytest.fixture
def module() -> PLKDModule:
    torch.manual_seed(0)
    members = {"rna": [np.array([0, 1, 2]), np.array([2, 3])]}
    small = {"width": 8, "n_heads": 2, "depth": 1}
    constants = {"rna": {"gene_share": np.full(4, 0.25, dtype="float32")}}
    student = {"n_hidden": (6,)}
    built = PLKDModule(members, {"rna": 4}, 3, constants=constants, teacher_kwargs=small, student_kwargs=student)
    return built.eval()


@pytest.fixture
def batch() -> dict:
    x = torch.tensor([[1.0, 0, 2, 1], [0, 0, 0, 0], [3, 1, 0, 5]])
    return {
        "x": {"rna": x},
        "present": {"rna": torch.ones(3, dtype=torch.bool)},
        "scale": {"rna": ("counts", None)},
        "labels": torch.tensor([0, -1, 2]),
    }


def test_forward_gives_the_logits_of_both_networks_and_their_loss(module, batch):
    teacher, student, loss = module(batch)
    assert teacher["logits"].shape == student["logits"].shape == (3, 3)
    assert isinstance(loss, LossOutput)
    known = torch.tensor([0, 2])
    expected = sum(F.cross_entropy(out["logits"][[0, 2]], known) for out in (teacher, student))
    torch.testing.assert_close(loss.loss, expected)
    assert loss.n_obs_minibatch == 3


def test_counts_are_scaled_to_ten_thousand_and_logged(module, batch):
    scaled = module.scale(batch)["rna"]
    torch.testing.assert_close(scaled[0], torch.log1p(torch.tensor([1.0, 0, 2, 1]) * 2500))
    assert (scaled[1] == 0).all()


def test_log_normalised_values_are_used_as_they_are(module, batch):
    batch["scale"] = {"rna": ("log", None)}
    torch.testing.assert_close(module.scale(batch)["rna"], batch["x"]["rna"])


def test_attention_exists_only_when_asked_for(module, batch):
    x, present = module.scale(batch), batch["present"]
    assert module.inference(x=x, present=present)["attention"] is None
    assert len(module.inference(x=x, present=present, attention=True)["attention"]) == 1


def test_there_is_nothing_to_sample(module):
    with pytest.raises(NotImplementedError, match="not a generative model"):
        module.sample()
