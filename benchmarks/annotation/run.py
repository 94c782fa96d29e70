"""Run methods on tasks; append one row per task, fold, method and seed to a CSV and leave out what it already has.

    PLKD_DATA=/path/to/data python -m benchmarks.annotation.run --methods SVM LR-hvg2000 plkd --seeds 0 1 2 --out results.csv

The predictions of the single cells go to a folder named like the CSV; ``benchmarks.annotation.table`` needs both.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotation.check import check_tasks
from benchmarks.annotation.methods import DETERMINISTIC, METHODS, NEEDS, UNIMODAL, Method
from benchmarks.annotation.prediction import Cells, Prediction, cells_path
from benchmarks.annotation.tasks import TASK_FILE, Spec, Task, folds, named, read_specs
from benchmarks.quiet import quiet
from benchmarks.speed.measure import forget_peak, peak_mib

logger = logging.getLogger("benchmarks.annotation")

KEYS = ("task", "fold", "method", "seed")
COLUMNS = (
    *KEYS,
    "accuracy",
    "macro_f1",
    "fit_s",
    "predict_s",
    "n_ref",
    "n_query",
    "weighted_f1",
    "accuracy_parents",
    "macro_f1_worst_batch",
    "calibration_error",
    "peak_mib",
    "versions",
)


def recorded_name(method: str, spec: Spec) -> str:
    """Name a method as the results do: with the modality it was given, where the file holds several."""
    return f"{method}@{spec.modality}" if spec.modality else method


def versions() -> str:
    """Return the versions that a result depends on."""
    found = []
    for package in ("plkd", "torch", "scvi-tools", "scikit-learn"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (no metadata)")
    return "; ".join(found)


def done(out: Path) -> set[tuple[str, ...]]:
    """Return the keys of the rows that a results file holds."""
    if not out.exists():
        return set()
    with out.open(newline="") as file:
        return {tuple(row[k] for k in KEYS) for row in csv.DictReader(file)}


def read_rows(out: Path) -> pd.DataFrame:
    """Read a results file; names stay text, even those that look like numbers or like nothing."""
    names = ("task", "fold", "method")
    numbers = dict.fromkeys(pd.read_csv(out, nrows=0).columns.difference(names), ["", "nan"])
    return pd.read_csv(out, dtype=dict.fromkeys(names, object), keep_default_na=False, na_values=numbers)


def check_columns(out: Path, columns: Iterable[str] = COLUMNS) -> None:
    """Refuse a results file that lacks columns or has others; a new or empty one has none yet."""
    if not out.exists() or not out.stat().st_size:
        return
    with out.open(newline="") as file:
        found = next(csv.reader(file))
    if found != list(columns):
        raise ValueError(f"{out} has the columns {found}, expected {list(columns)}. Fix: name a new file, `--out`.")


def append(out: Path, row: dict[str, object], columns: Sequence[str] = COLUMNS) -> None:
    """Append one row, below a header if the file is new."""
    out.parent.mkdir(parents=True, exist_ok=True)
    new = not out.exists() or not out.stat().st_size
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        writer.writerow(row)


def record(out: Path, task: Task, method: str, seed: int, prediction: Prediction) -> None:
    """Score a prediction and write its cells, then its row."""
    cells = Cells.of(task.truth, prediction, task.query.obs[task.spec.batch_key].to_numpy().astype(str))
    cells.save(cells_path(out, task.spec.name, task.fold, method, seed))
    row = {"task": task.spec.name, "fold": task.fold, "method": method, "seed": seed, **cells.scores(task.spec.parents)}
    row |= {"fit_s": prediction.fit_s, "predict_s": prediction.predict_s, "peak_mib": prediction.peak_mib}
    row |= {"n_ref": task.reference.n_obs, "n_query": task.query.n_obs, "versions": versions()}
    append(out, row)
    logger.info(
        "%(task)s %(fold)s %(method)s seed %(seed)s: accuracy %(accuracy).4f, macro-F1 %(macro_f1).4f, fit %(fit_s).1f s",
        row,
    )


def applies(method: str, spec: Spec) -> bool:
    """Whether a task has the modalities that a method needs; those with none named take any."""
    return NEEDS.get(method, set()) <= set(spec.modalities) and not (method in UNIMODAL and spec.modalities)


def run(
    specs: Sequence[Spec], methods: list[str], seeds: list[int], out: Path, *, known: Mapping[str, Method] = METHODS
) -> None:
    """Run what the results file does not have yet of some of the known methods."""
    if not out.suffix:
        raise ValueError(f"{out} is where single cells go. Fix: `--out {out}.csv`.")
    check_columns(out)
    finished = done(out)
    check_tasks(specs)
    for spec in specs:
        for task in folds(spec):
            for seed in seeds:
                asked = set[Method]()
                for method in methods:
                    if not applies(method, spec) or method in DETERMINISTIC and seed != seeds[0]:
                        continue
                    key = (spec.name, task.fold, recorded_name(method, spec), str(seed))
                    if key in finished:
                        continue
                    if known[method] in asked:  # with another name of the same fit, which gave no answer of this one
                        logger.info("%s %s seed %d: no answer of %s", spec.name, task.fold, seed, method)
                        continue
                    asked.add(known[method])
                    for name, prediction in _measured(known[method], task, seed).items():
                        key = (spec.name, task.fold, recorded_name(name, spec), str(seed))
                        if name in methods and key not in finished:
                            record(out, task, recorded_name(name, spec), seed, prediction)
                            finished.add(key)


def _measured(method: Method, task: Task, seed: int) -> dict[str, Prediction]:
    """Return the answers with the memory that they took at most, over what was held before; of one fit they share it."""
    before = forget_peak()
    answers = method(task, seed)
    memory = peak_mib() - before
    return {name: a if np.isfinite(a.peak_mib) else replace(a, peak_mib=memory) for name, a in answers.items()}


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task-file", type=Path, default=TASK_FILE, help="default: the tasks.toml beside this script")
    parser.add_argument("--tasks", nargs="+", help="names from the task file, or NAME@MODALITY; default: all")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["SVM", "LR-hvg2000", "plkd"], metavar="METHOD"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("results.csv"))
    args = parser.parse_args()
    quiet(logger)

    run(named(parser, read_specs(args.task_file), args.tasks), args.methods, args.seeds, args.out)


if __name__ == "__main__":
    main()
