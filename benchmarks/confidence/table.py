"""Tables of what ``benchmarks.confidence.run`` found.

python -m benchmarks.confidence.table confidence
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from plkd import metrics

Run = dict[str, np.ndarray]


def read(folder: Path) -> Iterator[Run]:
    """Yield the runs of a folder."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            yield dict(arrays)


def calibration(all_runs: list[Run]) -> pd.DataFrame:
    """Return calibration error and Brier score by task and method, cells pooled over folds and seeds."""
    pooled: dict[tuple[str, str], list[pd.DataFrame]] = {}
    truths: dict[tuple[str, str], list[np.ndarray]] = {}
    for run in all_runs:
        key = str(run["task"]), str(run["method"])
        pooled.setdefault(key, []).append(pd.DataFrame(run["probabilities"], columns=run["labels"]))
        truths.setdefault(key, []).append(run["truth"])
    rows = []
    for (task, method), frames in pooled.items():
        probabilities = pd.concat(frames, ignore_index=True).fillna(0.0)
        truth = np.concatenate(truths[task, method])
        called = probabilities.columns.to_numpy()[probabilities.to_numpy().argmax(axis=1)]
        rows.append(
            {
                "task": task,
                "method": method,
                "runs": len(frames),
                "cells": len(truth),
                "accuracy": float((called == truth).mean()),
                "mean confidence": float(probabilities.max(axis=1).mean()),
                "calibration error": metrics.calibration_error(truth, probabilities),
                "Brier score": metrics.brier_score(truth, probabilities),
            }
        )
    return pd.DataFrame(rows)


def rejection(all_runs: list[Run]) -> pd.DataFrame:
    """Return the share rejected at the nominal rate, of held-out reference cells and of the query, by task."""
    rows = [
        {
            "task": str(run["task"]),
            "fold": str(run["fold"]),
            "held-out cells": len(run["rejected_held_out"]),
            "of held-out cells": float(run["rejected_held_out"].mean()),
            "of the query": float(run["rejected"].mean()),
            "shift": float(run["shift"]),
        }
        for run in all_runs
        if "rejected" in run
    ]
    return pd.DataFrame(rows)


def novelty(all_runs: list[Run]) -> pd.DataFrame:
    """Return the area under the ROC curve of held-out types against the rest of the query, by run."""
    rows = []
    for run in all_runs:
        is_new = run["truth"] == str(run["held_out"])
        row = {name: str(run[name]) for name in ("task", "fold", "held_out", "method", "seed")}
        row["AUROC"] = float(roc_auc_score(is_new, run["novelty"]))
        if "rejected" in run:
            row |= {
                "new rejected": float(run["rejected"][is_new].mean()),
                "known rejected": float(run["rejected"][~is_new].mean()),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def print_rejection(found: pd.DataFrame) -> None:
    """Print the shares of cells that were rejected; nothing where no method rejects."""
    if found.empty or not found["held-out cells"].sum():
        return
    pooled = np.average(found["of held-out cells"], weights=found["held-out cells"])
    print(f"Rejected at 5 %: {pooled:.3f} of {found['held-out cells'].sum()} held-out cells; by task and fold, mean")
    print(found.groupby(["task", "fold"]).mean().round(3).to_string())
    print(found.groupby("task").mean(numeric_only=True).round(3).to_string())
    by_task = found.groupby("task")["of the query"].mean()
    print(f"mean over tasks {by_task.mean():.3f}, largest {by_task.max():.3f}\n")


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    every = list(read(parser.parse_args().folder))
    known, held = ([run for run in every if bool(str(run["held_out"])) is new] for new in (False, True))
    if known:
        print("Calibration, cells pooled over folds and seeds\n", calibration(known).round(3).to_string(), "\n", sep="")
        print_rejection(rejection(known))
    if held:
        found = novelty(held)
        wide = found.pivot_table(index=["task", "fold", "held_out"], columns="method", values="AUROC")
        print("AUROC of novelty, one type held out\n", wide.round(3).to_string(), "\n", sep="")
        print(wide.groupby("task").mean().round(3).to_string())
        print(f"mean over types: {wide.mean().round(3).to_dict()}")
        if "new rejected" in found:
            print(found[["new rejected", "known rejected"]].mean().round(3).to_string())


if __name__ == "__main__":
    main()
