"""Tables of a results file: scores per task and over tasks, and paired differences with bootstrap intervals.

    python -m benchmarks.annotation.table results.csv --versus plkd --out table

writes ``table.csv``, ``table_labels.csv`` (recall and F1 of each label), ``table_differences.csv`` and ``table.md``. Scores are averaged over seeds
and folds of a task, then over tasks. A method is averaged over folds only if it has all that others have, over tasks only if it has them all.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotation.bootstrap import paired_differences
from benchmarks.annotation.prediction import TRANSDUCTIVE, Cells, cells_path
from benchmarks.annotation.run import read_rows
from benchmarks.annotation.scores import confusion, f1_per_label, macro_f1
from benchmarks.annotation.tasks import TASK_FILE, read_specs

RARE_BELOW = 10
MEAN = "mean over tasks"
SCORES = (
    "macro_f1",
    "accuracy",
    "weighted_f1",
    "accuracy_parents",
    "macro_f1_worst_batch",
    "macro_f1_common",
    "f1_rare",
    "calibration_error",
    "fit_s",
    "predict_s",
    "peak_mib",
)
DIGITS = {"fit_s": 1, "predict_s": 2, "peak_mib": 0}


def read_results(path: Path) -> tuple[pd.DataFrame, dict[tuple, Cells]]:
    """Read the rows and the single cells; ``SVM@rna`` on a task becomes ``SVM`` on ``<task>@rna``."""
    rows = read_rows(path)
    keys = ["task", "fold", "method", "seed"]
    if rows.duplicated(keys).any():
        twice = rows.loc[rows.duplicated(keys), keys].iloc[0].to_dict()
        raise ValueError(f"{path} holds {twice} more than once. Fix: leave one of these rows.")
    stored = {key: cells_path(path, *key) for key in rows[keys].itertuples(index=False, name=None)}
    parts = rows["method"].str.partition("@")
    rows["task"], rows["method"] = rows["task"] + parts[1] + parts[2], parts[0]
    renamed = rows[keys].itertuples(index=False, name=None)
    lost = [str(p) for p in stored.values() if not p.exists()]
    if lost:
        warnings.warn(
            f"{len(lost)} of {len(stored)} rows have no single cells, e.g. {lost[0]}: differences leave them out.",
            stacklevel=2,
        )
    return rows, {key: Cells.load(p) for key, p in zip(renamed, stored.values(), strict=True) if p.exists()}


def rare_labels(cells: dict[tuple, Cells]) -> dict[str, set[str]]:
    """Return for each task the labels with fewer than ten query cells over all its folds."""
    folds = {(task, fold): c.names[c.truth] for (task, fold, _, _), c in cells.items()}
    totals: dict[str, pd.Series] = {}
    for (task, _), truth in folds.items():
        totals[task] = totals.get(task, pd.Series(dtype=int)).add(pd.Series(truth).value_counts(), fill_value=0)
    return {task: set(total.index[total < RARE_BELOW]) for task, total in totals.items()}


def add_rare(rows: pd.DataFrame, cells: dict[tuple, Cells]) -> pd.DataFrame:
    """Add per fold the macro-F1 over the labels that are not rare, and per task the mean F1 of rare labels, folds pooled."""
    rare = rare_labels(cells)
    rows = rows.assign(macro_f1_common=np.nan, f1_rare=np.nan)
    for (task, method, seed), group in rows.groupby(["task", "method", "seed"]):
        found = {
            i: cells[task, fold, method, seed]
            for i, fold in group["fold"].items()
            if (task, fold, method, seed) in cells
        }
        for i, c in found.items():
            rows.loc[i, "macro_f1_common"] = macro_f1(c.confusion(), ~np.isin(c.names, list(rare[task])))
        if found and rare[task]:
            names = np.unique(np.concatenate([c.names for c in found.values()]))
            matrix = np.zeros((len(names), len(names)), dtype=int)
            for c in found.values():
                at = np.searchsorted(names, c.names)
                matrix[np.ix_(at, at)] += c.confusion()
            rows.loc[group.index, "f1_rare"] = f1_per_label(matrix)[np.isin(names, list(rare[task]))].mean()
    return rows


def of_labels(cells: dict[tuple, Cells]) -> pd.DataFrame:
    """Return recall and F1 of each label in the queries of a task, folds pooled, mean over seeds; ``n_cells`` of a seed."""
    parts: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    for (task, _, method, seed), c in cells.items():
        parts.setdefault((task, method, seed), []).append((c.names[c.truth], c.names[c.predicted]))
    frames = []
    for key, pairs in parts.items():
        truth, predicted = (np.concatenate(side) for side in zip(*pairs, strict=True))
        names, codes = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
        matrix = confusion(codes[: len(truth)], codes[len(truth) :], len(names))
        n_cells = matrix.sum(axis=1)
        own = {"label": names, "n_cells": n_cells, "recall": matrix.diagonal() / np.maximum(n_cells, 1)}
        frame = pd.DataFrame(own | {"f1": f1_per_label(matrix)})[n_cells > 0]
        frames.append(frame.assign(**dict(zip(("task", "method", "seed"), key, strict=True))))
    if not frames:
        return pd.DataFrame(columns=["task", "method", "label", "n_cells", "recall", "f1"])
    return pd.concat(frames).groupby(["task", "method", "label"])[["n_cells", "recall", "f1"]].mean().reset_index()


def of_all_folds(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out, of each task, methods that lack folds which others have: folds differ more than methods do."""
    own = rows.groupby(["method", "task"])["fold"].transform("nunique")
    kept = own == rows.groupby("task")["fold"].transform("nunique")
    for method, task in rows.loc[~kept, ["method", "task"]].drop_duplicates().itertuples(index=False, name=None):
        warnings.warn(f"{method} lacks folds of {task} that others have, and is left out there.", stacklevel=2)
    return rows[kept]


def summarise(rows: pd.DataFrame, average_over: list[str]) -> pd.DataFrame:
    """Average over seeds and folds within tasks, then over tasks; one line per method and task."""
    columns = [c for c in SCORES if c in rows]
    folds = rows.groupby(["method", "task", "fold"])[columns].mean()
    tasks = folds.groupby(["method", "task"]).mean()
    spread = rows.groupby(["method", "task", "seed"])["macro_f1"].mean().groupby(["method", "task"]).std()
    tasks["macro_f1_sd_seeds"] = spread
    complete = [m for m, t in tasks.groupby("method") if set(average_over) <= set(t.index.get_level_values("task"))]
    kept = tasks[tasks.index.get_level_values("task").isin(average_over)].loc[complete]
    means = kept.groupby("method").mean().assign(task=MEAN).set_index("task", append=True)
    n_seeds = rows.groupby(["method", "task"])["seed"].nunique().rename("n_seeds")
    return pd.concat([tasks.join(n_seeds), means]).reset_index()


def wide(table: pd.DataFrame, score: str, tasks: list[str]) -> str:
    """Format one score as a Markdown table of methods x tasks, the best method of the average (or first task) on top.

    Methods that see the query when they are fitted come below the others.
    """
    frame = table.pivot(index="method", columns="task", values=score).reindex(columns=tasks)
    if frame.isna().all(axis=None):
        return ""
    ascending = score in ("calibration_error", "fit_s", "predict_s", "peak_mib")
    order = MEAN if MEAN in frame and frame[MEAN].notna().any() else tasks[0]
    frame = frame.sort_values(order, ascending=ascending)
    sees_query = frame.index.isin(TRANSDUCTIVE)
    frame = pd.concat([frame[~sees_query], frame[sees_query].rename(lambda name: f"{name} (sees the query)")])
    frame.index.name = "method"
    return f"\n## {score}\n\n{markdown(frame.reset_index(), DIGITS.get(score, 3))}\n"


def markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """Format a frame as a Markdown table; missing numbers stay empty."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.{digits}f}"
        return str(value)

    lines = [list(map(str, frame.columns)), ["---"] * frame.shape[1]]
    lines += [[cell(v) for v in row] for row in frame.itertuples(index=False, name=None)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def check_out(parser: argparse.ArgumentParser, results: Path, out: str | Path) -> None:
    """Refuse to write a table over the results that it is made of."""
    if Path(f"{out}.csv").resolve() == results.resolve():
        parser.error(f"--out {out} would be written over {results}. Fix: name another start, e.g. --out {out}_table.")


def main() -> None:
    """Parse the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--versus", help="method that the others are compared with; default: plkd, if there")
    parser.add_argument(
        "--score", default="macro_f1", choices=["macro_f1", "accuracy"], help="score of the differences"
    )
    parser.add_argument(
        "--average",
        nargs="+",
        help="tasks to average over; default: all but those the task file leaves out, or these if there are no others",
    )
    parser.add_argument("--task-file", type=Path, default=TASK_FILE)
    parser.add_argument("--n-boot", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=Path("table"), help="start of the names of the files written")
    args = parser.parse_args()
    check_out(parser, args.results, args.out)

    rows, cells = read_results(args.results)
    rows = add_rare(rows, cells)
    specs = read_specs(args.task_file)
    left_out = {spec.full_name for spec in specs if not spec.in_average}
    tasks = list(dict.fromkeys(rows["task"]))
    counted = [t for t in tasks if t not in left_out]
    average_over = args.average or counted or tasks
    if unknown := sorted(set(average_over) - set(tasks)):
        parser.error(f"--average {', '.join(unknown)}: no such task in {args.results}; there are {', '.join(tasks)}")
    versus = args.versus or "plkd"
    if args.versus and versus not in set(rows["method"]):
        there = ", ".join(dict.fromkeys(rows["method"]))
        parser.error(f"--versus {args.versus}: no such method in {args.results}; there are {there}")
    rows = of_all_folds(rows)
    table = summarise(rows, average_over)
    table.to_csv(f"{args.out}.csv", index=False)
    kept = set(rows[["task", "fold", "method", "seed"]].itertuples(index=False, name=None))
    of_labels({key: own for key, own in cells.items() if key in kept}).round(4).to_csv(
        f"{args.out}_labels.csv", index=False
    )
    text = f"# {args.results.name}\n\nMean over tasks: {', '.join(average_over)}.\n"
    text += "".join(wide(table, score, [*tasks, MEAN]) for score in SCORES if score in table)

    differences = paired_differences(cells, versus, args.score, average_over, n_boot=args.n_boot)
    if len(differences):
        differences.to_csv(f"{args.out}_differences.csv", index=False)
        text += f"\n## {versus} minus the other method, {args.score}, with 95 % bootstrap intervals\n\n"
        text += markdown(differences) + "\n"
    Path(f"{args.out}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
