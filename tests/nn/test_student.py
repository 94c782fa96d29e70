"""The Student: the MLP of the design, one linear map per modality, no memory of other cells."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

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
    torch.testing.assert_close(student.head(latent), logits)


def test_two_modalities_are_one_linear_layer_over_all_features(student, x):
    joint = torch.cat([x["rna"], x["protein"]], dim=1)
    weight = torch.cat([layer.weight for layer in student.inputs]).t()
    biases = [layer.bias for layer in student.inputs if layer.bias is not None]
    torch.testing.assert_close(student(x)[1], student.hidden(F.linear(joint, weight, sum(biases))))


def test_a_modality_that_a_cell_lacks_adds_neither_values_nor_bias(student, x):
    present = {"rna": torch.ones(7, dtype=torch.bool), "protein": torch.arange(7) < 3}
    latent = student(x, present)[1]
    torch.testing.assert_close(latent[:3], student(x)[1][:3])
    torch.testing.assert_close(latent[3:], student.hidden(student.inputs[0](x["rna"]))[3:])


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
    rates = [layer.p for layer in student.hidden if isinstance(layer, nn.Dropout)]
    assert rates == [0.3, 0.3]
    values = {"rna": x["rna"]}
    assert not torch.equal(student.train()(values)[0], student(values)[0])
    assert torch.equal(student.eval()(values)[0], student(values)[0])
