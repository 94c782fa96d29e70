"""Running the Student over cells: order, batch size, choice of cells."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, JoinedCells, Modality, Rows
from plkd.inference import StudentOutput, batch_size_for, chosen_cells, run_student, student_logits
from plkd.nn import RNAScaling, Student

N_OBS, N_GENES = 11, 6


@pytest.fixture
def student():
    return Student({"rna": N_GENES}, 3, n_hidden=(8, 5)).eval()


@pytest.fixture
def scaling():
    return {"rna": RNAScaling(torch.full((N_GENES,), 1 / N_GENES))}


@pytest.fixture(params=[2.0, 0.05])
def counts(request):
    return np.random.default_rng(0).poisson(request.param, size=(N_OBS, N_GENES)).astype(np.float32)


@pytest.fixture
def cells(counts):
    return Cells({"rna": Modality(Rows(sparse.csr_matrix(counts)))}, N_OBS)


@pytest.mark.parametrize("batch_size", [None, 1, 4, 100])
@pytest.mark.parametrize("indices", [np.arange(N_OBS), np.array([7, 0, 7, 3])])
def test_gives_each_cells_answer_in_the_order_asked_for(student, scaling, cells, counts, indices, batch_size):
    out = run_student(scaling, student, cells, indices, batch_size=batch_size)
    x = torch.from_numpy(np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)))
    logits, latent = student({"rna": x[indices]})
    np.testing.assert_allclose(out.logits, logits.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(out.latent, latent.detach().numpy(), atol=1e-5)
    assert out.logits.dtype == out.latent.dtype == np.float32


def test_no_cells_give_empty_answers(student, scaling, cells):
    out = run_student(scaling, student, cells, np.array([], dtype=np.int64))
    assert out.logits.shape == (0, 3)
    assert out.latent.shape == (0, 5)


def test_logits_alone_are_the_same(student, scaling, cells):
    chosen = np.array([7, 0, 7, 3])
    expected = run_student(scaling, student, cells, chosen, batch_size=3).logits
    np.testing.assert_array_equal(student_logits(scaling, student, cells, chosen, batch_size=3), expected)


def test_logits_alone_need_no_room_for_the_latent(student, scaling, cells):
    def outputs(*args, **kwargs):
        for _ in range(100):
            yield StudentOutput(np.zeros((100, 3), np.float32), np.zeros((100, 250), np.float32))

    tracemalloc.start()
    logits = student_logits(scaling, student, cells, np.zeros(10_000, dtype=np.int64), outputs=outputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert logits.shape == (10_000, 3)
    assert peak < 1e6, "all latents are 10 MB"


def test_a_progress_bar_is_shown_only_when_named(student, scaling, cells, capfd):
    run_student(scaling, student, cells, np.arange(N_OBS), batch_size=5)
    assert capfd.readouterr().err == ""
    run_student(scaling, student, cells, np.arange(N_OBS), batch_size=5, progress="Annotating")
    shown = capfd.readouterr().err
    assert "Annotating" in shown
    assert "3/3" in shown


def test_few_cells_are_divided_between_the_mini_batches_computed_at_once(cells):
    sizes = [batch_size_for(cells, None, n_cells=n, at_once=3) for n in (10, 300, 301, 10**6)]
    assert sizes == [64, 100, 101, 8192]
    wide = Cells({"rna": Modality(Rows(sparse.csr_matrix((3, 20_000))))}, 3)
    assert 3 * batch_size_for(wide, None, n_cells=10**6, at_once=3) * 20_000 * 4 == pytest.approx(2**27, rel=0.001)
    assert batch_size_for(cells, 5, n_cells=300, at_once=3) == 5


def test_batch_size_is_bounded_and_holds_128_mebibytes():
    def cells(n_genes):
        return Cells({"rna": Modality(Rows(sparse.csr_matrix((3, n_genes))))}, 3)

    assert batch_size_for(cells(20_000), None) * 20_000 * 4 == pytest.approx(2**27, rel=0.001)
    assert batch_size_for(cells(10), None) == 8192
    assert batch_size_for(cells(10_000_000), None) == 64
    assert batch_size_for(cells(10), 5) == 5
    with pytest.raises(ValueError, match="batch_size=0; expected a whole number of at least 1, or None"):
        batch_size_for(cells(10), 0)


@pytest.mark.parametrize(
    ("indices", "chosen"),
    [
        (None, [0, 1, 2, 3]),
        ([2, 0, 2], [2, 0, 2]),
        ([-1, -4], [3, 0]),
        (np.array([1, 3], dtype=np.uint8), [1, 3]),
        (range(1, 3), [1, 2]),
        ([True, False, False, True], [0, 3]),
        (np.array([False] * 4), []),
        (pd.Series([False, True, True, False], index=list("abcd")), [1, 2]),
        ([], []),
        (np.array([]), []),
    ],
)
def test_chosen_cells(indices, chosen):
    found = chosen_cells(4, indices)
    assert found.tolist() == chosen
    assert found.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_numbers_of_a_narrow_or_unsigned_type_serve_large_data(dtype):
    assert chosen_cells(100_000, np.array([100, 3], dtype=dtype)).tolist() == [100, 3]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 4], "indices reach from 0 to 4; the data has 4 cells"),
        ([-5], "indices reach from -5 to -5; the data has 4 cells"),
        ([True, False], r"a mask of shape \(2,\); expected \(4,\)"),
        (np.ones((4, 1), dtype=bool), r"a mask of shape \(4, 1\); expected \(4,\)"),
        ([0.0, 1.0], "indices is a list of float64; expected cell numbers"),
        ([[0, 1]], r"indices has shape \(1, 2\); expected one dimension"),
        (np.int64(2), r"indices has shape \(\)"),
        (["cell_1"], "expected cell numbers, e.g. .* or a boolean mask"),
    ],
)
def test_wrong_choices_are_refused(indices, message):
    with pytest.raises(ValueError, match=message):
        chosen_cells(4, indices)


@pytest.mark.parametrize("network", ["student", "joined"])
def test_genes_that_a_query_lacks_are_expected_from_the_others(student, scaling, counts, network):
    """As if each cell had been filled in; but joined data sets lack different genes."""
    rng = np.random.default_rng(2)
    scaling["rna"].weight.copy_(torch.linspace(0.5, 2, N_GENES))
    scaling["rna"].mean.copy_(torch.from_numpy(rng.normal(size=N_GENES)))
    scaling["rna"].loadings[:, :2].copy_(torch.from_numpy(rng.normal(size=(N_GENES, 2))))
    found = np.arange(N_GENES) < 4
    lacking = Cells({"rna": Modality(Rows(sparse.csr_matrix(counts * found)), found=found)}, N_OBS)
    x = np.log1p(1e4 * 4 / 6 * counts * found / np.maximum((counts * found).sum(axis=1, keepdims=True), 1e-12))
    if network == "student":
        mean, loadings = scaling["rna"].mean.numpy(), scaling["rna"].loadings.numpy()
        covariance = loadings @ loadings.T + np.eye(N_GENES)
        slope = covariance[4:, :4] @ np.linalg.inv(covariance[:4, :4])
        x[:, 4:] = mean[4:] + (x[:, :4] - mean[:4]) @ slope.T
        cells = lacking
    else:
        cells = JoinedCells(lacking, lacking)
    logits, latent = student({"rna": torch.tensor(x, dtype=torch.float32) * scaling["rna"].weight})
    out = run_student(scaling, student, cells, np.arange(N_OBS))
    np.testing.assert_allclose(out.logits, logits.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(out.latent, latent.detach().numpy(), atol=1e-4)
