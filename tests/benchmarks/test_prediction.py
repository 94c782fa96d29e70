"""Scores of single cells by batch and by parent, beside scikit-learn's; and which reference cells and labels are left."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from benchmarks.annotation import ours, run
from benchmarks.annotation.few import thinned
from benchmarks.annotation.prediction import Cells, Prediction
from benchmarks.annotation.run import append, check_columns
from benchmarks.annotation.tasks import TASK_FILE, Spec, Task, folds, read_specs
from benchmarks.integration.hidden import hide
from mudata import MuData
from sklearn.metrics import accuracy_score, f1_score

import plkd
from plkd import presets

LABELS = np.array(["CD4", "CD8", "B", "NK"])
PARENTS = {"CD4": "T", "CD8": "T"}


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    truth, batches = LABELS[rng.integers(0, 4, 200)], np.array(["a", "b", "c"])[rng.integers(0, 3, 200)]
    called = np.where(rng.random(200) < 0.7, truth, LABELS[rng.integers(0, 4, 200)])
    return truth, called, batches


def scores(truth, called, batches=None):
    return Cells.of(truth, Prediction(called, None, 0.0, 0.0), batches).scores(PARENTS)


def test_worst_batch_is_the_least_macro_f1_over_labels_of_the_batch(answers):
    truth, called, batches = answers
    by_batch = [
        f1_score(truth[own], called[own], labels=np.unique(truth[own]), average="macro")
        for own in (batches == name for name in "abc")
    ]
    assert scores(*answers)["macro_f1_worst_batch"] == pytest.approx(min(by_batch))


def test_a_single_batch_is_its_own_worst(answers):
    found = scores(*answers[:2])
    assert found["macro_f1_worst_batch"] == found["macro_f1"]


def test_a_subtype_counts_as_right(answers):
    truth, called, _ = answers
    parents = [np.array([PARENTS.get(name, name) for name in names]) for names in (truth, called)]
    found = scores(*answers)
    assert found["accuracy_parents"] == pytest.approx(accuracy_score(*parents))
    assert found["accuracy_parents"] > found["accuracy"]
    # A parent that is called itself is right too.
    assert scores(np.array(["CD4", "B"]), np.array(["T", "T"]))["accuracy_parents"] == 0.5


def test_batches_are_kept_with_the_cells(answers, tmp_path):
    truth, called, batches = answers
    cells = Cells.of(truth, Prediction(called, None, 0.0, 0.0), batches)
    cells.save(tmp_path / "cells.npz")
    assert Cells.load(tmp_path / "cells.npz").scores(PARENTS) == pytest.approx(cells.scores(PARENTS), nan_ok=True)


def make_task(labels):
    reference = AnnData(np.arange(len(labels) * 2, dtype=np.float32).reshape(-1, 2))
    reference.obs["cell_type"] = labels
    return Task(Spec("own", "random", ()), "f", reference, reference[:0].copy(), np.array([]))


def test_thinned_reference_has_at_most_so_many_cells_of_each_label():
    task = make_task(np.repeat(["a", "b", "c"], [10, 2, 5]))
    found = thinned(task, 3, 0)
    assert dict(zip(*np.unique(found.labels, return_counts=True), strict=True)) == {"a": 3, "b": 2, "c": 3}
    assert set(found.reference.obs_names) < set(task.reference.obs_names)
    np.testing.assert_array_equal(found.reference.X, task.reference[found.reference.obs_names].X)
    drawn = [tuple(thinned(task, 3, seed).reference.obs_names) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_each_label_loses_its_share_and_keeps_one_cell():
    labels = np.repeat(["a", "b", "c"], [100, 7, 1])
    hidden = hide(labels, 0.8, 0)
    assert [int(hidden[labels == name].sum()) for name in "abc"] == [80, 5, 0]
    assert (hide(labels, 0.99, 0).sum()) == 99 + 6  # one is kept of each


def test_one_batch_alone_is_the_reference_once_each(tmp_path, monkeypatch):
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    adata = AnnData(np.ones((12, 3), dtype=np.float32))
    adata.obs["cell_type"] = ["a", "b"] * 6
    adata.obs["batch"] = ["x"] * 4 + ["y"] * 4 + ["z"] * 4
    adata.write_h5ad(tmp_path / "own.h5ad")
    tasks = list(folds(Spec("own", "one-batch-alone", ("own.h5ad",))))
    assert [task.fold for task in tasks] == ["x alone", "y alone", "z alone"]
    for task, name in zip(tasks, "xyz", strict=True):
        assert set(task.reference.obs["batch"]) == {name}
        assert set(task.query.obs["batch"]) == set("xyz") - {name}
        assert task.query.n_obs == 8
        assert "cell_type" not in task.query.obs


def test_a_results_file_of_other_columns_is_refused(tmp_path):
    out = tmp_path / "own.csv"
    check_columns(out, ["a", "b"])  # there is none yet
    append(out, {"a": 1, "b": 2}, ["a", "b"])
    append(out, {"a": 3, "b": 4}, ["a", "b"])
    assert out.read_text().split() == ["a,b", "1,2", "3,4"]
    check_columns(out, ["a", "b"])
    with pytest.raises(ValueError, match=r"has the columns \['a', 'b'\], expected \['a', 'c'\]"):
        check_columns(out, ["a", "c"])


def test_genes_match_by_capitals_and_labels_by_their_other_names(tmp_path, monkeypatch):
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    for name, labels, genes in (
        ("one", ["B", "T", "x"], ["CD3D", "LYZ", "own"]),
        ("two", ["B cell", "T", "y"], ["Lyz", "Cd3d", "cd3d"]),
    ):
        adata = AnnData(np.arange(9).reshape(3, 3).astype(np.float32))
        adata.obs_names, adata.var_names = list("abc"), genes
        adata.obs["cell_type"], adata.obs["batch"] = labels, name
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    spec = Spec(
        "own",
        "across-files",
        ("one.h5ad", "two.h5ad"),
        capitals=True,
        rename_labels={"B cell": "B"},
        drop_labels=("x",),
    )
    first, second = folds(spec)
    assert list(first.reference.var_names) == ["CD3D", "LYZ"]
    np.testing.assert_array_equal(first.query.X.toarray(), [[1, 0], [4, 3]])
    assert list(first.truth) == ["B", "T"]
    assert list(second.labels) == ["B", "T", "y"]
    assert list(second.truth) == ["B", "T"]


def test_a_condition_is_held_out_of_a_downloaded_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    cells = AnnData(np.ones((6, 2), dtype=np.float32))
    cells.obs["cell_type"], cells.obs["replicate"] = ["B", "T"] * 3, ["p1", "p2", "p3"] * 2
    cells.obs["label"] = ["ctrl"] * 4 + ["stim"] * 2
    monkeypatch.setattr(plkd.datasets, "kang_2018", lambda: cells)
    (spec,) = read_specs(TASK_FILE.with_name("downloads.toml"))
    (task,) = folds(spec)
    assert list(task.reference.obs["replicate"]) == ["p1", "p2", "p3", "p1"]
    assert list(task.query.obs_names) == ["4", "5"]
    assert "cell_type" not in task.query.obs


def test_a_panel_has_the_most_variable_genes_of_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    means = rng.uniform(5, 20, 400)
    means[:5] = means[10:15] = [6, 9, 12, 15, 18]  # dispersions are compared among genes of like means
    means = np.tile(means, (100, 1))
    turns = np.tile([0.2, 1.8], 25)[:, None]  # the genes' means stay
    means[:50, 10:15] *= turns  # in the first batch alone
    means[50:, :5] *= turns
    adata = AnnData(rng.poisson(means).astype(np.float32))
    adata.obs["cell_type"], adata.obs["batch"] = ["a", "b"] * 50, ["x"] * 50 + ["y"] * 50
    adata.write_h5ad(tmp_path / "own.h5ad")
    of_y, of_x = folds(Spec("own", "leave-one-batch-out", ("own.h5ad",), n_genes=5))
    assert set(of_y.reference.obs["batch"]) == {"y"}
    assert set(of_x.reference.var_names) == {"10", "11", "12", "13", "14"}
    assert set(of_y.reference.var_names) == {"0", "1", "2", "3", "4"}
    assert list(of_x.query.var_names) == list(of_x.reference.var_names)


def test_panels_are_the_tasks_of_one_modality_that_count():
    counted = [spec for spec in read_specs() if spec.in_average and not spec.modalities]
    panels = read_specs(TASK_FILE.with_name("panels.toml"))
    assert panels == [dataclasses.replace(spec, name=f"{spec.name}-panel", n_genes=300) for spec in counted]


def test_laboratories_are_pairs_that_no_default_was_chosen_by():
    tasks = [
        spec for name in ("laboratories", "conditions") for spec in read_specs(TASK_FILE.with_name(f"{name}.toml"))
    ]
    pairs = [spec for spec in tasks if spec.split == "across-files"]
    assert (len(tasks), len(pairs)) == (9, 5)
    assert not {frozenset(spec.files) for spec in pairs} & {frozenset(spec.files) for spec in read_specs()}
    # Of the cells of one file other batches, or labels, are asked for.
    asked = {(spec.files, spec.labels_key, spec.held_batches) for spec in read_specs()}
    assert not {(spec.files, spec.labels_key, spec.held_batches) for spec in tasks} & asked


def test_a_panel_of_several_modalities_is_refused():
    with pytest.raises(ValueError, match="n_genes of 'own' is 5, of several modalities; expected one"):
        Spec("own", "random", ("own.h5mu",), modalities={"rna_layer": "rna"}, n_genes=5)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (["one", "two@rna"], ["one@", "two@rna"]),
        (["two"], ["two@rna", "two@atac"]),
        ([], ["one@", "two@rna", "two@atac"]),
    ],
)
def test_a_task_is_named_alone_or_with_its_modality(tmp_path, monkeypatch, tasks, expected):
    entries = [("one", ""), ("two", "rna"), ("two", "atac")]
    told = "".join(f'[[task]]\nname = "{n}"\nsplit = "random"\nfiles = ["f"]\nmodality = "{m}"\n' for n, m in entries)
    (tmp_path / "tasks.toml").write_text(told)
    monkeypatch.setattr(
        "sys.argv", ["run", "--task-file", str(tmp_path / "tasks.toml"), *(["--tasks", *tasks] if tasks else [])]
    )
    ran = []
    monkeypatch.setattr(run, "quiet", lambda *_: None)  # it silences the logs of the tests that follow
    monkeypatch.setattr(run, "run", lambda specs, *_: ran.extend(f"{s.name}@{s.modality}" for s in specs))
    run.main()
    assert ran == expected


def test_an_unknown_modality_of_a_task_is_refused_with_those_there_are(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run", "--tasks", "cortex-multiome@protein", "pbmc-cite"])
    monkeypatch.setattr(run, "quiet", lambda *_: None)
    with pytest.raises(SystemExit):
        run.main()
    told = capsys.readouterr().err
    assert "no such task: cortex-multiome@protein;" in told
    assert "cortex-multiome@rna, cortex-multiome@atac" in told


def test_results_are_not_named_like_the_folder_of_their_cells(tmp_path):
    with pytest.raises(ValueError, match=r"own is where single cells go. Fix: `--out .*own\.csv`"):
        run.run([], [], [0], tmp_path / "own")


def test_cells_without_a_label_take_no_part(tmp_path, monkeypatch):
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    adata = AnnData(np.ones((6, 3), dtype=np.float32))
    adata.obs["cell_type"] = pd.Categorical(["a", None, "b", "a", "b", None])
    adata.obs["batch"] = ["x"] * 3 + ["y"] * 3
    adata.write_h5ad(tmp_path / "own.h5ad")
    of_x, of_y = folds(Spec("own", "leave-one-batch-out", ("own.h5ad",)))
    assert of_x.truth.tolist() == ["a", "b"]
    assert of_x.reference.obs_names.tolist() == ["3", "4"]
    assert of_y.labels.tolist() == ["a", "b"]


def test_a_split_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="split of 'own' is 'odd'; expected one of leave-one-batch-out, "):
        Spec("own", "odd", ())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured anew on Linux alone")
def test_memory_is_that_of_the_method_unless_it_says_its_own(tmp_path, monkeypatch):
    reference = AnnData(np.ones((4, 2), dtype=np.float32))
    reference.obs["cell_type"], reference.obs["batch"] = list("abab"), "x"
    task = Task(Spec("own", "random", ()), "f", reference, reference.copy(), np.array(list("abab")))
    monkeypatch.setattr(run, "folds", lambda spec: iter([task]))

    def greedy(task, seed):
        held = np.ones(60 * 2**17)  # 60 MiB
        return {"greedy": Prediction(task.truth, None, held[0], 0.0)}

    def frugal(task, seed):
        return {"frugal": Prediction(task.truth, None, 0.0, 0.0)}

    def elsewhere(task, seed):
        return {"elsewhere": Prediction(task.truth, None, 0.0, 0.0, 7.0)}

    known = {f.__name__: f for f in (greedy, frugal, elsewhere)}
    run.run([task.spec], list(known), [0], tmp_path / "r.csv", known=known)
    found = run.read_rows(tmp_path / "r.csv").set_index("method")["peak_mib"]
    assert 55 < found["greedy"] < 90
    assert found["frugal"] < 20
    assert found["elsewhere"] == 7


def test_a_reference_of_too_few_cells_is_asked_and_not_adapted(make_adata, tmp_path, monkeypatch):
    adata = make_adata(120)
    kept = np.concatenate(
        [np.flatnonzero(adata.obs["cell_type"] == label)[:1] for label in adata.obs["cell_type"].unique()]
    )
    query = adata[60:].copy()
    truth = query.obs.pop("cell_type").to_numpy().astype(str)
    task = Task(Spec("own", "random", ()), "f", adata[kept].copy(), query, truth)
    few_epochs = presets.default.replace(teacher_training={"max_epochs": 1}, student_training={"max_epochs": 1})
    found = ours.answers(task, 0, "plkd", adapted=True, preset=few_epochs)
    assert set(found) == {"plkd", "plkd-teacher"}


def test_cells_of_a_mudata_without_a_label_take_no_part(tmp_path, monkeypatch, make_mdata):
    """The file's modalities have other cells than the two that are asked for, so that rows do not lie alike."""
    monkeypatch.setenv("PLKD_DATA", str(tmp_path))
    whole = make_mdata(60)
    tables = {"rna": whole["rna"][10:].copy(), "prot": whole["prot"][5:40].copy(), "atac": whole["atac"].copy()}
    mdata = MuData(tables)
    labels = whole.obs["cell_type"].astype(object).copy()
    unlabelled = whole.obs_names[[7, 20, 55]]
    labels[unlabelled] = None
    mdata.obs["cell_type"] = pd.Categorical(labels[mdata.obs_names])
    mdata.obs["batch"] = whole.obs["batch"][mdata.obs_names].astype(str).to_numpy()
    mdata.write(tmp_path / "own.h5mu")
    modalities = {"rna_layer": "rna", "protein_layer": "prot"}
    (task,) = folds(Spec("own", "random", ("own.h5mu",), modalities=modalities))
    found = [*task.reference.obs_names, *task.query.obs_names]
    named = set(tables["rna"].obs_names) | set(tables["prot"].obs_names)
    assert len(named) < 60
    assert named & set(unlabelled)
    assert set(found) == named - set(unlabelled)
    told = dict(zip(found, [*task.labels, *task.truth], strict=True))
    assert all(told[name] == labels[name] for name in found)


def test_a_fit_that_gives_no_answer_of_a_name_is_not_made_again(tmp_path, monkeypatch):
    reference = AnnData(np.ones((4, 2), dtype=np.float32))
    reference.obs["cell_type"], reference.obs["batch"] = list("abab"), "x"
    task = Task(Spec("own", "random", ()), "f", reference, reference.copy(), np.array(list("abab")))
    monkeypatch.setattr(run, "folds", lambda spec: iter([task]))
    asked = []

    def fit(task, seed):
        asked.append(seed)
        return {"one": Prediction(task.truth, None, 0.0, 0.0)}

    run.run([task.spec], ["one", "other"], [0, 1], tmp_path / "r.csv", known={"one": fit, "other": fit})
    assert asked == [0, 1]
