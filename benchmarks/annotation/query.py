"""What goes wrong when the query teaches: types that it lacks, and types that only it has.

    PLKD_DATA=/path/to/data python -m benchmarks.annotation.query --task pbmc-technologies --folds 0

For each fold the model without the query in training, the same adapted to the query, and one with the query in training. The query's most frequent type is left out of it: macro-F1, and
the share of its cells that are called by that type all the same. The second most frequent is left out of the reference: macro-F1
of the others, and how well novelty tells cells of that type (area under the ROC curve). Confidence comes of two folds, to save time.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

from benchmarks.annotation.ours import fit
from benchmarks.annotation.tasks import Task, folds, named, rna_specs
from plkd import presets

WAYS = {"inductive": False, "transductive": True}


def without_in_query(task: Task, label: str) -> Task:
    """Return the task with a type left out of the query."""
    kept = task.truth != label
    return replace(task, query=task.query[kept].copy(), truth=task.truth[kept])


def without_in_reference(task: Task, label: str) -> Task:
    """Return the task with a type left out of the reference."""
    return replace(task, reference=task.reference[task.labels != label].copy())


def macro_f1(truth: np.ndarray, called: np.ndarray) -> float:
    """Return the mean F1 over the types in the truth."""
    return f1_score(truth, called, average="macro", labels=np.unique(truth), zero_division=0)


def scores(task: Task, seed: int, plan_kwargs: Any = None) -> Iterator[dict[str, Any]]:
    """Yield a row for each case and way of training."""
    frequent = pd.Series(task.truth).value_counts().index
    lacking, new = frequent[0], frequent[1]
    cases = {
        f"{lacking} not in the query": without_in_query(task, lacking),
        f"{new} not in the reference": without_in_reference(task, new),
    }
    for case, own in cases.items():
        for way, transductive in WAYS.items():
            model = fit(
                own,
                seed,
                transductive=transductive,
                plan_kwargs=plan_kwargs if transductive else None,
                preset=presets.default.replace(confidence={"n_folds": 2}),
            )
            asked = {way: model} if transductive else {way: model, "adapted": model.adapt(own.query)}
            for name, fitted in asked.items():
                table = fitted.annotate(own.query)
                called, is_new = table["label"].to_numpy().astype(str), own.truth == new
                row = {"fold": task.fold, "case": case, "way": name}
                if "not in the reference" in case:
                    row["macro_f1"] = macro_f1(own.truth[~is_new], called[~is_new])
                    row["novelty_auroc"] = roc_auc_score(is_new, table["novelty"])
                else:
                    row["macro_f1"] = macro_f1(own.truth, called)
                    row["called_by_missing"] = np.mean(called == lacking)
                yield row


def main() -> None:
    """Parse the command line, run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pbmc-technologies")
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--self-training", type=float, help="probability from which on the Teacher's calls train")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    (spec,) = named(parser, rna_specs(), [args.task])
    plan_kwargs = (
        None if args.self_training is None else {"student": {"self_training": args.self_training, "kd_weight": 0.5}}
    )
    rows = []
    for number, task in enumerate(folds(spec)):
        for row in scores(task, args.seed, plan_kwargs) if number in args.folds else ():
            rows.append(row)
            print(row, flush=True)
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
