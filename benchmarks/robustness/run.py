"""Spoil labels of the reference, or take genes out of the query; append a row per case and method to a CSV.

    PLKD_DATA=/path/to/data python -m benchmarks.robustness.run --what genes wrong --rates .1 .2 .4 --out robustness.csv

``genes`` takes random ones, ``panel`` leaves the reference's most variable ones (``--panels``: how many); and six kinds of noise
(``noise``: all six). Rows that the file has are left out. Rate 0, with nothing spoilt, is run first: its rows are called ``none``.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotation import peers
from benchmarks.annotation.methods import METHODS
from benchmarks.annotation.prediction import Cells, Prediction
from benchmarks.annotation.run import versions
from benchmarks.annotation.scores import macro_f1
from benchmarks.annotation.table import RARE_BELOW
from benchmarks.annotation.tasks import TASK_FILE, Spec, Task, folds, named, panel, read_specs
from benchmarks.quiet import quiet
from benchmarks.robustness import genes, noise
from plkd.align import PANEL

logger = logging.getLogger("benchmarks.robustness")

TASKS = ("pbmc-technologies", "pbmc-sorted-vs-3k", "pancreas-protocols", "mouse-63-types")
KEYS = ("what", "rate", "task", "fold", "method", "seed")
COLUMNS = (*KEYS, "changed", "macro_f1", "accuracy", "macro_f1_lenient", "macro_f1_common", "versions")
#: Methods whose fit answers under two names.
ALSO = {"plkd": "plkd-teacher"}


@dataclass(frozen=True)
class Results:
    """A CSV of results; what it has is not run again."""

    path: Path
    rows: set[tuple[str, ...]]
    #: By task the labels with few query cells; found when they are first needed.
    rare: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> Results:
        """Open a file, or a new one."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(COLUMNS) + "\n")
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise ValueError(
                    f"{path} has the columns {rows.fieldnames}; expected {list(COLUMNS)}. Fix: name a new file with --out."
                )
            return cls(path, {tuple(row[k] for k in KEYS) for row in rows})

    def has(self, *key: object) -> bool:
        """Whether the file has a row of these what, rate, task, fold, method and seed."""
        return tuple(map(str, key)) in self.rows

    def add(self, task: Task, labels: np.ndarray, *key: object, changed: float) -> None:
        """Score labels and append their row."""
        row: dict[str, object] = dict(zip(KEYS, key, strict=True))
        cells = Cells.of(task.truth, Prediction(labels, None, 0.0, 0.0))
        scores = cells.scores()
        row |= {"changed": changed, "macro_f1": scores["macro_f1"], "accuracy": scores["accuracy"]}
        lenient = Cells.of(task.truth, Prediction(noise.lenient(task.truth, labels), None, 0.0, 0.0))
        row |= {"macro_f1_lenient": lenient.scores()["macro_f1"]}
        if task.spec.name not in self.rare:
            self.rare[task.spec.name] = rare_labels(task.spec)
        row["macro_f1_common"] = macro_f1(cells.confusion(), ~np.isin(cells.names, self.rare[task.spec.name]))
        row["versions"] = versions()
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        self.rows.add(tuple(map(str, key)))
        logger.info("%(what)s %(rate)s %(task)s %(fold)s %(method)s seed %(seed)s: macro-F1 %(macro_f1).4f", row)


def rare_labels(spec: Spec) -> np.ndarray:
    """Return the labels with so few query cells over all folds of a task that the annotation benchmark scores them apart."""
    names, counts = np.unique(np.concatenate([task.truth for task in folds(spec)]), return_counts=True)
    return names[counts < RARE_BELOW]


def with_labels(task: Task, labels: np.ndarray) -> Task:
    """Return the task with other labels of its reference."""
    reference = task.reference.copy()
    reference.obs[task.spec.labels_key] = pd.Categorical(labels)
    return replace(task, reference=reference)


def labelled(task: Task) -> Task:
    """Return the task without the reference cells that have no label; plain classifiers know nothing of such."""
    known = task.reference.obs[task.spec.labels_key].notna().to_numpy()
    return task if known.all() else replace(task, reference=task.reference[known].copy())


def spoil(task: Task, kind: str, rate: float, seed: int) -> tuple[Task, float]:
    """Return the task with noise in its reference's labels, and the share of the cells that changed."""
    x = peers.log_normalise(task.reference)
    points = peers.principal_components(x, seed, 50)(x)
    batch = task.reference.obs[task.spec.batch_key].to_numpy().astype(str)
    noisy = noise.perturb(kind, task.labels, rate, seed, batch=batch, points=points)
    return with_labels(task, noisy), float(np.mean(noisy != task.labels))


def run_noise(task: Task, kind: str, rate: float, methods: list[str], seed: int, results: Results) -> None:
    """Fit every method on noisy labels; kind ``none`` leaves them as they are."""
    key = (kind, rate, task.spec.name, task.fold)
    left = [m for m in methods if not all(results.has(*key, n, seed) for n in _names(m))]
    if not left or (kind == "batch" and task.reference.obs[task.spec.batch_key].nunique() < 2):
        return
    noisy, changed = (task, 0.0) if kind == "none" else spoil(task, kind, rate, seed)
    for method in left:
        given = noisy if method.startswith("plkd") else labelled(noisy)
        for name, prediction in METHODS[method](given, seed).items():
            if name in _names(method) and not results.has(*key, name, seed):
                results.add(task, prediction.labels.astype(str), *key, name, seed, changed=changed)


def run_genes(
    task: Task, cases: list[tuple[str, float | int]], methods: list[str], seed: int, results: Results
) -> None:
    """Fit every method once, then ask it with fewer genes: by case what is done, and the share taken or the number left."""
    cases = [("none", 0.0), *((what, rate) for what, rate in cases if what != "panel" or rate < task.query.n_vars)]
    for method in methods:
        where = (task.spec.name, task.fold)
        if all(results.has(*case, *where, name, seed) for case in cases for name in _names(method)):
            continue
        ask = genes.METHODS[method](task, seed)
        for what, rate in cases:
            if what == "panel":
                query = task.query[:, panel(task.reference, int(rate))].copy()
            else:
                query = genes.without_genes(task.query, rate, seed)
            for name, labels in ask(query).items():
                if not results.has(what, rate, *where, name, seed):
                    changed = 1 - query.n_vars / task.query.n_vars
                    results.add(task, labels.astype(str), what, rate, *where, name, seed, changed=changed)


def _names(method: str) -> tuple[str, ...]:
    return (method, ALSO[method]) if method in ALSO else (method,)


def _tasks(specs: list[Spec], chosen: list[str] | None) -> Iterator[Task]:
    for spec in specs:
        for task in folds(spec):
            if not chosen or task.fold in chosen:
                yield task


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--what", nargs="+", choices=["genes", "panel", "noise", *noise.NOISE], default=["genes", "noise"]
    )
    parser.add_argument("--task-file", type=Path, default=TASK_FILE)
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="default: the four RNA tasks")
    parser.add_argument("--folds", nargs="+", help="default: all")
    parser.add_argument("--methods", nargs="+", choices=genes.METHODS, default=list(genes.METHODS), metavar="METHOD")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.2, 0.4], help="shares of the cells or genes")
    parser.add_argument("--panels", nargs="+", type=int, default=[300], help="numbers of genes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("robustness.csv"))
    args = parser.parse_args()
    if min(args.panels) < PANEL:
        parser.error(
            f"--panels {min(args.panels)}: a query of fewer than {PANEL} genes is refused. Fix: --panels {PANEL}."
        )
    specs = [spec for spec in read_specs(args.task_file) if not spec.modalities and spec.in_average]
    specs = named(parser, specs, args.tasks)
    quiet(logger)

    kinds = [kind for kind in noise.NOISE if kind in args.what or "noise" in args.what]
    results = Results.at(args.out)
    for seed in args.seeds:
        for task in _tasks(specs, args.folds):
            cases: list[tuple[str, float | int]] = [("genes", rate) for rate in args.rates if "genes" in args.what]
            cases += [("panel", n) for n in args.panels if "panel" in args.what]
            if cases:
                run_genes(task, cases, args.methods, seed, results)
            if kinds:
                run_noise(task, "none", 0.0, args.methods, seed, results)
            for kind in kinds:
                for rate in args.rates:
                    run_noise(task, kind, rate, args.methods, seed, results)


if __name__ == "__main__":
    main()
