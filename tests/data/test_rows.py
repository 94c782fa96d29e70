"""`Rows`: any matrix in, float32 CSR with the model's columns out, equal to numpy indexing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.data import Rows

FORMATS = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "coo_array": sparse.coo_array,
    "frame": pd.DataFrame,
}
DTYPES = ["float32", "float64", "int32", "int64", "uint16", "bool"]


def expected(dense, columns, rows):
    """The same by numpy indexing: a column of zeros stands for every missing one."""
    padded = np.hstack([dense, np.zeros((len(dense), 1), dense.dtype)]).astype(np.float32)
    columns = np.arange(dense.shape[1]) if columns is None else columns
    return padded[rows][:, columns]


def check(block, truth):
    assert sparse.issparse(block)
    assert block.format == "csr"
    assert block.dtype == np.float32
    assert block.shape == truth.shape
    np.testing.assert_array_equal(block.toarray(), truth)


@st.composite
def cases(draw):
    n_obs, n_vars = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    values = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 7]), min_size=n_obs * n_vars, max_size=n_obs * n_vars))
    dense = np.array(values).reshape(n_obs, n_vars)
    # Some of the query's columns in any order, and others that it lacks in between.
    known = draw(st.permutations(range(n_vars)))[: draw(st.integers(0, n_vars))]
    columns = draw(st.permutations([*known, *[-1] * draw(st.integers(0, 4))]))
    rows = draw(st.lists(st.integers(0, n_obs - 1), max_size=8))
    return dense, np.array(columns, dtype=np.int64), np.array(rows, dtype=np.int64)


@given(case=cases(), fmt=st.sampled_from(sorted(FORMATS)), dtype=st.sampled_from(DTYPES))
@settings(max_examples=200, deadline=None)
def test_any_column_map_and_rows_equal_numpy_indexing(case, fmt, dtype):
    dense, columns, rows = case
    dense = dense.astype(dtype)
    reader = Rows(FORMATS[fmt](dense), columns)
    assert (reader.n_obs, reader.n_features) == (len(dense), len(columns))
    check(reader.read(rows), expected(dense, columns, rows))
    check(reader.read(slice(1, 4)), expected(dense, columns, slice(1, 4)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_without_a_map_the_matrix_is_taken_as_it_is(fmt, dtype):
    dense = np.random.default_rng(0).poisson(0.7, size=(5, 4)).astype(dtype)
    reader = Rows(FORMATS[fmt](dense))
    assert reader.columns is None
    check(reader.read(np.array([4, 0, 0])), expected(dense, None, [4, 0, 0]))


@pytest.mark.parametrize("columns", [None, [2, -1, 0]])
def test_entries_of_one_place_are_added_up(columns):
    """As scipy means them; scaled one by one they would give another logarithm."""
    twice = sparse.csr_matrix((np.array([1.0, 2, 4, 8]), [2, 2, 0, 2], [0, 3, 4]), shape=(2, 3))
    before = twice.data.copy()
    block = Rows(twice, None if columns is None else np.array(columns)).read(np.array([1, 0, 0]))
    check(block, expected(twice.toarray(), columns, [1, 0, 0]))
    assert block.nnz == 5
    assert twice.nnz == 4
    np.testing.assert_array_equal(twice.data, before)


def test_the_identity_map_costs_nothing():
    assert Rows(np.eye(3), np.arange(3)).columns is None
    assert Rows(np.eye(3), np.arange(2)).columns is not None
    assert Rows(np.eye(3), np.array([0, 2, 1])).columns is not None


def test_rows_without_values_stay_in_place():
    dense = np.array([[0, 0], [1, 2], [0, 0], [0, 3], [0, 0]])
    rows = np.arange(5)
    for columns in ([1, 0], [-1, 1], [0], [-1]):
        check(Rows(sparse.csr_matrix(dense), np.array(columns)).read(rows), expected(dense, columns, rows))


def test_unsorted_and_duplicate_entries_of_a_csr_matrix_are_read_as_scipy_reads_them():
    matrix = sparse.csr_matrix(([1.0, 2, 4, 8], [2, 0, 0, 1], [0, 3, 4]), shape=(2, 3))
    truth = expected(np.array([[6, 0, 1], [0, 8, 0]]), [2, -1, 0], [0, 1])
    check(Rows(matrix, np.array([2, -1, 0])).read(np.array([0, 1])), truth)


def test_stored_nan_and_negative_values_come_through():
    dense = np.array([[np.nan, -1.0, 0.0]])
    out = Rows(dense, np.array([1, 0])).read(np.array([0])).toarray()
    np.testing.assert_array_equal(out, [[-1, np.nan]])


def test_the_matrix_is_not_changed():
    matrix = sparse.csr_matrix(([1.0, 2], [1, 0], [0, 2]), shape=(1, 2))
    Rows(matrix, np.array([1, 0])).read(slice(None))
    assert matrix.indices.tolist() == [1, 0]
    assert matrix.data.tolist() == [1, 2]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """Write the same counts as dense, CSR and CSC files."""
    folder = tmp_path_factory.mktemp("backed")
    dense = np.random.default_rng(0).poisson(0.6, size=(9, 6)).astype(np.float32)
    dense[3] = 0
    for name in ("dense", "csr", "csc"):
        AnnData(FORMATS[name](dense)).write_h5ad(folder / f"{name}.h5ad")
    return folder, dense


class TestBacked:
    rows = np.array([7, 2, 2, 0, 3])
    columns = np.array([4, -1, 0, 5])

    @pytest.fixture(params=["dense", "csr", "csc"])
    def backed(self, request, on_disk):
        adata = read_h5ad(on_disk[0] / f"{request.param}.h5ad", backed="r")
        yield request.param, adata
        adata.file.close()

    @pytest.mark.parametrize("columns", [None, columns], ids=["as it is", "mapped"])
    def test_equals_numpy_indexing(self, backed, on_disk, columns):
        reader = Rows(backed[1].X, columns)
        check(reader.read(self.rows), expected(on_disk[1], columns, self.rows))
        check(reader.read(slice(2, 5)), expected(on_disk[1], columns, slice(2, 5)))
        check(reader.read(np.array([], dtype=np.int64)), expected(on_disk[1], columns, []))

    def test_stays_on_disk(self, backed):
        assert not Rows(backed[1].X).in_memory

    def test_a_view_of_it_can_be_read(self, backed, on_disk):
        view = backed[1][np.array([1, 4, 6, 8])]
        check(Rows(view.X, self.columns).read(np.array([3, 0])), expected(on_disk[1], self.columns, [8, 1]))


@pytest.mark.parametrize("fmt", ["dense", "csr", "csc", "csr_array"])
def test_a_view_in_memory_can_be_read(fmt):
    dense = np.random.default_rng(1).poisson(0.8, size=(6, 5)).astype(np.float32)
    view = AnnData(FORMATS[fmt](dense))[[5, 1, 2]][:, [4, 0, 1]]
    truth = expected(dense[[5, 1, 2]][:, [4, 0, 1]], [2, -1, 0], [2, 0])
    check(Rows(view.X, np.array([2, -1, 0])).read(np.array([2, 0])), truth)
    assert view.is_view
