"""Sparse mini-batches give what dense ones give, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.nn import (
    ATACScaling,
    InputLinear,
    PatternTokenizer,
    ProteinScaling,
    RNAScaling,
    SparseRows,
    Student,
    Teacher,
    dense,
    product,
)

N, G = 9, 40
MEMBERS = [np.array([0, 3, 7]), np.array([1]), np.array([3, 7, 20, 21, 39]), np.arange(30, 40)]


@pytest.fixture
def full():
    values = torch.rand(N, G) * (torch.rand(N, G) < 0.15)
    values[2] = 0
    values[N - 1] = 0
    return values


def few(values: torch.Tensor) -> SparseRows:
    rows, columns = values.nonzero(as_tuple=True)
    return SparseRows(values[rows, columns], columns, rows, tuple(values.shape))


def gradients(module, out):
    return torch.autograd.grad(out.square().sum(), list(module.parameters()))


def same(module, full, **kwargs):
    one, other = module(full, **kwargs), module(few(full), **kwargs)
    torch.testing.assert_close(one, dense(other), rtol=1e-5, atol=1e-6)
    if list(module.parameters()):
        for a, b in zip(gradients(module, one), gradients(module, other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_there_and_back(full):
    assert torch.equal(few(full).to_dense(), full)
    assert torch.equal(dense(full), full)
    torch.testing.assert_close(few(full).sum_rows(), full.sum(dim=1))
    torch.testing.assert_close(few(full).scaled_rows(torch.arange(N)).to_dense(), full * torch.arange(N)[:, None])


def test_a_linear_layer(full):
    same(InputLinear(G, 6), full)


@pytest.mark.parametrize("share", [0.05, 0.95])
def test_a_product_is_the_same_whichever_way_it_is_taken(share):
    values = torch.rand(N, G) * (torch.rand(N, G) < share)
    torch.testing.assert_close(product(few(values), torch.eye(G)[:, :5]), values[:, :5])
    same(InputLinear(G, 6), values)


def test_a_linear_layer_starts_as_torchs_own():
    torch.manual_seed(3)
    ours = InputLinear(G, 6)
    torch.manual_seed(3)
    theirs = torch.nn.Linear(G, 6)
    x = torch.rand(4, G)
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_tokenizer(full):
    same(PatternTokenizer(MEMBERS, 5), full)


@pytest.mark.parametrize("found", [None, torch.arange(G) % 3 > 0])
@pytest.mark.parametrize("logged", [False, True])
def test_scalings(full, found, logged):
    share = np.random.default_rng(0).dirichlet(np.ones(G))
    for scaling in (RNAScaling(share), ATACScaling(share, 1 + np.arange(G)), ProteinScaling(np.linspace(0, 1, G))):
        scaling.weight.copy_(torch.rand(G))
        given = full if found is None else full * found
        same(scaling, given, found=found, logged=logged)


def test_nothing_but_zeros():
    empty = few(torch.zeros(3, G))
    assert torch.equal(InputLinear(G, 2)(empty).std(dim=0), torch.zeros(2))
    assert PatternTokenizer(MEMBERS, 5)(empty).shape == (3, 4, 5)
    assert not dense(RNAScaling(np.full(G, 1 / G))(empty)).any()


def test_student_and_teacher(full):
    present = {"atac": torch.arange(N) != 4}
    student = Student({"atac": G}, 3, n_hidden=(8, 5)).eval()
    teacher = Teacher({"atac": MEMBERS}, {"atac": G}, 3, width=8, n_heads=2, depth=1).eval()
    torch.testing.assert_close(student({"atac": few(full)}, present)[0], student({"atac": full}, present)[0])
    one, other = (teacher({"atac": x}, present).logits for x in (full, few(full)))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rows_move_as_tensors_do(full):
    moved = few(full).to(torch.device("cpu"))
    assert torch.equal(moved.to_dense(), full)


def test_a_matrix_of_few_values_makes_sparse_mini_batches_with_the_same_values():
    matrix = sparse.random(50, 400, density=0.01, format="csr", random_state=0, dtype=np.float32)
    matrix.data = np.ceil(matrix.data * 3)
    position = np.where(np.arange(60) % 6 == 5, -1, np.cumsum(np.arange(60) % 6 != 5) - 1)
    cells = Cells({"atac": Modality(Rows(matrix), position=position)}, 60)
    batch = cells[np.array([4, 5, 59, 0, 11])]
    assert isinstance(batch["x"]["atac"], SparseRows)
    assert batch["present"]["atac"].tolist() == [True, False, False, True, False]
    expected = np.zeros((5, 400), dtype=np.float32)
    expected[[0, 3]] = matrix[[position[4], position[0]]].toarray()
    np.testing.assert_array_equal(batch["x"]["atac"].to_dense().numpy(), expected)
    thick = Cells({"rna": Modality(Rows(sparse.csr_matrix(np.ones((4, 3)))))}, 4)
    assert isinstance(thick[[0]]["x"]["rna"], torch.Tensor)
