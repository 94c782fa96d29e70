"""Learning curves: macro-F1 against the number of reference cells per label.

    PLKD_DATA=/path/to/data python -m benchmarks.annotation.few --tasks pbmc-sorted-vs-3k --cells 1 3 10 30 100 --seeds 0 1 2 --out few.csv

Of each label so many reference cells are drawn, the same for every method of a seed, or all where there are fewer; the query is whole.
Rows are appended to the CSV, and what it has is not run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.annotation.check import check_tasks
from benchmarks.annotation.methods import METHODS
from benchmarks.annotation.prediction import Cells
from benchmarks.annotation.run import append, applies, check_columns, read_rows
from benchmarks.annotation.tasks import Task, folds, named, rna_specs
from benchmarks.quiet import quiet

logger = logging.getLogger("benchmarks.annotation")
KEYS = ["task", "fold", "cells_per_label", "seed", "method"]
SCORES = ["accuracy", "macro_f1", "weighted_f1", "accuracy_parents", "macro_f1_worst_batch", "calibration_error"]
COLUMNS = [*KEYS, *SCORES, "fit_s"]


def thinned(task: Task, n_cells: int, seed: int) -> Task:
    """Return the task with at most so many reference cells of each label, drawn at random."""
    rng, kept = np.random.default_rng(seed), []
    for label in np.unique(task.labels):
        kept += list(rng.permutation(np.flatnonzero(task.labels == label))[:n_cells])
    reference = task.reference[np.sort(kept)].copy()
    # Genes that no kept cell has stay: they are measured, and zero.
    return replace(task, reference=reference)


def rows(task: Task, n_cells: int, seed: int, methods: list[str], done: set[tuple]) -> Iterator[dict[str, object]]:
    """Yield a row per method that is not done."""
    own, about = thinned(task, n_cells, seed), (task.spec.name, task.fold, n_cells, seed)
    batches = task.query.obs[task.spec.batch_key].to_numpy().astype(str)
    for method in methods:
        if (*about, method) in done or not applies(method, task.spec):
            continue
        for name, prediction in METHODS[method](own, seed).items():
            key = (*about, name)
            if name in methods and key not in done:
                done.add(key)
                scores = Cells.of(own.truth, prediction, batches).scores(task.spec.parents)
                yield dict(zip(KEYS, key, strict=True)) | scores | {"fit_s": prediction.fit_s}


def main() -> None:
    """Parse the command line, run what is not there yet and print the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["pbmc-sorted-vs-3k", "pancreas-protocols"])
    parser.add_argument("--cells", nargs="+", type=int, default=[1, 3, 5, 10, 30, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["SVM", "LR-hvg2000", "plkd", "plkd-no-kd"])
    parser.add_argument("--out", type=Path, default=Path("few.csv"))
    args = parser.parse_args()
    specs = named(parser, rna_specs(), args.tasks)
    quiet()
    check_columns(args.out, COLUMNS)
    check_tasks(specs)
    done = set()
    if args.out.exists():
        done = set(read_rows(args.out)[KEYS].itertuples(index=False, name=None))
    for spec in specs:
        for task in folds(spec):
            for seed in args.seeds:
                for n_cells in args.cells:
                    for row in rows(task, n_cells, seed, args.methods, done):
                        append(args.out, row, COLUMNS)
    table = read_rows(args.out)
    by_task = table.groupby(["task", "method", "cells_per_label", "seed"])["macro_f1"].mean()
    print(by_task.groupby(["task", "method", "cells_per_label"]).mean().unstack().round(3).to_string())


if __name__ == "__main__":
    main()
