"""The set of two conditions keeps its file's columns and comes as raw counts by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from plkd import datasets
from plkd.datasets import _kang

COUNTS = np.array([[0, 3], [2, 0], [0, 7]])


@pytest.fixture
def file(tmp_path):
    """The file's form: counts by column, a column of conditions named label."""
    obs = {
        "label": ["ctrl", "stim", "stim"],
        "replicate": ["p1", "p1", "p2"],
        "cell_type": ["B cells", "NK cells", "B cells"],
    }
    adata = AnnData(sparse.csc_matrix(COUNTS, dtype=np.float64), obs=pd.DataFrame(obs, index=list("abc")))
    adata.write_h5ad(tmp_path / "kang.h5ad")
    return tmp_path / "kang.h5ad"


def test_it_is_downloaded_once_and_read(server, file, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    url, known_hash = server.add(file)
    monkeypatch.setattr(_kang, "_URL", url)
    monkeypatch.setattr(_kang, "_KNOWN_HASH", known_hash)
    for _ in range(2):
        adata = datasets.kang_2018(cache_dir=tmp_path / "cache")
        assert isinstance(adata.X, sparse.csr_matrix)
        assert adata.X.dtype == np.float32
        np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
        assert list(adata.obs["label"]) == ["ctrl", "stim", "stim"]
    assert len(server.requests) == 1


def test_another_file_is_refused(server, file, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(_kang, "_URL", server.add(file)[0])
    with pytest.raises(ValueError, match=_kang._KNOWN_HASH[7:]):
        datasets.kang_2018(cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
