"""`plkd annotate` of a zarr folder: a table, and a copy with the labels."""

from __future__ import annotations

import anndata
import pandas as pd
import pytest

from plkd import Annotator
from plkd.cli._app import run


@pytest.fixture(scope="module")
def files(trained, make_adata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zarr")
    trained.export_student(folder / "model")
    make_adata(40, seed=3).write_zarr(folder / "query.zarr")
    return folder


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_table_and_copy(files, tmp_path):
    before = content(files)
    words = ["annotate", str(files / "query.zarr"), "--model", str(files / "model")]
    out = tmp_path / "out.zarr"
    assert run([*words, "--table", str(tmp_path / "t.csv"), "--out", str(out)]) == 0
    expected = Annotator.load(files / "model").annotate(files / "query.zarr")
    assert list(pd.read_csv(tmp_path / "t.csv")["label"]) == list(expected["label"])
    copy = anndata.io.read_zarr(out)
    assert list(copy.obs["plkd_label"]) == list(expected["label"])
    assert (copy.X != anndata.io.read_zarr(files / "query.zarr").X).nnz == 0
    assert run([*words, "--out", str(out)]) == 1
    assert run([*words, "--out", str(out), "--overwrite", "--key-added", "again"]) == 0
    assert "again_label" in anndata.io.read_zarr(out).obs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr", "t.csv"]
    assert content(files) == before


@pytest.mark.parametrize("out", ["query.zarr", "query.zarr/inner.zarr"])
def test_the_query_is_never_written_over(files, out, capsys):
    before = content(files)
    words = ["annotate", str(files / "query.zarr"), "--model", str(files / "model"), "--overwrite"]
    assert run([*words, "--out", str(files / out)]) == 1
    assert "never written over" in capsys.readouterr().err
    assert content(files) == before


def test_another_suffix_is_refused(files, tmp_path, capsys):
    words = ["annotate", str(files / "query.zarr"), "--model", str(files / "model")]
    assert run([*words, "--out", str(tmp_path / "out.h5ad")]) == 1
    assert "does not end in .zarr" in capsys.readouterr().err
