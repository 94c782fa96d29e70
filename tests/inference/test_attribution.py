"""Pattern attribution equals gradient x input by finite differences, summed over each pattern's features."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.inference import pattern_attribution
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
def test_equals_finite_differences_summed_over_members(student, values, cells, batch_size):
    scores = pattern_attribution(SCALING, student, cells, np.arange(N_OBS), MEMBERSHIP, batch_size=batch_size)
    assert scores.shape == (N_OBS, 5)
    for cell in range(N_OBS):
        per_feature = by_finite_differences(student, values, cell)
        truth = np.concatenate([per_feature[name] @ (m.toarray() != 0) for name, m in MEMBERSHIP.items()])
        np.testing.assert_allclose(scores[cell], truth, rtol=1e-3, atol=1e-4)
    assert np.abs(scores).max() > 0.05


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
