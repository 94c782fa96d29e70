"""Students of the folds: none sees its fold, and nothing of the model or of the random state is touched."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from plkd import presets
from plkd.data import Cells, Modality, Rows
from plkd.inference import run_student
from plkd.module import PLKDModule
from plkd.nn import make_scaling
from plkd.train import cross_fit, feature_weights, make_folds
from plkd.train._folds import Folds

SMALL = presets.StudentSettings(n_hidden=(16, 8), dropout=0.1)
TRAINING = presets.StudentTraining(hide_rate=0.25, max_epochs=3, batch_size=16, lr=1e-2)


def counts_and_labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    rate = np.where(labels[:, None] == np.arange(12)[None, :] // 4, 5.0, 0.5)
    return rng.poisson(rate).astype(np.float32), labels


def reference(counts: np.ndarray, labels: np.ndarray) -> Cells:
    return Cells({"rna": Modality(Rows(counts))}, len(labels), labels=labels)


@pytest.fixture
def module() -> PLKDModule:
    torch.manual_seed(0)
    constants = {"rna": {"gene_share": np.full(12, 1 / 12, dtype=np.float32)}}
    return PLKDModule(
        {"rna": [np.arange(4), np.arange(4, 12)]}, {"rna": 12}, 3, constants=constants,
        teacher_kwargs={"width": 8, "n_heads": 2, "depth": 1}, student_kwargs={"n_hidden": (8, 4)},
    )  # fmt: skip


@pytest.fixture
def folds():
    counts, labels = counts_and_labels()
    return make_folds(labels, np.zeros(60, dtype=int), np.arange(60), np.random.default_rng(0), n_folds=3)


def students(module, cells, folds, **kwargs):
    asked = {"student": SMALL, "training": TRAINING, "weight_power": 1.0, "start_bias": lambda student, train: None}
    return {n: (student, scaling) for n, student, scaling in cross_fit(module, cells, folds, **{**asked, **kwargs})}


def same(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_held_out_cells_never_reach_the_student_of_their_fold(module, folds):
    counts, labels = counts_and_labels()
    before = students(module, reference(counts, labels), folds)
    changed, other_labels = counts.copy(), labels.copy()
    changed[folds.fold == 1] = 99 - changed[folds.fold == 1]
    other_labels[folds.fold == 1] = (labels[folds.fold == 1] + 1) % 3
    after = students(module, reference(changed, other_labels), folds)
    assert same(before[1][0], after[1][0])
    assert torch.equal(before[1][1]["rna"].weight, after[1][1]["rna"].weight)
    for number in (0, 2):  # they learned from those cells
        assert not same(before[number][0], after[number][0])
        assert not torch.equal(before[number][1]["rna"].weight, after[number][1]["rna"].weight)


def test_cells_in_no_fold_change_no_student(module, folds):
    """Such as those of a query."""
    counts, labels = counts_and_labels()
    alone = students(module, reference(counts, labels), folds)
    more = Folds(np.append(folds.fold, [-1] * 7), np.append(folds.scored, [False] * 7), folds.note)
    others = reference(np.vstack([counts, counts[:7]]), np.append(labels, [-1] * 7))
    for number, (student, _) in students(module, others, more).items():
        assert same(student, alone[number][0])


def test_students_learn_and_tell_the_labels_of_their_fold(module, folds):
    counts, labels = counts_and_labels()
    cells = reference(counts, labels)
    found = students(
        module, cells, folds, training=presets.StudentTraining(hide_rate=0.25, max_epochs=40, batch_size=16, lr=1e-2)
    )
    for number, (student, scaling) in found.items():
        held = folds.split(number)[1]
        assert not student.training
        assert (run_student(scaling, student, cells, held).logits.argmax(axis=1) == labels[held]).mean() > 0.8


def test_scaling_is_weighted_by_the_cells_that_train(module, folds):
    counts, labels = counts_and_labels()
    cells = reference(counts, labels)
    for number, (_, scaling) in students(module, cells, folds).items():
        plain = make_scaling("rna", 12, {"gene_share": np.full(12, 1 / 12, dtype=np.float32)})
        expected = feature_weights(cells, folds.split(number)[0], {"rna": plain}, power=1.0)["rna"]
        np.testing.assert_array_equal(scaling["rna"].weight, expected)
    for _, scaling in students(module, cells, folds, weight_power=0.0).values():
        assert (scaling["rna"].weight == 1).all()


def test_the_bias_starts_where_it_is_told_by_the_cells_that_train(module, folds):
    started = []

    def start(student, train):
        started.append(train)
        student.head.bias.data.fill_(7.0)

    still = presets.StudentTraining(hide_rate=0.25, max_epochs=1, lr=0.0)
    found = students(module, reference(*counts_and_labels()), folds, training=still, start_bias=start)
    for number, (student, _) in found.items():
        np.testing.assert_array_equal(started[number], folds.split(number)[0])
        assert (student.head.bias == 7).all()


def test_the_model_and_the_random_state_are_left_as_they_were(module, folds):
    before = {name: value.clone() for name, value in module.state_dict().items()}
    kept, modes = copy.copy(module._modules), {name: part.training for name, part in module.named_modules()}
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    students(module, reference(*counts_and_labels()), folds)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
    assert module._modules == kept
    assert modes == {name: part.training for name, part in module.named_modules()}
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_the_random_state_is_not_borrowed_while_a_student_is_looked_at(module, folds):
    state = torch.get_rng_state()
    for _ in cross_fit(
        module, reference(*counts_and_labels()), folds,
        student=SMALL, training=TRAINING, weight_power=1.0, start_bias=lambda student, train: None,
    ):  # fmt: skip
        assert torch.equal(state, torch.get_rng_state())


def test_students_follow_from_the_folds_alone(module, folds):
    cells = reference(*counts_and_labels())
    before = students(module, cells, folds)
    torch.manual_seed(77)
    again = students(module, cells, folds)
    last = students(module, cells, folds, numbers=[2])
    assert list(last) == [2]
    assert all(same(before[number][0], again[number][0]) for number in range(3))
    assert same(before[2][0], last[2][0])
    assert not same(before[0][0], before[1][0])
