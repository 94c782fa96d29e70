"""Which tasks and folds the averages are over, and scores of labels, beside scikit-learn's."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from benchmarks.annotation import table
from benchmarks.annotation.bootstrap import paired_differences
from benchmarks.annotation.prediction import Cells, Prediction, cells_path
from benchmarks.annotation.run import append
from sklearn.metrics import f1_score, recall_score

TASKS = """
[[task]]
name = "whole"
split = "random"
files = ["one.h5ad"]

[[task]]
name = "two"
split = "random"
files = ["two.h5mu"]
modality = "rna"

[[task]]
name = "two"
split = "random"
files = ["two.h5mu"]
modality = "atac"
in_average = false
"""


def test_one_modality_of_a_task_is_averaged_and_another_is_not(tmp_path, monkeypatch, capsys):
    (tmp_path / "tasks.toml").write_text(TASKS)
    rows = [("whole", "SVM", 0.5), ("two", "SVM@rna", 0.7), ("two", "SVM@atac", 0.1)]
    frame = pd.DataFrame([{"task": t, "fold": "f", "method": m, "seed": 0, "macro_f1": s} for t, m, s in rows])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    told = [
        "table",
        str(tmp_path / "rows.csv"),
        "--task-file",
        str(tmp_path / "tasks.toml"),
        "--out",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr("sys.argv", told)
    table.main()
    assert "Mean over tasks: whole, two@rna." in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "out.csv").set_index("task")["macro_f1"]
    assert found[table.MEAN] == (0.5 + 0.7) / 2


def cells_of(truth, called):
    return Cells.of(np.array(truth), Prediction(np.array(called), None, 0.0, 0.0))


def write(path, runs):
    """Write a results file and its cells; ``runs`` of fold, method, seed, truth, called."""
    lines = []
    for fold, method, seed, truth, called in runs:
        cells = cells_of(truth, called)
        cells.save(cells_path(path, "t", fold, method, seed))
        lines.append({"task": "t", "fold": fold, "method": method, "seed": seed, **cells.scores()})
    pd.DataFrame(lines).to_csv(path, index=False)


def test_folds_keep_names_that_look_like_numbers_or_nothing(tmp_path):
    write(tmp_path / "r.csv", [(fold, "m", 0, ["a", "b"], ["a", "b"]) for fold in ("1", "02", "NA", "nan")])
    rows, cells = table.read_results(tmp_path / "r.csv")
    assert rows["fold"].tolist() == ["1", "02", "NA", "nan"]
    assert [fold for _, fold, _, _ in cells] == ["1", "02", "NA", "nan"]


def test_a_method_without_some_folds_has_no_score_of_the_task(tmp_path, monkeypatch):
    easy, hard = ("f", ["a", "b"], ["a", "b"]), ("g", ["a", "b"], ["b", "a"])
    runs = [(fold, "all", 0, truth, called) for fold, truth, called in (easy, hard)]
    write(tmp_path / "r.csv", [*runs, ("f", "some", 0, *easy[1:])])
    monkeypatch.setattr("sys.argv", ["table", str(tmp_path / "r.csv"), "--out", str(tmp_path / "out"), "--n-boot", "2"])
    with pytest.warns(UserWarning, match="some lacks folds of t that others have"):
        table.main()
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["method"].unique().tolist() == ["all"]
    assert found["macro_f1"].tolist() == [0.5, 0.5]
    assert set(pd.read_csv(tmp_path / "out_labels.csv")["method"]) == {"all"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--versus", "plkt"), "--versus plkt: no such method in .*; there are one, two"),
        (("--average", "t", "u"), "--average u: no such task in .*; there are t"),
    ],
)
def test_names_that_are_not_there_are_refused(tmp_path, monkeypatch, capsys, option, message):
    write(tmp_path / "r.csv", [("f", "one", 0, ["a"], ["a"]), ("f", "two", 0, ["a"], ["a"])])
    monkeypatch.setattr("sys.argv", ["table", str(tmp_path / "r.csv"), "--out", str(tmp_path / "out"), *option])
    with pytest.raises(SystemExit):
        table.main()
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out.csv").exists()


def test_methods_that_saw_other_cells_are_not_compared():
    cells = {
        ("t", "f", method, 0): cells_of(truth, truth) for method, truth in (("one", ["a", "b"]), ("two", ["b", "a"]))
    }
    with pytest.raises(ValueError, match="Rows of one fold are of different query cells"):
        paired_differences(cells, "one", "macro_f1", [], n_boot=2)


def test_a_row_that_is_there_twice_is_refused(tmp_path):
    write(tmp_path / "r.csv", [("f", "m", 0, ["a"], ["a"])] * 2)
    with pytest.raises(ValueError, match=r"r\.csv holds .*'fold': 'f'.* more than once"):
        table.read_results(tmp_path / "r.csv")


def test_rows_without_single_cells_are_told(tmp_path):
    write(tmp_path / "r.csv", [("f", "m", seed, ["a"], ["a"]) for seed in (0, 1)])
    cells_path(tmp_path / "r.csv", "t", "f", "m", 1).unlink()
    with pytest.warns(UserWarning, match="1 of 2 rows have no single cells"):
        _, cells = table.read_results(tmp_path / "r.csv")
    assert [seed for *_, seed in cells] == [0]


def test_recall_and_f1_of_labels_are_of_pooled_folds_and_the_mean_over_seeds():
    rng = np.random.default_rng(0)
    cells, expected = {}, []
    for seed in (0, 1):
        truth, called = rng.choice(list("abc"), 90), rng.choice(list("abcd"), 90)
        for fold, part in (("f", slice(50)), ("g", slice(50, None))):
            cells["t", fold, "m", seed] = cells_of(truth[part], called[part])
        recall, f1 = (
            score(truth, called, labels=list("abc"), average=None, zero_division=0)
            for score in (recall_score, f1_score)
        )
        counts = [np.sum(truth == label) for label in "abc"]
        expected.append([counts, recall, f1])
    found = table.of_labels(cells).set_index("label")
    assert list(found.index) == list("abc")
    np.testing.assert_allclose(found[["n_cells", "recall", "f1"]].to_numpy().T, np.mean(expected, axis=0))


def test_what_sees_the_query_is_listed_apart():
    frame = pd.DataFrame({"method": ["SVM", "totalvi+knn", "wnn"], "task": "t", "accuracy": [0.1, 0.9, 0.8]})
    lines = table.wide(frame, "accuracy", ["t"]).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:]
    assert names == ["SVM", "totalvi+knn (sees the query)", "wnn (sees the query)"]


def test_a_method_without_probabilities_is_read_beside_one_with(tmp_path):
    for method, error in (("SVM", float("nan")), ("LR", 0.25)):
        cells_of(["a", "b"], ["a", "b"]).save(cells_path(tmp_path / "r.csv", "t", "NA", method, 0))
        row = {"task": "t", "fold": "NA", "method": method, "seed": 0, "macro_f1": 1.0, "calibration_error": error}
        append(tmp_path / "r.csv", row, list(row))
    rows, _ = table.read_results(tmp_path / "r.csv")
    found = table.summarise(rows, ["t"]).set_index(["method", "task"])["calibration_error"]
    assert found["LR", "t"] == 0.25
    assert np.isnan(found["SVM", "t"])
