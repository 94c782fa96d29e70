"""Which tasks the averages are over."""

from __future__ import annotations

import pandas as pd
from benchmarks.annotation import table

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
