"""A reference on disk trains to the weights of the same cells in memory, bit for bit."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData, read_h5ad
from anndata.io import sparse_dataset
from scipy import sparse

FORMS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": lambda x: x.toarray()}


@pytest.fixture(scope="module")
def reference(make_adata):
    adata = make_adata(120)
    adata.obs.loc[adata.obs_names[::15], "cell_type"] = np.nan
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories("Unknown").fillna("Unknown")
    return adata


def fitted(make_model, train, adata):
    model = train(make_model(adata), 2, plan_kwargs={"student": {"unlabeled_ratio": 0.5}})
    return model, {name: value.clone() for name, value in model.module.state_dict().items()}


@pytest.fixture(scope="module")
def in_memory(make_model, train, reference):
    """Give the weights and answers by the form of the matrix."""
    found = {}
    for form in ("csr", "dense"):
        adata = reference.copy()
        adata.X = FORMS[form](reference.X)
        model, weights = fitted(make_model, train, adata)
        found[form] = weights, model.annotate(reference), model.train_indices_
    return found


def _backed(path):
    return read_h5ad(path, backed="r")


def _lazy(path):
    pytest.importorskip("dask")
    return anndata.experimental.read_lazy(path)


def _zarr_matrix(path):
    import zarr

    small = anndata.io.read_zarr(path)
    group = zarr.open_group(str(path), mode="r")
    return AnnData(sparse_dataset(group["X"]), obs=small.obs, var=small.var)


WAYS = {
    "backed csr": ("csr", ".h5ad", _backed),
    "backed csc": ("csc", ".h5ad", _backed),
    "backed dense": ("dense", ".h5ad", _backed),
    "zarr": ("csr", ".zarr", _zarr_matrix),
    "lazy .h5ad": ("csr", ".h5ad", _lazy),
    "lazy .zarr": ("csr", ".zarr", _lazy),
    "lazy dense": ("dense", ".zarr", _lazy),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_weights_as_in_memory(make_model, train, reference, in_memory, tmp_path, way):
    form, suffix, opened = WAYS[way]
    adata = reference.copy()
    adata.X = FORMS[form](reference.X)
    path = tmp_path / f"ref{suffix}"
    (adata.write_zarr if suffix == ".zarr" else adata.write_h5ad)(path)
    model, weights = fitted(make_model, train, opened(path))
    expected, table, indices = in_memory["dense" if form == "dense" else "csr"]
    assert expected.keys() == weights.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name
    np.testing.assert_array_equal(model.train_indices_, indices)
    pd.testing.assert_frame_equal(model.annotate(reference), table, check_names=False)
    pd.testing.assert_frame_equal(model.annotate(), table, check_names=False, atol=1e-6)


def test_no_file_is_left(make_model, train, reference, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    reference.write_h5ad(tmp_path / "ref.h5ad")
    before = (tmp_path / "ref.h5ad").read_bytes()
    model = train(make_model(read_h5ad(tmp_path / "ref.h5ad", backed="r")), 1)
    assert list(folder.iterdir()) == []
    model.adata.file.close()
    assert (tmp_path / "ref.h5ad").read_bytes() == before
