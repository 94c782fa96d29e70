"""`plkd train` and `plkd annotate` on .h5mu files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest

from plkd import Annotator
from plkd.cli._app import run


@dataclass
class Files:
    ref: Path
    query: Path
    model: Path


@pytest.fixture(scope="session")
def joint_files(make_mdata, tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("cli_mudata")
    found = Files(folder / "ref.h5mu", folder / "query.h5mu", folder / "model")
    make_mdata(120, mosaic=True).write(found.ref)
    make_mdata(45, mosaic=True, seed=1).write(found.query)
    assert run([*train(found, found.model), "--modality", "rna=rna", "--modality", "protein=prot"]) == 0
    return found


def train(files, out):
    return ["train", str(files.ref), "--labels-key", "cell_type", "--max-epochs", "1", "--out", str(out)]


def test_trains_on_the_modalities_named(make_mdata, tmp_path, capfd):
    files = Files(tmp_path / "ref.h5mu", tmp_path, tmp_path / "m")
    make_mdata(60).write(files.ref)
    assert run([*train(files, files.model), "--modality", "protein=prot", "--modality", "atac=atac"]) == 0
    out, _ = capfd.readouterr()
    assert "12 proteins (counts) + 60 peaks (counts), 3 labels" in out
    assert "cells held out" in out
    assert f"plkd annotate QUERY.h5mu --model {files.model} --out FILE.h5mu" in out
    assert set(Annotator.load(files.model).features) == {"protein", "atac"}


def test_usual_names_need_no_option(make_mdata, tmp_path, capfd):
    files = Files(tmp_path / "ref.h5mu", tmp_path, tmp_path / "m")
    make_mdata(60).write(files.ref)
    assert run(train(files, files.model)) == 0
    assert "'rna' is rna, 'prot' is protein, 'atac' is atac" in capfd.readouterr().err


def test_annotates_a_copy_and_changes_nothing_else(joint_files, tmp_path):
    reference = mudata.read_h5mu(joint_files.ref)
    some = reference[reference.obs_names.isin(reference["rna"].obs_names)].copy()
    some.write(tmp_path / "q.h5mu")
    before = (tmp_path / "q.h5mu").read_bytes()
    out, table = tmp_path / "out.h5mu", tmp_path / "out.csv"
    code = run(
        [
            "annotate",
            str(tmp_path / "q.h5mu"),
            "--model",
            str(joint_files.model),
            "--out",
            str(out),
            "--table",
            str(table),
        ]
    )
    assert code == 0
    assert (tmp_path / "q.h5mu").read_bytes() == before
    found = mudata.read_h5mu(out)
    expected = Annotator.load(joint_files.model).annotate(some)
    np.testing.assert_array_equal(found.obs["plkd_label"].astype(str), expected["label"].astype(str))
    pd.testing.assert_index_equal(pd.read_csv(table, index_col=0).index, some.obs_names, check_names=False)
    for name, adata in some.mod.items():
        assert found[name].obs_names.equals(adata.obs_names)
        np.testing.assert_array_equal(np.asarray(found[name].X.sum()), np.asarray(adata.X.sum()))


def test_the_output_has_the_querys_form(joint_files, tmp_path, capsys):
    code = run(
        ["annotate", str(joint_files.query), "--model", str(joint_files.model), "--out", str(tmp_path / "out.h5ad")]
    )
    assert code == 1
    assert "does not end in .h5mu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modality", "gex=rna"], "--modality gex=rna: expected one of rna=NAME, protein=NAME, atac=NAME"),
        (["--modality", "rna"], "--modality rna: expected one of rna=NAME"),
        (["--layer", "counts"], "--layer and --protein-obsm-key are for .h5ad files"),
    ],
)
def test_wrong_options_are_wrong_usage(joint_files, tmp_path, options, message, capsys):
    assert run([*train(joint_files, tmp_path / "m"), *options]) == 2
    assert message in capsys.readouterr().err


def test_options_of_h5mu_files_are_refused_for_h5ad(files, tmp_path, capsys):
    words = ["train", str(files.ref), "--labels-key", "cell_type", "--out", str(tmp_path / "m"), "--rna-layer", "x"]
    assert run(words) == 2
    assert "--rna-layer is for .h5mu files" in capsys.readouterr().err


def test_a_modality_that_is_not_there_is_an_error_of_one_line(joint_files, tmp_path, capsys):
    assert run([*train(joint_files, tmp_path / "m"), "--modality", "rna=gex"]) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("error: modalities['rna_layer']='gex' is no modality of mdata")


def test_cells_vote_in_the_clusters_of_a_modality_and_those_without_it_do_not(joint_files, tmp_path, capsys):
    query = mudata.read_h5mu(joint_files.query)
    query["rna"].obs["leiden"] = (np.arange(query["rna"].n_obs) % 3).astype(str)
    cluster = query["rna"].obs["leiden"].copy()
    query.write(tmp_path / "q.h5mu")
    args = ["--model", str(joint_files.model), "--over-clustering", "rna:leiden", "--out", str(tmp_path / "out.h5mu")]
    assert run(["annotate", str(tmp_path / "q.h5mu"), *args]) == 0
    assert "Majority vote over 3 clusters of obs['rna:leiden']" in capsys.readouterr().err
    found = mudata.read_h5mu(tmp_path / "out.h5mu").obs
    inside = found.index.isin(cluster.index)
    assert 0 < inside.sum() < len(found)
    assert (found[inside].groupby(cluster.reindex(found.index[inside]))["plkd_label"].nunique() == 1).all()
    np.testing.assert_array_equal(found["plkd_vote_share"].isna(), ~inside)
    assert (found["plkd_label"].astype(str) == found["plkd_cell_label"].astype(str))[~inside].all()
