"""Draw the paired differences that ``benchmarks.annotation.table`` wrote, one panel per task and one for their mean.

    python -m benchmarks.annotation.figure table_differences.csv differences.svg

A point is a difference, its line the interval; methods and tasks in the order in which they are given.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.annotation.table import MEAN

NAMES = {
    "SVM": "linear SVM", "LR-hvg2000": "LR, 2,000 genes", "LR-pca100": "LR, 100 PCs", "plkd-no-kd": "no Teacher", "plkd-teacher": "Teacher",
    "pbmc-technologies": "PBMC technologies", "pbmc-sorted-vs-3k": "PBMC sorted", "pancreas-protocols": "pancreas",
    "mouse-63-types": "mouse, 63 types", "cortex-multiome@rna": "cortex, RNA",
}  # fmt: skip
TASKS = ["pbmc-technologies", "pbmc-sorted-vs-3k", "pancreas-protocols", "mouse-63-types", "cortex-multiome@rna"]


def figure(differences: pd.DataFrame, methods: Sequence[str], tasks: Sequence[str], names: Mapping[str, str]) -> Figure:
    """Return the figure: a point and its interval for each method, in a panel for each task.

    Parameters
    ----------
    differences
        Columns ``method``, ``task``, ``difference``, ``low`` and ``high``.
    methods, tasks
        What is drawn, in order; a task that lacks a method leaves its line empty.
    names
        What they are called; others as they are.
    """
    drawn, panels = plt.subplots(
        1, len(tasks), figsize=(1.9 * len(tasks), 0.6 + 0.32 * len(methods)), sharex=True, sharey=True, squeeze=False
    )
    for panel, task in zip(panels[0], tasks, strict=True):
        own = differences[differences["task"] == task].set_index("method").reindex(methods)
        spread = [own["difference"] - own["low"], own["high"] - own["difference"]]
        panel.axvline(0, color="0.7", linewidth=1)
        panel.errorbar(own["difference"], range(len(methods)), xerr=spread, fmt="o", markersize=4, color="C0")
        panel.set_title(names.get(task, task), fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_yticks(range(len(methods)), [names.get(method, method) for method in methods])
    panels[0][0].invert_yaxis()
    drawn.supxlabel("macro-F1 of plkd's Student minus that of the other method", fontsize=9)
    drawn.tight_layout()
    return drawn


def main() -> None:
    """Parse the command line and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("differences", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--methods", nargs="+", default=["SVM", "LR-hvg2000", "LR-pca100", "CellTypist", "XGBoost", "plkd-no-kd"]
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    args = parser.parse_args()
    plt.rcParams |= {"svg.hashsalt": "plkd", "svg.fonttype": "none"}
    drawn = figure(pd.read_csv(args.differences), args.methods, [*args.tasks, MEAN], NAMES)
    drawn.savefig(args.out, metadata={"Date": None} if args.out.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
