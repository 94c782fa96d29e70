"""Rows of matrices that are not in memory: equal to numpy indexing, read once, broken ones refused."""

from __future__ import annotations

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import zarr
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from plkd.data import Cells, Modality, Rows, get_matrix
from plkd.data._stored import ChunkedRows

N_OBS, N_GENES = 53, 9
COLUMNS = np.array([4, -1, 0, 8])


@pytest.fixture(scope="module")
def dense():
    values = np.random.default_rng(0).poisson(0.6, size=(N_OBS, N_GENES)).astype(np.float32)
    values[3] = 0
    return values


def stored(kind, dense, folder):
    """Return a matrix that lies elsewhere than in memory."""
    where, form = kind.split()
    if where == "dask":
        array = pytest.importorskip("dask.array").from_array(dense, chunks=((10, 1, 30, 12), (4, 5)))
        return array.map_blocks(sparse.csr_matrix) if form == "csr" else array
    root = h5py.File(folder / "a.h5", "w") if where == "hdf5" else zarr.open_group(str(folder / "a.zarr"), mode="w")
    if form == "chunks":
        kwargs = {"chunks": (7, 4), **({"compression": "gzip"} if where == "hdf5" else {})}
        return (
            root.create_dataset("X", data=dense, **kwargs)
            if where == "hdf5"
            else root.create_array("X", **kwargs, data=dense)
        )
    values = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[form](dense)
    write_elem(root, "X", values)
    return root["X"] if form == "dense" else sparse_dataset(root["X"])


KINDS = [f"{where} {form}" for where in ("hdf5", "zarr") for form in ("csr", "csc", "dense", "chunks")]


@pytest.fixture(params=[*KINDS, "dask dense", "dask csr"])
def matrix(request, dense, tmp_path):
    return stored(request.param, dense, tmp_path)


@pytest.mark.parametrize("columns", [None, COLUMNS], ids=["as it is", "mapped"])
def test_rows_equal_numpy_indexing(matrix, dense, columns):
    padded = np.hstack([dense, np.zeros((N_OBS, 1), np.float32)])
    rows = Rows(matrix, columns)
    assert not rows.in_memory
    for wanted in (
        slice(0, 53),
        slice(9, 12),
        slice(40, 99),
        slice(5, 5),
        [52, 0, 0, 40, 39, 3],
        [],
        np.arange(8, 44),
        [2, 30],
    ):
        wanted = wanted if isinstance(wanted, slice) else np.array(wanted, dtype=np.int64)
        truth = padded[wanted][:, np.arange(N_GENES) if columns is None else columns]
        block = rows.read(wanted)
        assert block.dtype == np.float32
        assert block.shape == truth.shape
        np.testing.assert_array_equal(block.toarray(), truth)


@pytest.mark.parametrize("columns", [None, COLUMNS], ids=["as it is", "mapped"])
def test_a_temporary_file_holds_the_same_rows(matrix, columns):
    rows = Rows(matrix, columns)
    again = rows.spooled()
    assert again.density == rows.density
    assert again.n_obs == N_OBS
    for wanted in (slice(0, 53), np.array([52, 0, 0, 3]), np.array([], dtype=np.int64)):
        there, here = again.read(wanted), rows.read(wanted)
        np.testing.assert_array_equal(there.toarray(), here.toarray())
        assert there.shape == here.shape


def test_density_is_that_of_the_matrix_in_memory(dense, tmp_path):
    in_memory = Rows(sparse.csr_matrix(dense)).density
    assert Rows(stored("hdf5 csr", dense, tmp_path)).density == in_memory
    assert Rows(stored("zarr csc", dense, tmp_path)).density == in_memory
    assert Rows(stored("zarr dense", dense, tmp_path)).density == 1.0


def test_a_matrix_by_column_is_turned_piece_by_piece(dense, tmp_path, monkeypatch):
    monkeypatch.setattr("plkd.data._spool._VALUES_AT_A_TIME", 20)
    np.testing.assert_array_equal(Rows(stored("hdf5 csc", dense, tmp_path)).read(slice(0, N_OBS)).toarray(), dense)


@pytest.mark.parametrize("where", ["hdf5 csr", "hdf5 csc", "zarr csr", "zarr csc", "dask csr", "dask csc"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_entries_of_one_place_are_added_up(dense, tmp_path, where, dtype):
    """In any order of reading, for what is read must not change what is stored; also where the sum does not fit into the type."""
    where, form = where.split()
    once = sparse.coo_array(dense)
    place = (np.tile(once.row, 2), np.tile(once.col, 2))
    values = np.repeat([200, 100], once.nnz).astype(dtype)
    major, n_major = (place[0], N_OBS) if form == "csr" else (place[1], N_GENES)
    order = np.argsort(major, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(major, minlength=n_major))])
    make = sparse.csr_matrix if form == "csr" else sparse.csc_matrix
    twice = make((values[order], place[1 if form == "csr" else 0][order], indptr), shape=dense.shape)
    if where == "dask":
        matrix = pytest.importorskip("dask.array").from_array(np.arange(N_OBS)[:, None], chunks=((20, 33), 1))
        matrix = matrix.map_blocks(lambda rows: twice[rows[0, 0] : rows[-1, 0] + 1], chunks=(matrix.chunks[0], N_GENES))
        matrix._meta = make((0, 0), dtype=dtype)
    else:
        root = (
            h5py.File(tmp_path / "a.h5", "w")
            if where == "hdf5"
            else zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        )
        write_elem(root, "X", twice)
        matrix = sparse_dataset(root["X"])
    rows = Rows(matrix)
    for reader in (rows, rows.spooled()):
        for wanted in (slice(0, 20), np.arange(N_OBS), slice(9, 12), np.array([52, 0, 0, 40]), slice(0, N_OBS)):
            block = reader.read(wanted)
            np.testing.assert_array_equal(block.toarray(), 300 * (dense > 0)[wanted])
            places = block.tocoo()
            assert len(set(zip(places.row.tolist(), places.col.tolist(), strict=True))) == block.nnz
    assert twice.nnz == 2 * once.nnz


@pytest.mark.parametrize("where", ["hdf5", "zarr", "dask"])
def test_values_in_half_precision_are_read(dense, tmp_path, where):
    half = dense.astype(np.float16)
    np.testing.assert_array_equal(Rows(stored(f"{where} dense", half, tmp_path)).read(slice(0, N_OBS)).toarray(), dense)


@pytest.mark.parametrize("kind", ["hdf5 csc", "hdf5 csr"])
def test_a_full_disk_is_told_before_it_is_written_to(dense, tmp_path, monkeypatch, kind):
    rows = Rows(stored(kind, dense, tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(OSError, match="TMPDIR"):
        rows.spooled()


@pytest.mark.parametrize("batch_size", [3, 10, 17, 100])
def test_in_order_each_chunk_is_read_once(dense, batch_size):
    bounds, loaded = np.array([0, 10, 11, 41, 53]), []

    def load(i, j):
        loaded.extend(range(i, j))
        return sparse.csr_matrix(dense[bounds[i] : bounds[j]])

    cells = Cells({"rna": Modality(Rows(ChunkedRows(load, bounds, N_GENES)))}, N_OBS)
    found = [batch["x"]["rna"].numpy() for batch in cells.in_order(batch_size=batch_size)]
    np.testing.assert_array_equal(np.concatenate(found), dense)
    assert loaded == [0, 1, 2, 3]


def _edit(group, change):
    for name, values in change(**{name: group[name][:] for name in ("data", "indices", "indptr")}).items():
        if len(values) != len(group[name]):
            del group[name]
            group.create_dataset(name, data=values)
        group[name][...] = values


@pytest.mark.parametrize(
    "change",
    [
        lambda indices, **_: {"indices": np.where(np.arange(len(indices)) == 5, 10**6, indices)},
        lambda indices, **_: {"indices": np.where(np.arange(len(indices)) == 5, -4, indices)},
        lambda indptr, **_: {"indptr": indptr[::-1]},
        lambda indptr, **_: {"indptr": indptr * 3},
        lambda indptr, **_: {"indptr": indptr[:-2]},
    ],
    ids=["outside", "negative", "falling", "too long", "too few rows"],
)
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_broken_sparse_matrices_are_refused(dense, tmp_path, change, form):
    matrix = stored(f"hdf5 {form}", dense, tmp_path)
    _edit(matrix.group, change)
    with pytest.raises(ValueError, match="broken"):
        Rows(matrix).read(slice(0, N_OBS))


def test_one_of_dasks_schedulers_computes_whichever_is_set(dense, tmp_path):
    """Tasks of a cluster share their process's settings, so that one task's would be undone by another's end."""
    dask = pytest.importorskip("dask")

    def fail(*args, **kwargs):
        raise RuntimeError("another scheduler computed")

    cells = Cells({"rna": Modality(Rows(stored("dask csr", dense, tmp_path)))}, N_OBS)
    own = cells.computed_by("threads")
    with dask.config.set(scheduler=fail):
        np.testing.assert_array_equal(own[np.arange(N_OBS)]["x"]["rna"].to_dense(), dense)
        with pytest.raises(ValueError, match="another scheduler"):
            cells[np.arange(N_OBS)]


def test_dask_chunks_of_unknown_size_are_refused(dense):
    array = pytest.importorskip("dask.array").from_array(dense, chunks=(10, N_GENES))

    class Cells:
        X, layers, is_view, shape = array[array[:, 0] >= 0], {}, False, dense.shape

    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        get_matrix(Cells(), None)


def test_a_damaged_chunk_is_told(dense, tmp_path):
    matrix = stored("zarr csr", dense, tmp_path)
    for file in (tmp_path / "a.zarr" / "X" / "data").rglob("*"):
        if file.is_file() and not file.name.startswith((".", "zarr")):
            file.write_bytes(file.read_bytes()[:5])
    with pytest.raises(ValueError, match="cannot be read"):
        Rows(matrix).read(slice(0, N_OBS))


def test_a_damaged_chunk_in_gzip_is_told(dense, tmp_path):
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    matrix = root.create_array("X", data=dense, chunks=(7, 9), compressors=zarr.codecs.GzipCodec())
    for file in (tmp_path / "a.zarr" / "X" / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be read"):
        Rows(matrix).read(slice(0, N_OBS))
