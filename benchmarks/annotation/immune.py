"""What named patterns change: scores beside learned patterns alone, and whether attention and attribution agree.

    PLKD_DATA=/path/to/data python -m benchmarks.annotation.immune --seeds 0 1 2

On the PBMC of three technologies, each technology a query once, with the bundled ``immune`` collection (completed by learned
patterns, as always) and with learned patterns alone. No confidence is fitted, to save time.
"""

from __future__ import annotations

import argparse

import pandas as pd

import plkd
from benchmarks.annotation import ours
from benchmarks.annotation.query import macro_f1
from benchmarks.annotation.tasks import TASK_FILE, folds, read_specs
from benchmarks.quiet import quiet

UNCALIBRATED = plkd.presets.default.replace(confidence={"n_folds": 0})


def main() -> None:
    """Parse the command line, run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    quiet()
    (spec,) = (spec for spec in read_specs(TASK_FILE) if spec.name == "pbmc-technologies")
    scores, agreements = [], []
    for task in folds(spec):
        for seed in args.seeds:
            for patterns in ("immune", None):
                model = ours.fit(task, seed, patterns=patterns, preset=UNCALIBRATED)
                for network in ("student", "teacher"):
                    labels = model.predict(task.query, model=network).astype(str)
                    score = macro_f1(task.truth, labels)
                    scores.append((task.fold, seed, patterns or "learned", network, len(model.patterns), score))
                table = plkd.interpret.agreement(model, task.query).assign(
                    fold=task.fold, seed=seed, patterns=patterns or "learned"
                )
                agreements.append(table)
                print(*scores[-2], scores[-1][-1], flush=True)
    frame = pd.DataFrame(scores, columns=["fold", "seed", "patterns", "network", "n_patterns", "macro_f1"])
    print(frame.groupby(["patterns", "network"])["macro_f1"].agg(["mean", "std", "count"]).round(4))
    by = frame.pivot_table(index=["fold", "seed", "network"], columns="patterns", values="macro_f1").reset_index()
    by["difference"] = by["immune"] - by["learned"]
    print(by.groupby("network")["difference"].agg(["mean", "std", "min", "max"]).round(4))
    agreed = pd.concat(agreements).query("n_cells >= 10")
    print(agreed.groupby(["patterns", "label"])[["n_cells", "same_label", "size", "contrast"]].mean().round(2))
    print(agreed.groupby("patterns")[["same_label", "size", "contrast"]].agg(["mean", "std"]).round(2).T)


if __name__ == "__main__":
    main()
