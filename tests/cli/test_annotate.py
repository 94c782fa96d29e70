"""`plkd annotate`."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from plkd import Annotator
from plkd.cli._app import run

COLUMNS = ("label", "confidence", "novelty", "runner_up", "rejected", "reason")


def annotate(query, model, *more):
    return run(["annotate", str(query), "--model", str(model), *map(str, more)])


def test_copy_of_the_query_has_the_annotators_calls_and_is_else_unchanged(files, tmp_path):
    before = files.query.read_bytes()
    assert annotate(files.query, files.model, "--out", tmp_path / "out.h5ad") == 0
    query, found = read_h5ad(files.query), read_h5ad(tmp_path / "out.h5ad")
    expected = Annotator.load(files.model).annotate(query)
    assert list(found.obs.columns) == [*query.obs.columns, *(f"plkd_{name}" for name in COLUMNS)]
    assert list(expected.columns) == list(COLUMNS)
    assert list(found.obs["plkd_label"]) == list(expected["label"])
    np.testing.assert_array_equal(found.obs["plkd_confidence"], expected["confidence"])
    np.testing.assert_array_equal(found.obs["plkd_novelty"], expected["novelty"])
    assert not found.obs["plkd_rejected"].any()
    pd.testing.assert_frame_equal(found.obs[query.obs.columns], query.obs)
    assert (found.X != query.X).nnz == 0
    assert files.query.read_bytes() == before


def test_table_alone_writes_no_copy(files, tmp_path):
    assert annotate(files.query, files.model, "--table", tmp_path / "out.csv.gz") == 0
    table = pd.read_csv(tmp_path / "out.csv.gz", index_col="cell")
    assert list(table.columns) == list(COLUMNS)
    assert list(table.index) == list(read_h5ad(files.query).obs_names)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.gz"]


def test_folder_with_an_annotator_is_never_unpickled(files, tmp_path):
    shutil.copytree(files.model, tmp_path / "m")
    (tmp_path / "m" / "model.pt").write_bytes(b"no pickle")
    assert annotate(files.query, tmp_path / "m", "--table", tmp_path / "out.csv") == 0


@pytest.mark.parametrize("alone", [False, True])
def test_adapts_to_the_query_first(files, tmp_path, capfd, alone):
    folder = files.model
    if alone:
        folder = tmp_path / "m"
        folder.mkdir()
        shutil.copy(files.model / "model.pt", folder)
    assert annotate(files.query, folder, "--adapt", "--batch-size", 16, "--table", tmp_path / "out.csv") == 0
    query = read_h5ad(files.query)
    expected = Annotator.load(files.model).adapt(query).annotate(query)
    found = pd.read_csv(tmp_path / "out.csv", index_col="cell")
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-4)
    assert "Adapted to 60 cells" in capfd.readouterr().err  # a model of one epoch has little to go by


@pytest.mark.parametrize("asked", [("--unknown", "7"), ("--over-clustering", "nope")])
def test_adapts_to_nothing_where_it_cannot_answer(files, tmp_path, capfd, asked):
    assert annotate(files.query, files.model, "--adapt", *asked, "--table", tmp_path / "out.csv") != 0
    assert "Adapt" not in capfd.readouterr().err


def test_folder_of_a_model_alone_gives_the_same_calls(files, tmp_path):
    (tmp_path / "m").mkdir()
    shutil.copy(files.model / "model.pt", tmp_path / "m")
    assert annotate(files.query, tmp_path / "m", "--table", tmp_path / "model.csv") == 0
    assert annotate(files.query, files.model, "--table", tmp_path / "annotator.csv") == 0
    by_model, by_annotator = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("model", "annotator"))
    pd.testing.assert_frame_equal(by_model, by_annotator, atol=1e-5)


def test_nothing_to_write_is_wrong_usage(files, capsys):
    assert annotate(files.query, files.model) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--out", "out.csv"], "does not end in .h5ad"),
        (["--out", "no/out.h5ad"], "No such folder: no"),
        (["--table", "out.h5ad"], "does not end in .csv"),
    ],
)
def test_wrong_output_path_is_refused(files, tmp_path, monkeypatch, capsys, args, named):
    monkeypatch.chdir(tmp_path)
    assert annotate(files.query, files.model, *args) == 1
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_folder_without_a_model_is_refused(files, tmp_path, capsys):
    assert annotate(files.query, tmp_path, "--out", tmp_path / "out.h5ad") == 1
    assert f"No model at {tmp_path}" in capsys.readouterr().err


def test_existing_file_is_replaced_only_if_asked(files, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    out.write_text("mine")
    assert annotate(files.query, files.model, "--out", out) == 1
    assert "already exists" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert annotate(files.query, files.model, "--out", out, "--overwrite") == 0
    assert "plkd_label" in read_h5ad(out).obs


def test_query_is_never_written_over(files, tmp_path, capsys):
    query = shutil.copy(files.query, tmp_path / "query.h5ad")
    before = query.read_bytes()
    assert annotate(query, files.model, "--out", query, "--overwrite") == 1
    assert "never written over" in capsys.readouterr().err
    assert query.read_bytes() == before


def test_columns_of_that_name_are_replaced_only_if_asked(files, tmp_path, capsys):
    first = tmp_path / "first.h5ad"
    assert annotate(files.query, files.model, "--out", first) == 0
    assert annotate(first, files.model, "--out", tmp_path / "second.h5ad") == 1
    assert "--key-added" in capsys.readouterr().err
    assert not (tmp_path / "second.h5ad").exists()
    assert annotate(first, files.model, "--out", tmp_path / "second.h5ad", "--key-added", "again") == 0
    assert {"plkd_label", "again_label"} <= set(read_h5ad(tmp_path / "second.h5ad").obs)
    assert annotate(first, files.model, "--out", tmp_path / "third.h5ad", "--overwrite") == 0


def test_failure_while_writing_leaves_the_old_file_and_no_other(files, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.h5ad"
    out.write_text("old")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("plkd.inference.add_annotation", fail)
    assert annotate(files.query, files.model, "--out", out, "--overwrite") == 1
    assert f"error: {out} could not be written (disk full)" in capsys.readouterr().err.splitlines()[-1]
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5ad"]


def test_over_clustering_votes_and_is_announced(files, tmp_path, capsys):
    query = read_h5ad(files.query)
    query.obs["leiden"] = (np.arange(query.n_obs) % 4).astype(str)
    query.write_h5ad(tmp_path / "query.h5ad")
    args = (tmp_path / "query.h5ad", files.model, "--out", tmp_path / "out.h5ad", "--over-clustering", "leiden")
    assert annotate(*args) == 0
    assert "Majority vote over 4 clusters of obs['leiden']" in capsys.readouterr().err
    found = read_h5ad(tmp_path / "out.h5ad").obs
    assert (found.groupby("leiden", observed=True)["plkd_label"].nunique() == 1).all()
    expected = Annotator.load(files.model).annotate(query, over_clustering="leiden")
    assert list(found["plkd_cell_label"]) == list(expected["cell_label"])
    np.testing.assert_array_equal(found["plkd_vote_share"], expected["vote_share"])


def test_over_clustering_by_a_column_that_is_not_there_is_refused(files, tmp_path, capsys):
    assert annotate(files.query, files.model, "--out", tmp_path / "out.h5ad", "--over-clustering", "leiden") == 1
    assert "over_clustering='leiden' is no column of adata.obs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_was_found_of_the_features_is_said_once_on_stderr(files, tmp_path, capsys):
    adata = read_h5ad(files.query)[:, ::-1].copy()
    adata.var["symbol"] = adata.var_names
    adata.var_names = [f"id{i}" for i in range(adata.n_vars)]
    adata.write_h5ad(tmp_path / "query.h5ad")
    (tmp_path / "m").mkdir()
    shutil.copy(files.model / "model.pt", tmp_path / "m")
    for model in (files.model, tmp_path / "m"):
        capsys.readouterr()
        assert annotate(tmp_path / "query.h5ad", model, "--table", tmp_path / "out.csv", "--overwrite") == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "features found" in line]
        assert lines == [
            f"warning: Query: {adata.n_obs} cells, 60 of 60 features found (100%), names taken from var['symbol'], reordered"
        ]
    assert annotate(files.query, files.model, "--table", tmp_path / "plain.csv") == 0
    assert "all 60 features found, in the model's order" in capsys.readouterr().err
    found, expected = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("out", "plain"))
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)


@pytest.mark.parametrize(("unknown", "rate"), [("auto", 0.05), ("0.3", 0.3)])
def test_unknown_rejects_as_the_annotator_does_and_says_how_many(files, tmp_path, capsys, unknown, rate):
    args = (files.query, files.model, "--out", tmp_path / "out.h5ad", "--unknown", unknown, "--unknown-label", "new")
    assert annotate(*args) == 0
    found = read_h5ad(tmp_path / "out.h5ad").obs
    expected = Annotator.load(files.model).annotate(read_h5ad(files.query), unknown=rate, unknown_label="new")
    assert list(found["plkd_label"]) == list(expected["label"])
    assert list(found["plkd_rejected"]) == list(found["plkd_novelty"] > 1 - rate) == list(found["plkd_label"] == "new")
    assert list(found["plkd_reason"]) == list(expected["reason"])
    assert f"Rejected as new: {found['plkd_rejected'].sum()} of 60 cells" in capsys.readouterr().out


def test_nothing_is_said_of_rejection_where_none_was_asked_for(files, tmp_path, capsys):
    assert annotate(files.query, files.model, "--table", tmp_path / "out.csv") == 0
    assert "Rejected" not in capsys.readouterr().out


@pytest.mark.parametrize("unknown", ["0", "1", "often", "nan"])
def test_impossible_unknown_is_refused(files, tmp_path, capsys, unknown):
    assert annotate(files.query, files.model, "--table", tmp_path / "out.csv", "--unknown", unknown) != 0
    assert "unknown" in (said := capsys.readouterr().err)
    assert "between 0 and 1" in said
    assert not list(tmp_path.iterdir())


def test_unknown_label_that_is_a_label_is_refused(files, tmp_path, capsys):
    more = ("--table", tmp_path / "out.csv", "--unknown", "auto", "--unknown-label", "type_1")
    assert annotate(files.query, files.model, *more) == 1
    assert "unknown_label='type_1' is a label of the model" in capsys.readouterr().err


def test_each_new_column_that_is_there_is_found_before_any_work(files, tmp_path, capsys):
    query = read_h5ad(files.query)
    query.obs["plkd_novelty"] = 0.5
    query.obs["plkd_reason"] = "mine"
    query.write_h5ad(tmp_path / "query.h5ad")
    assert annotate(tmp_path / "query.h5ad", files.model, "--out", tmp_path / "out.h5ad") == 1
    assert "['plkd_novelty', 'plkd_reason']" in capsys.readouterr().err
    assert not (tmp_path / "out.h5ad").exists()
