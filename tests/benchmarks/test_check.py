"""Mistakes in a task file are told before anything is fitted."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from benchmarks.annotation import run
from benchmarks.annotation.check import check_tasks
from benchmarks.annotation.tasks import folds, read_specs

GOOD = {"name": '"own"', "split": '"held-batches"', "files": '["one.h5ad"]', "held_batches": '["b2"]'}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function that reads the tasks of a file: a good task, and the same with other fields (None: without)."""
    obs = pd.DataFrame({"cell_type": ["B", "T"] * 3, "batch": ["b1", "b2", "b3"] * 2}, list("abcdef"))
    cells = ad.AnnData(np.ones((6, 2), dtype=np.float32), obs=obs)
    cells.write_h5ad(tmp_path / "one.h5ad")
    both = md.MuData({"rna": cells.copy()})
    both.obs = obs
    both.write_h5mu(tmp_path / "two.h5mu")
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))

    def read(changed):
        entries = [GOOD, GOOD | {"name": '"other"'} | changed]
        lines = ["\n".join(["[[task]]", *(f"{k} = {v}" for k, v in e.items() if v is not None)]) for e in entries]
        (tmp_path / "tasks.toml").write_text("\n\n".join(lines))
        return read_specs(tmp_path / "tasks.toml")

    return read


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labelskey": '"x"'}, "Task 'other' of .*tasks.toml has unknown fields: labelskey; known are name, split"),
        ({"files": None}, "'other' .* lacks files"),
        ({"files": '"one.h5ad"'}, "'other' .*: files is 'one.h5ad'; expected list"),
        ({"n_genes": "true"}, "'other' .*: n_genes is True; expected int"),
        ({"split": '"by-donor"'}, "split of 'other' is 'by-donor'; expected one of leave-one-batch-out"),
        ({"split": '"across-files"'}, r"files of 'other' are \['one.h5ad'\]; across-files expects two"),
        ({"held_batches": None}, "'other' names no held_batches"),
        ({"query_fraction": "1"}, "query_fraction of 'other' is 1; expected more than 0, less than 1"),
    ],
)
def test_a_field_that_cannot_be_is_refused_as_the_file_is_read(told, changed, message):
    with pytest.raises(ValueError, match=message):
        told(changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"labels_key": '"celltype"'},
            "labels_key is 'celltype', which obs of one.h5ad lacks; it has cell_type, batch",
        ),
        ({"batch_key": '"donor"'}, "batch_key is 'donor', which obs of one.h5ad lacks"),
        ({"held_key": '"site"'}, "held_key is 'site', which obs of one.h5ad lacks"),
        ({"held_batches": '["b2", "b9"]'}, "held_batches names b9, which no file has; there are b1, b2, b3"),
        ({"held_batches": '["b1", "b2", "b3"]'}, "held_batches are all batches"),
        ({"drop_labels": '["Mis"]'}, "drop_labels names Mis, which no file has; there are B, T"),
        ({"rename_labels": '{ "T cell" = "T" }'}, "rename_labels names T cell, which no file has"),
        ({"modality": '"rna"'}, "one.h5ad has no modality rna; there are: none, it is one AnnData"),
        ({"files": '["two.h5mu"]', "modality": '"atac"'}, "two.h5mu has no modality atac; there are: rna"),
        (
            {"files": '["two.h5mu"]', "modalities": '{ rna_layer = "rna", atac_layer = "peaks" }'},
            "two.h5mu has no modality peaks; there are: rna",
        ),
    ],
)
def test_what_no_file_has_is_refused_before_the_first_task_is_fitted(told, tmp_path, changed, message):
    def fit(task, seed):
        raise AssertionError("fitted")

    with pytest.raises(ValueError, match=f"Task 'other': {message}"):
        run.run(told(changed), ["one"], [0], tmp_path / "r.csv", known={"one": fit})


def test_a_file_that_is_not_there_is_refused(told):
    with pytest.raises(FileNotFoundError, match="Task 'other': there is no .*three.h5ad. Fix: `files`, or PLKD_DATA"):
        check_tasks(told({"files": '["three.h5ad"]'}))


def test_labels_may_be_of_one_of_two_files_and_renamed_ones_dropped(told, tmp_path):
    other = ad.read_h5ad(tmp_path / "one.h5ad")
    other.obs["cell_type"] = other.obs["cell_type"].astype(str).replace({"T": "T cell"})
    other.write_h5ad(tmp_path / "three.h5ad")
    pair = {"split": '"across-files"', "files": '["one.h5ad", "three.h5ad"]', "held_batches": None}
    specs = told(pair | {"rename_labels": '{ "T cell" = "doubtful", T = "doubtful" }', "drop_labels": '["doubtful"]'})
    check_tasks(specs)
    assert [set(task.truth) for task in folds(specs[1])] == [{"B"}, {"B"}]


def test_a_file_without_tasks_is_refused(tmp_path):
    (tmp_path / "none.toml").write_text("")
    with pytest.raises(ValueError, match="none.toml holds no task"):
        read_specs(tmp_path / "none.toml")


def test_simulated_cells_need_no_data_folder(monkeypatch):
    monkeypatch.delenv("PLKD_DATA", raising=False)
    specs = [spec for spec in read_specs() if spec.simulate]
    assert specs
    check_tasks(specs)
    (task,) = folds(specs[0])
    assert task.query.n_obs == len(task.truth)
    with pytest.raises(KeyError, match="PLKD_DATA is not set"):
        str(task.gene_sets)
