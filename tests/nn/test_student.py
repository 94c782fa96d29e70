"""The Student: the MLP of the design, hidden layers per modality and one head, no memory of other cells."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plkd.nn import Student


@pytest.fixture
def student(randomise):
    return randomise(Student({"rna": 6, "protein": 4}, 3, n_hidden=(8, 5)), 0).eval()


@pytest.fixture
def x():
    return {"rna": torch.rand(7, 6), "protein": torch.rand(7, 4)}


def test_shapes_of_logits_and_latent(student, x):
    logits, latent = student(x)
    assert logits.shape == (7, 3)
    assert latent.shape == (7, 5)


@pytest.mark.parametrize("gain", [(1.0, 1.0), (1.0, 0.25), (0.0, 1.0)])
def test_what_modalities_say_adds_up_by_their_gains_and_the_bias_counts_once(student, x, gain):
    student.gain.copy_(torch.tensor(gain))
    rna, protein = (
        tower(x[name]).detach().double() for name, tower in zip(("rna", "protein"), student.towers, strict=True)
    )
    weight, bias = student.head.weight.detach().double(), student.head.bias.detach().double()
    said = gain[0] * rna @ weight.T + gain[1] * protein @ weight.T
    logits, latent = student(x)
    torch.testing.assert_close(logits.double(), bias + said, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(latent.double(), (gain[0] * rna + gain[1] * protein) / sum(gain), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["rna", "protein"])
def test_a_cell_of_one_modality_is_that_modality_alone_whatever_its_gain(student, x, name):
    student.gain.copy_(torch.tensor([1.0, 0.25]))
    present = {other: torch.full((7,), other == name) for other in x}
    logits, latent = student(x, present)
    alone = student.towers[student.modalities.index(name)](x[name])
    torch.testing.assert_close(latent, alone)
    torch.testing.assert_close(logits, student.head(alone))


def test_cells_that_lack_a_modality_lie_beside_those_that_have_it(student, x):
    present = {"rna": torch.ones(7, dtype=torch.bool), "protein": torch.arange(7) < 3}
    latent = student(x, present)[1]
    torch.testing.assert_close(latent[:3], student(x)[1][:3])
    torch.testing.assert_close(latent[3:], student.towers[0](x["rna"])[3:])


def test_zeros_differ_from_not_measured(student, x):
    x["protein"] = torch.zeros(7, 4)
    absent = {"rna": torch.ones(7, dtype=torch.bool), "protein": torch.zeros(7, dtype=torch.bool)}
    assert not torch.allclose(student(x)[1], student(x, absent)[1])


def test_cells_do_not_influence_each_other(student, x):
    alone = torch.cat([student({name: values[i : i + 1] for name, values in x.items()})[0] for i in range(7)])
    torch.testing.assert_close(alone, student(x)[0], rtol=1e-5, atol=1e-5)


def test_a_training_batch_of_one_cell_works():
    student = Student({"rna": 6}, 3, n_hidden=(8,)).train()
    student({"rna": torch.zeros(1, 6)})[0].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters())


def test_dropout_follows_each_hidden_layer_and_acts_in_training_only(x):
    student = Student({"rna": 6}, 3, n_hidden=(8, 5), dropout=0.3)
    rates = [layer.p for layer in student.towers[0] if isinstance(layer, nn.Dropout)]
    assert rates == [0.3, 0.3]
    values = {"rna": x["rna"]}
    assert not torch.equal(student.train()(values)[0], student(values)[0])
    assert torch.equal(student.eval()(values)[0], student(values)[0])
