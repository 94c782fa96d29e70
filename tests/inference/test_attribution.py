"""Attributions equal integrals of gradients that were computed otherwise, summed over each pattern's features."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.inference import feature_attribution, pattern_attribution, run_student
from plkd.nn import RNAScaling, Student

N_OBS = 6
N_FEATURES = {"rna": 5, "protein": 3}
MEMBERSHIP = {
    # Features shared by patterns, a feature in none, weights and a negative direction.
    "rna": sparse.csc_matrix(np.array([[1, 0, 1], [1, 0, 0], [0, 2.5, 1], [0, -1, 1], [0, 0, 0]], dtype=np.float32)),
    "protein": sparse.csc_matrix(np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)),
}


@pytest.fixture
def student():
    built = Student(N_FEATURES, 3, n_hidden=(7, 4)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return built


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return {
        name: rng.gamma(2.0, size=(N_OBS, n)).astype(np.float32) * (rng.random((N_OBS, n)) > 0.2)
        for name, n in N_FEATURES.items()
    }


@pytest.fixture
def cells(values):
    return Cells({name: Modality(Rows(matrix), "log") for name, matrix in values.items()}, N_OBS)


SCALING = {name: RNAScaling(torch.full((n,), 1 / n)) for name, n in N_FEATURES.items()}


def by_riemann_sum(student, values, n=500):
    """Integrated gradients of each cell's called label's logit less the mean over labels, by cell and feature, in float64."""
    exact = copy.deepcopy(student).double()
    x = {name: torch.from_numpy(v.astype(np.float64)) for name, v in values.items()}
    called = exact(x)[0].argmax(dim=1)
    total = {name: torch.zeros_like(v) for name, v in x.items()}
    for step in range(n):
        s = (step + 0.5) / n  # the way is t = s^3: finer near nothing, where the gradients change most
        at = {name: (v * s**3).requires_grad_() for name, v in x.items()}
        logits = exact(at)[0]
        contrast = logits[torch.arange(N_OBS), called] - logits.mean(dim=1)
        for name, gradient in zip(at, torch.autograd.grad(contrast.sum(), list(at.values())), strict=True):
            total[name] += gradient * x[name] * 3 * s**2 / n
    return {name: scores.numpy() for name, scores in total.items()}


@pytest.mark.parametrize("batch_size", [None, 4])
def test_equals_a_riemann_sum_summed_over_members(student, values, cells, batch_size):
    scores = pattern_attribution(SCALING, student, cells, np.arange(N_OBS), MEMBERSHIP, batch_size=batch_size)
    by_feature = by_riemann_sum(student, values)
    truth = np.hstack([by_feature[name] @ (m.toarray() != 0) for name, m in MEMBERSHIP.items()])
    assert scores.shape == truth.shape == (N_OBS, 5)
    np.testing.assert_allclose(scores, truth, rtol=1e-3, atol=1e-3)
    assert np.abs(scores).max() > 0.05


def test_patterns_that_part_the_features_sum_to_what_the_call_gains(student, values, cells):
    apart = {name: sparse.identity(n, dtype=np.float32, format="csc") for name, n in N_FEATURES.items()}
    scores = pattern_attribution(SCALING, student, cells, np.arange(N_OBS), apart)
    called, logits = called_and_contrast(student, values)
    _, nothing = called_and_contrast(student, {name: np.zeros_like(v) for name, v in values.items()})
    rows = np.arange(N_OBS)
    gained = (logits[rows, called] - logits.mean(axis=1)) - (nothing[rows, called] - nothing.mean(axis=1))
    np.testing.assert_allclose(scores.sum(axis=1), gained, atol=2e-3)


def test_cells_come_in_the_order_asked_for(student, cells):
    everything = pattern_attribution(SCALING, student, cells, np.arange(N_OBS), MEMBERSHIP)
    some = pattern_attribution(SCALING, student, cells, np.array([4, 1, 4]), MEMBERSHIP, batch_size=2)
    np.testing.assert_allclose(some, everything[[4, 1, 4]], rtol=1e-5, atol=1e-6)


def test_no_cells_give_no_rows(student, cells):
    assert pattern_attribution(SCALING, student, cells, np.array([], dtype=np.int64), MEMBERSHIP).shape == (0, 5)


def test_an_all_zero_cell_rests_on_nothing(student):
    cells = Cells({name: Modality(Rows(np.zeros((1, n)))) for name, n in N_FEATURES.items()}, 1)
    assert not pattern_attribution(SCALING, student, cells, np.array([0]), MEMBERSHIP).any()


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_switched_off_and_leaves_none_behind(student, cells, around):
    with around():
        scores = pattern_attribution(SCALING, student, cells, np.arange(N_OBS), MEMBERSHIP)
    assert np.abs(scores).max() > 0.05
    assert all(parameter.grad is None for parameter in student.parameters())


def test_the_membership_is_not_changed(student, cells):
    before = {name: matrix.copy() for name, matrix in MEMBERSHIP.items()}
    pattern_attribution(SCALING, student, cells, np.arange(2), MEMBERSHIP)
    assert all((MEMBERSHIP[name] != before[name]).nnz == 0 for name in before)


# Features: what the calls of each label rest on.


def called_and_contrast(student, x):
    """Logit of each cell's called label less the mean over labels, in float64, and the labels."""
    exact = copy.deepcopy(student).double()
    logits = exact({name: torch.from_numpy(v.astype(np.float64)) for name, v in x.items()})[0].detach().numpy()
    return logits.argmax(axis=1), logits


def linear_student():
    """A Student without LayerNorm and GELU: its logits are linear in the values."""
    student = Student(N_FEATURES, 3, n_hidden=(7, 4)).eval()
    for tower in student.towers:
        for i, layer in enumerate(tower):
            if isinstance(layer, torch.nn.LayerNorm | torch.nn.GELU):
                tower[i] = torch.nn.Identity()
    return student


def features(student, cells, *, integrated, **kwargs):
    return feature_attribution(SCALING, student, cells, np.arange(N_OBS), integrated=integrated, **kwargs)


@pytest.mark.parametrize("integrated", [True, False])
def test_of_a_linear_student_both_methods_give_weight_times_value(values, cells, integrated):
    student = linear_student()
    found = features(student, cells, integrated=integrated)
    called, _ = called_and_contrast(student, values)
    for i, (name, tower) in enumerate(zip(student.modalities, student.towers, strict=True)):
        assert student.gain[i] == 1
        weights = (student.head.weight @ tower[4].weight @ tower[0].weight.t()).detach().double().numpy()
        contrast = weights - weights.mean(axis=0)
        for label in range(3):
            own = called == label
            if own.any():
                truth = (values[name][own] * contrast[label]).mean(axis=0)
                np.testing.assert_allclose(found.scores[name][label], truth, rtol=1e-4, atol=1e-5)
            else:
                assert np.isnan(found.scores[name][label]).all()


def test_integrated_gradients_sum_to_the_difference_of_logits(student, values, cells):
    found = features(student, cells, integrated=True)
    called, logits = called_and_contrast(student, values)
    _, nothing = called_and_contrast(student, {name: np.zeros_like(v) for name, v in values.items()})
    rows = np.arange(N_OBS)
    difference = (logits[rows, called] - logits.mean(axis=1)) - (nothing[rows, called] - nothing.mean(axis=1))
    assert found.n_cells.tolist() == np.bincount(called, minlength=3).tolist()
    for label in np.unique(called):
        total = sum(scores[label].sum() for scores in found.scores.values())
        expected = difference[called == label].mean()
        assert abs(expected) > 0.05
        np.testing.assert_allclose(found.explained[label], expected, atol=1e-5)
        np.testing.assert_allclose(total, expected, atol=2e-3)


def test_integrated_gradients_equal_a_riemann_sum_over_the_whole_input(student, values, cells):
    found = features(student, cells, integrated=True)
    called, _ = called_and_contrast(student, values)
    for name, truth in by_riemann_sum(student, values).items():
        for label in np.unique(called):
            np.testing.assert_allclose(
                found.scores[name][label], truth[called == label].mean(axis=0), rtol=1e-3, atol=1e-3
            )


def by_finite_differences(student, values, cell, step=1e-5):
    """Gradient x input of the called label's logit less the mean over labels, per feature, in float64."""
    exact = copy.deepcopy(student).double()

    def logits(x):
        return exact({name: torch.from_numpy(v)[None] for name, v in x.items()})[0][0].detach().numpy()

    x = {name: v[cell].astype(np.float64) for name, v in values.items()}
    label = logits(x).argmax()
    out = {}
    for name, row in x.items():
        out[name] = np.zeros(len(row))
        for j in range(len(row)):
            ends = []
            for sign in (1, -1):
                moved = {**x, name: row.copy()}
                moved[name][j] += sign * step
                y = logits(moved)
                ends.append(y[label] - y.mean())
            out[name][j] = (ends[0] - ends[1]) / (2 * step) * row[j]
    return out


@pytest.mark.parametrize("batch_size", [None, 4])
def test_gradients_times_input_equal_finite_differences(student, values, cells, batch_size):
    found = features(student, cells, integrated=False, batch_size=batch_size)
    called, _ = called_and_contrast(student, values)
    by_cell = [by_finite_differences(student, values, cell) for cell in range(N_OBS)]
    for label in np.unique(called):
        for name, scores in found.scores.items():
            truth = np.mean([by_cell[cell][name] for cell in np.flatnonzero(called == label)], axis=0)
            np.testing.assert_allclose(scores[label], truth, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_integrated_gradients_sum_to_those_of_patterns(student, values, cells, batch_size):
    by_cell = pattern_attribution(SCALING, student, cells, np.arange(N_OBS), MEMBERSHIP)
    found = features(student, cells, integrated=True, batch_size=batch_size)
    called, _ = called_and_contrast(student, values)
    for label in np.unique(called):
        # A feature of several patterns counts in full in each.
        truth = np.concatenate([found.scores[name][label] @ (m.toarray() != 0) for name, m in MEMBERSHIP.items()])
        np.testing.assert_allclose(by_cell[called == label].mean(axis=0), truth, rtol=1e-3, atol=1e-5)


def test_a_missing_modality_carries_nothing(student, values):
    rna = np.arange(N_OBS)
    some = Cells(
        {
            "rna": Modality(Rows(values["rna"]), "log", position=rna),
            "protein": Modality(Rows(values["protein"][:0]), "log", position=np.full(N_OBS, -1)),
        },
        N_OBS,
    )
    found = features(student, some, integrated=True)
    called = found.n_cells > 0
    assert not found.scores["protein"][called].any()
    np.testing.assert_allclose(found.scores["rna"][called].sum(axis=1), found.explained[called], atol=2e-3)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_features_too_work_where_gradients_are_switched_off(student, cells, around):
    expected = features(student, cells, integrated=True)
    with around():
        found = features(student, cells, integrated=True)
    np.testing.assert_array_equal(found.scores["rna"], expected.scores["rna"])
    assert all(parameter.grad is None for parameter in student.parameters())


# Features that a query lacks: the call is that of the completed Student, and rests on what is there.


def test_a_call_of_a_cell_that_lacks_features_rests_on_those_it_has(student, values):
    rng = np.random.default_rng(1)
    scaling = {name: RNAScaling(torch.full((n,), 1 / n)) for name, n in N_FEATURES.items()}
    scaling["rna"].weight.copy_(torch.linspace(0.5, 2, 5))
    scaling["rna"].mean.copy_(torch.from_numpy(rng.normal(size=5)))
    scaling["rna"].loadings[:, :2].copy_(torch.from_numpy(rng.normal(size=(5, 2))))
    found = np.array([True, False, True, True, False])
    given = {"rna": values["rna"] * found, "protein": values["protein"]}

    def cells_of(x):
        matrices = {name: Modality(Rows(matrix), "log") for name, matrix in x.items()}
        matrices["rna"].found = found
        return Cells(matrices, N_OBS)

    attributed = feature_attribution(scaling, student, cells_of(given), np.arange(N_OBS), integrated=True)
    logits, nothing = (
        run_student(scaling, student, cells_of(x), np.arange(N_OBS)).logits
        for x in (given, {name: np.zeros_like(v) for name, v in given.items()})
    )
    called, rows = logits.argmax(axis=1), np.arange(N_OBS)
    gained = logits[rows, called] - logits.mean(axis=1) - nothing[rows, called] + nothing.mean(axis=1)
    assert attributed.n_cells.tolist() == np.bincount(called, minlength=3).tolist()
    for label in np.unique(called):
        assert not attributed.scores["rna"][label, ~found].any()
        total = sum(scores[label].sum() for scores in attributed.scores.values())
        np.testing.assert_allclose(total, gained[called == label].mean(), atol=2e-3)
    alike = run_student(SCALING, student, cells_of(given), np.arange(N_OBS)).logits
    assert np.abs(alike - logits).max() > 0.05
