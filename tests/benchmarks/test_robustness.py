"""What the robustness benchmark writes and makes of it, with numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

reason = "benchmarks are imported from the root of a checkout: python -m pytest"
run = pytest.importorskip("benchmarks.robustness.run", reason=reason)
table = pytest.importorskip("benchmarks.robustness.table", reason=reason)
annotation_table = pytest.importorskip("benchmarks.annotation.table", reason=reason)


@pytest.fixture
def task(monkeypatch):
    """Give a fold whose type ``c`` has nine query cells in all folds, ``b`` ten."""
    spec = SimpleNamespace(name="t")
    parts = [np.repeat(["a", "b", "c"], [20, 5, 4]), np.repeat(["a", "b", "c"], [20, 5, 5])]
    folds = [SimpleNamespace(spec=spec, fold=str(i), truth=truth) for i, truth in enumerate(parts)]
    monkeypatch.setattr(run, "folds", lambda spec: iter(folds))
    return folds[0]


def test_types_with_few_query_cells_over_all_folds_are_scored_apart(task, tmp_path):
    results = run.Results.at(tmp_path / "r.csv")
    results.add(task, task.truth, "none", 0.0, "t", "0", "m", 0, changed=0.0)
    lost = task.truth.astype(object)
    lost[lost == "c"] = "b"
    results.add(task, lost.astype(str), "wrong", 0.2, "t", "0", "m", 0, changed=0.2)
    rows = pd.read_csv(tmp_path / "r.csv")
    # b: 5 right, 4 called so wrongly: F1 10/14. c: none right.
    np.testing.assert_allclose(rows["macro_f1"], [1, (1 + 10 / 14 + 0) / 3])
    np.testing.assert_allclose(rows["macro_f1_common"], [1, (1 + 10 / 14) / 2])
    assert run.Results.at(tmp_path / "r.csv").has("wrong", 0.2, "t", "0", "m", 0)
    assert table.losses(rows)["loss"].item() == pytest.approx(100 * (1 - (1 + 10 / 14) / 3))
    assert table.losses(rows, "macro_f1_common")["loss"].item() == pytest.approx(100 * (1 - (1 + 10 / 14) / 2))


def test_a_file_of_other_columns_is_refused(tmp_path):
    (tmp_path / "old.csv").write_text("what,rate\nnone,0\n")
    with pytest.raises(ValueError, match=r"old\.csv has the columns .*'rate'.*Fix: name a new file"):
        run.Results.at(tmp_path / "old.csv")


def test_panels_keep_so_many_genes_and_count_among_the_cases_of_genes(tmp_path, monkeypatch):
    """A method that tells its labels by one gene loses them with that gene."""
    adata = AnnData(np.ones((40, 60), dtype=np.float32))
    adata.var_names = [f"g{i}" for i in range(60)]
    truth = np.repeat(["a", "b"], 20)
    task = SimpleNamespace(
        spec=SimpleNamespace(name="t"), fold="0", truth=truth, reference=adata, query=adata[:, ::-1].copy()
    )
    asked = []

    def method(task, seed):
        def ask(query):
            asked.append(list(query.var_names))
            return {"m": truth if "g50" in query.var_names else np.repeat("a", 40)}

        return ask

    monkeypatch.setattr(run.genes, "METHODS", {"m": method})
    monkeypatch.setattr(run, "panel", lambda reference, n: reference.var_names[:n])
    monkeypatch.setattr(run, "folds", lambda spec: iter([task]))
    results = run.Results.at(tmp_path / "r.csv")
    for _ in range(2):  # what the file has is not run again
        run.run_genes(task, [("genes", 0.5), ("panel", 12), ("panel", 60)], ["m"], 0, results)
    assert [len(names) for names in asked] == [60, 30, 12]
    assert set(asked[2]) == {f"g{i}" for i in range(12)}
    rows = pd.read_csv(tmp_path / "r.csv")
    assert rows["what"].tolist() == ["none", "genes", "panel"]
    np.testing.assert_allclose(rows["changed"], [0, 0.5, 0.8])
    np.testing.assert_allclose(rows["macro_f1"], [1, 1 if "g50" in asked[1] else 1 / 3, 1 / 3])
    assert "labels" not in table.report(rows.assign(method="plkd"), str(tmp_path / "out"))


def test_panels_that_plkd_would_refuse_are_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["run", "--what", "panel", "--panels", "300", "99", "--out", str(tmp_path / "r.csv")]
    )
    with pytest.raises(SystemExit):
        run.main()
    assert "--panels 99: a query of fewer than 100 genes is refused" in capsys.readouterr().err
    assert not (tmp_path / "r.csv").exists()


def test_scores_are_averaged_over_the_folds_of_a_task_then_over_tasks():
    keys = ["what", "rate", "task", "fold", "method", "seed", "macro_f1"]
    rows = [
        ("none", 0.0, "t", "0", "m", 0, 0.9),
        ("none", 0.0, "t", "1", "m", 0, 0.7),
        ("none", 0.0, "u", "0", "m", 0, 0.4),
    ]
    rows += [("panel", 100, *row[2:6], row[6] - 0.1) for row in rows] + [("wrong", 0.2, *rows[0][2:])]
    found = table.scores(pd.DataFrame(rows, columns=keys))
    assert found["what"].tolist() == ["none", "panel"]
    np.testing.assert_allclose(found["m"], [0.6, 0.5])


def test_a_table_is_not_written_over_the_results(tmp_path, monkeypatch, capsys):
    (tmp_path / "r.csv").write_text("kept")
    monkeypatch.setattr("sys.argv", ["table", str(tmp_path / "r.csv"), "--out", str(tmp_path / "r")])
    for main in (table.main, annotation_table.main):
        with pytest.raises(SystemExit):
            main()
        assert "would be written over" in capsys.readouterr().err
    assert (tmp_path / "r.csv").read_text() == "kept"
