"""Files opened with their matrices left on the disk, and read into memory."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

from plkd.data import get_matrix, open_file, read_file


@pytest.fixture
def adata(make_adata):
    adata = make_adata(20)
    adata.layers["counts"] = sparse.csc_matrix(adata.X)
    adata.layers["dense"] = adata.X.toarray()
    adata.obsm["prot"] = np.ones((20, 3))
    adata.obsm["frame"] = pd.DataFrame({"P": np.arange(20.0)}, index=adata.obs_names)
    adata.uns["names"] = ["a", "b", "c"]
    return adata


@pytest.fixture(params=[".h5ad", ".zarr"])
def path(request, adata, tmp_path):
    path = tmp_path / f"query{request.param}"
    (adata.write_zarr if request.param == ".zarr" else adata.write_h5ad)(path)
    return path


def test_matrices_stay_on_the_disk(path, adata):
    with open_file(path) as opened:
        for layer in (None, "counts", "dense"):
            matrix, _ = get_matrix(opened, layer)
            assert not isinstance(matrix, np.ndarray)
            assert not sparse.issparse(matrix)
        assert not isinstance(opened.obsm["prot"], np.ndarray)
        pd.testing.assert_frame_equal(opened.obs, adata.obs, check_names=False)
        assert list(opened.var_names) == list(adata.var_names)
        assert list(opened.obsm["frame"]["P"]) == list(range(20))
        assert list(opened.uns["names"]) == ["a", "b", "c"]


def test_a_file_is_closed_again(adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    with open_file(tmp_path / "a.h5ad") as opened:
        values = opened.layers["dense"]
    assert not values
    with h5py.File(tmp_path / "a.h5ad", "r+"):
        pass


def test_reading_gives_what_anndata_reads(path, adata):
    read = read_file(path)
    np.testing.assert_array_equal(read.X.toarray(), adata.X.toarray())
    assert list(read.obs["cell_type"]) == list(adata.obs["cell_type"])


def test_what_is_no_such_file_is_refused(adata, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    zarr.open_group(str(tmp_path / "plain.zarr"), mode="w").create_group("a")
    for name in ("empty.zarr", "plain.zarr"):
        with pytest.raises(ValueError, match=f"{name} is no .zarr file"), open_file(tmp_path / name):
            pass
    with pytest.raises(FileNotFoundError, match="none.zarr"), open_file(tmp_path / "none.zarr"):
        pass
    adata.write_zarr(tmp_path / "cut.zarr")
    del zarr.open_group(str(tmp_path / "cut.zarr"), mode="r+", use_consolidated=False)["obs"]
    zarr.consolidate_metadata(str(tmp_path / "cut.zarr"))
    with pytest.raises(ValueError, match="damaged"), open_file(tmp_path / "cut.zarr"):
        pass


def test_a_store_without_x_says_so_when_x_is_wanted(adata, tmp_path):
    AnnData(obs=adata.obs, var=adata.var, layers={"counts": adata.layers["counts"]}).write_zarr(tmp_path / "a.zarr")
    with open_file(tmp_path / "a.zarr") as opened:
        assert get_matrix(opened, "counts")[0].shape == (20, 60)
        with pytest.raises(ValueError, match="X is None"):
            get_matrix(opened, None)
