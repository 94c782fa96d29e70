"""Annotation on a cluster of two workers: the same bits as in one process."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from plkd import Annotator

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed: plkd[dask]")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def annotator(trained, tmp_path_factory) -> Annotator:
    return trained.export_student(tmp_path_factory.mktemp("exported") / "a")


@pytest.fixture(scope="module")
def query(make_adata):
    return make_adata(190, seed=3)[:, np.random.default_rng(0).permutation(60)[:50]].copy()


WAYS = {
    "path .h5ad": (".h5ad", lambda path: path),
    "lazy .zarr": (".zarr", anndata.experimental.read_lazy),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_bits_as_one_process(annotator, query, client, tmp_path, monkeypatch, way):
    suffix, opened = WAYS[way]
    path = tmp_path / f"query{suffix}"
    (query.write_zarr if suffix == ".zarr" else query.write_h5ad)(path)
    source, asked = opened(path), {"batch_size": 9}
    some = {"indices": [150, 3, 3, *range(40, 130)], "soft": True, **asked}
    table, probabilities = annotator.annotate(source, **asked), annotator.predict(source, **some)

    def fail(*args):
        raise AssertionError("the Student ran in this process")

    monkeypatch.setattr("plkd.inference._run._output", fail)
    pd.testing.assert_frame_equal(annotator.annotate(source, client=client, **asked), table, check_exact=True)
    pd.testing.assert_frame_equal(annotator.predict(source, client=client, **some), probabilities, check_exact=True)


def test_one_modality_alone(joint, make_mdata, client, tmp_path):
    make_mdata(60, seed=1).write(tmp_path / "query.h5mu")
    annotator = joint.export_student(tmp_path / "joint")
    asked = {"soft": True, "modality": "prot", "batch_size": 9}
    expected = annotator.predict(tmp_path / "query.h5mu", **asked)
    found = annotator.predict(tmp_path / "query.h5mu", client=client, **asked)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert not expected.equals(annotator.predict(tmp_path / "query.h5mu", soft=True, batch_size=9))


def test_an_error_of_a_worker_is_told(annotator, query, client, tmp_path):
    bad = query.copy()
    bad.X[150, 3] = -1
    bad.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(ValueError, match="negative"):
        annotator.predict(tmp_path / "bad.h5ad", client=client, batch_size=9)


def test_what_workers_cannot_read_is_refused(annotator, query, client):
    with pytest.raises(TypeError, match="read_lazy"):
        annotator.predict(query, client=client)
    with pytest.raises(TypeError, match="Client"):
        annotator.predict("query.h5ad", client="tcp://localhost")
