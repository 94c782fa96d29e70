"""Whatever a query lies in, its annotation is that of the same cells in memory."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData, read_h5ad
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from plkd import Annotator

#: Some of anndata's ways of reading name the index.
LIKE = {"atol": 1e-6, "check_names": False}


@pytest.fixture(scope="module")
def annotator(trained, tmp_path_factory) -> Annotator:
    return trained.export_student(tmp_path_factory.mktemp("exported") / "a")


@pytest.fixture(scope="module")
def query(make_adata) -> AnnData:
    """Fewer genes than the reference, in another order."""
    query = make_adata(90, seed=3)[:, np.random.default_rng(0).permutation(60)[:50]].copy()
    query.obs["cluster"] = pd.Categorical(np.arange(90) % 7 + 1)
    return query


def _with_x(query, x):
    return AnnData(x, obs=query.obs.copy(), var=query.var.copy())


def _written(query, folder, suffix, form="csr", **kwargs):
    query = _with_x(query, getattr(sparse, f"{form}_matrix")(query.X) if form != "dense" else query.X.toarray())
    path = folder / f"{form}{suffix}"
    (query.write_zarr if suffix == ".zarr" else query.write_h5ad)(path, **kwargs)
    return path


def _dask(query, form):
    array = pytest.importorskip("dask.array").from_array(query.X.toarray(), chunks=(17, 20))
    return _with_x(query, array.map_blocks(sparse.csr_matrix) if form == "csr" else array)


def _lazy(path):
    pytest.importorskip("dask")
    return anndata.experimental.read_lazy(path)


def _store(path):
    group = zarr.open_group(str(path), mode="r")
    return AnnData(sparse_dataset(group["X"]), obs=read_elem(group["obs"]), var=read_elem(group["var"]))


BACKINGS = {
    **{f"backed {form}": lambda q, f, form=form: read_h5ad(_written(q, f, ".h5ad", form), backed="r") for form in ("csr", "csc", "dense")},
    "backed gzip": lambda q, f: read_h5ad(_written(q, f, ".h5ad", compression="gzip"), backed="r"),
    "backed dense gzip": lambda q, f: read_h5ad(_written(q, f, ".h5ad", "dense", compression="gzip"), backed="r"),
    **{f"path .h5ad {form}": lambda q, f, form=form: _written(q, f, ".h5ad", form) for form in ("csr", "csc", "dense")},
    **{f"path .zarr {form}": lambda q, f, form=form: str(_written(q, f, ".zarr", form)) for form in ("csr", "csc", "dense")},
    "zarr read": lambda q, f: anndata.io.read_zarr(_written(q, f, ".zarr")),
    "zarr matrix": lambda q, f: _store(_written(q, f, ".zarr")),
    "lazy .h5ad": lambda q, f: _lazy(_written(q, f, ".h5ad")),
    "lazy .zarr": lambda q, f: _lazy(_written(q, f, ".zarr")),
    "lazy dense": lambda q, f: _lazy(_written(q, f, ".zarr", "dense")),
    "dask csr": lambda q, f: _dask(q, "csr"),
    "dask dense": lambda q, f: _dask(q, "dense"),
}  # fmt: skip


@pytest.fixture(params=BACKINGS)
def elsewhere(request, query, tmp_path):
    found = BACKINGS[request.param](query, tmp_path)
    yield found
    if isinstance(found, AnnData) and found.isbacked:
        found.file.close()


def test_annotator(annotator, query, elsewhere):
    asked = {"over_clustering": "cluster", "batch_size": 16}
    pd.testing.assert_frame_equal(annotator.annotate(elsewhere, **asked), annotator.annotate(query, **asked), **LIKE)
    some = {"indices": [80, 3, 3, 40], "soft": True}
    pd.testing.assert_frame_equal(annotator.predict(elsewhere, **some), annotator.predict(query, **some), **LIKE)
    assert annotator.alignment_report(elsewhere).fraction == annotator.alignment_report(query).fraction


def test_model(trained, query, elsewhere):
    if not isinstance(elsewhere, AnnData):
        with pytest.raises(TypeError, match="AnnData"):  # paths are for the Annotator
            trained.annotate(elsewhere)
        return
    table = trained.annotate(elsewhere, over_clustering="cluster")
    pd.testing.assert_frame_equal(table, trained.annotate(query, over_clustering="cluster"), **LIKE)
    np.testing.assert_array_equal(trained.predict(elsewhere), trained.predict(query))


def test_a_layer_of_a_file_stays_on_the_disk(make_adata, train, tmp_path, monkeypatch):
    from plkd import PLKD

    adata = make_adata(60)
    adata.layers["counts"] = adata.X
    PLKD.setup_anndata(adata, "cell_type", layer="counts")
    annotator = train(PLKD(adata), 1).export_student(tmp_path / "a")
    adata.write_h5ad(tmp_path / "a.h5ad")
    sizes = []
    real = h5py.Dataset.__getitem__

    def counted(self, key, **kwargs):
        found = real(self, key, **kwargs)
        if self.name.startswith("/layers/counts/data"):
            sizes.append(len(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    monkeypatch.setattr("plkd.data._scale._SAMPLED_ROWS", 5)
    labels = annotator.predict(tmp_path / "a.h5ad", batch_size=10)
    assert max(sizes) < adata.X.nnz
    np.testing.assert_array_equal(labels, annotator.predict(adata))


def test_backed_mudata(joint, make_mdata, tmp_path):
    from mudata import read_h5mu

    query = make_mdata(50, mosaic=True, seed=5)
    query.write(tmp_path / "query.h5mu")
    exported = joint.export_student(tmp_path / "a")
    backed = read_h5mu(tmp_path / "query.h5mu", backed="r")
    expected = exported.annotate(query)
    pd.testing.assert_frame_equal(exported.annotate(backed, batch_size=9), expected, atol=1e-6, check_index_type=False)
    pd.testing.assert_frame_equal(
        exported.annotate(tmp_path / "query.h5mu"), expected, atol=1e-6, check_index_type=False
    )
    pd.testing.assert_frame_equal(joint.annotate(backed), joint.annotate(query), atol=1e-6, check_index_type=False)
    backed.file.close()
