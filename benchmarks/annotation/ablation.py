"""What each part of plkd does: the defaults with one setting changed, on three tasks fixed beforehand.

    PLKD_DATA=/path/to/data python -m benchmarks.annotation.ablation --seeds 0 1 2 --out ablation.csv

Runs what the file lacks, then prints and writes ``ablation.md``: for each level the macro-F1 less that of the defaults, mean over the tasks, with
95 % bootstrap intervals (folds, cells and seeds), of the Student and of the Teacher, and the time of training as a multiple. No confidence
is fitted, neither for the defaults nor for the levels, so that no label is doubted. ``--table`` runs nothing.
"""

from __future__ import annotations

import argparse
import functools
import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scvi

from benchmarks.annotation import ours, run, table
from benchmarks.annotation.bootstrap import paired_differences
from benchmarks.annotation.methods import Method
from benchmarks.annotation.prediction import Cells, Prediction
from benchmarks.annotation.tasks import Spec, Task, read_specs
from benchmarks.quiet import quiet
from plkd import PLKD, presets

LEVEL_FILE = Path(__file__).with_name("ablation.toml")
#: Tasks and the modality that is named of each.
TASKS = {"pbmc-technologies": "", "pbmc-sorted-vs-3k": "", "cortex-multiome": "rna"}
DEFAULT = "defaults"


@dataclass(frozen=True)
class Level:
    """One setting that differs from the defaults; fields as in ``ablation.toml``."""

    factor: str
    name: str
    patterns: str = "learned"
    preset: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_levels(path: Path = LEVEL_FILE) -> list[Level]:
    """Read the levels, behind the defaults themselves."""
    return [Level("", DEFAULT), *(Level(**entry) for entry in tomllib.loads(path.read_text())["level"])]


def predict(level: Level, task: Task, seed: int) -> dict[str, Prediction]:
    """Fit plkd with one setting changed and ask Student and Teacher."""
    preset = presets.default.replace(confidence={"n_folds": 0}, **level.preset)
    told = {"learned": lambda: None, "gene sets": lambda: task.gene_sets, "random": lambda: random_sets(task, seed)}
    teacher = preset.student_training.kd_weight != 0
    return ours.answers(task, seed, level.name, teacher=teacher, patterns=told[level.patterns](), preset=preset)


def random_sets(task: Task, seed: int) -> dict[str, list[str]]:
    """Draw as many sets of genes, of the same sizes, as there would be learned patterns."""
    scvi.settings.seed = seed
    reference = task.reference.copy()
    PLKD.setup_anndata(reference, labels_key=task.spec.labels_key, batch_key=task.spec.batch_key)
    rng, names = np.random.default_rng(seed), reference.var_names.to_numpy()
    sizes = PLKD(reference).patterns.sizes
    return {f"random {i}": list(rng.choice(names, size, replace=False)) for i, size in enumerate(sizes)}


def specs() -> list[Spec]:
    """Return the three tasks."""
    return [s for s in read_specs() if s.name in TASKS and s.modality == TASKS[s.name] and not s.modalities]


def compared(out: Path, levels: list[Level], n_boot: int) -> pd.DataFrame:
    """Return a line per level that has run on all tasks: differences to the defaults with intervals, and the ratio of times."""
    rows, cells = table.read_results(out)
    tasks = [spec.full_name for spec in specs()]
    times = rows.pivot_table(index=["task", "fold", "seed"], columns="method", values="fit_s")
    lines = []
    for level in levels[1:]:
        line: dict[str, Any] = {"factor": level.factor, "level": level.name}
        for network in ours.NETWORKS:
            own = _difference(cells, level.name + network, DEFAULT + network, tasks, n_boot)
            # The other way round: what changing the setting gives; taken from 0.0, a zero has no minus.
            for column, source in (("difference", "difference"), ("low", "high"), ("high", "low")):
                name = f"{'Teacher' if network else 'Student'} {column}"
                line[name] = 0.0 - float(own[source].iloc[0]) if len(own) else np.nan
        if np.isnan(line["Student difference"]):
            continue
        both = times[[level.name, DEFAULT]].dropna()
        line["time"] = float((both[level.name] / both[DEFAULT]).median())
        line["seeds"] = both.index.unique("seed").size
        lines.append(line)
    return pd.DataFrame(lines)


def _difference(cells: dict[tuple, Cells], method: str, versus: str, tasks: list[str], n_boot: int) -> pd.DataFrame:
    """Return the mean over tasks of ``versus`` less a method; of each fold that both have, the seeds that both have."""
    seeds: dict[tuple, dict[str, set[int]]] = {}
    for task, fold, name, seed in cells:
        if name in (method, versus):
            seeds.setdefault((task, fold), {}).setdefault(name, set()).add(seed)
    # Folds that one of them lacks stay, so that the task is seen to be incomplete; so do the defaults where they share no seed.
    shared = {where: set.intersection(*of.values()) for where, of in seeds.items()}
    both = {
        key: own
        for key, own in cells.items()
        if key[2] in (method, versus) and (key[3] in shared[key[:2]] or not shared[key[:2]] and key[2] == versus)
    }
    found = paired_differences(both, versus, "macro_f1", tasks, n_boot=n_boot)
    return found[found["task"] == "mean over tasks"]


def main() -> None:
    """Parse the command line, run and print."""
    levels = read_levels()
    names = [level.name for level in levels]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", nargs="+", choices=names, default=names, metavar="LEVEL", help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("ablation.csv"))
    parser.add_argument("--table", action="store_true", help="print what the file has, and run nothing")
    parser.add_argument("--n-boot", type=int, default=1000)
    args = parser.parse_args()
    quiet(logging.getLogger("benchmarks.annotation"))
    methods: dict[str, Method] = {
        level.name + network: functools.partial(predict, level)
        for level in levels
        if level.name in args.levels
        for network in ours.NETWORKS
        if not network or level.preset.get("student_training", {}).get("kd_weight") != 0
    }
    if not args.table:
        run.run(specs(), list(methods), args.seeds, args.out, known=methods)
    frame = compared(args.out, levels, args.n_boot)
    text = table.markdown(frame, 3)
    args.out.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
