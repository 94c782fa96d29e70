"""Training and prediction beside scANVI, and the distillation beside scikit-learn's perceptron, on one task of the annotation benchmark.

    PLKD_DATA=/path/to/data python -m benchmarks.speed.train --task cortex-multiome --modality rna

plkd and scANVI as in `benchmarks.annotation`: package defaults, and the documented recipe (SCVI, then 20 epochs of SCANVI, on
reference and query). The perceptron has the Student's widths and batch size and runs as many epochs on the same training
cells, log-normalised beforehand; its own initialisation and prediction are not counted.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np
import torch
from sklearn.metrics import f1_score
from sklearn.neural_network import MLPClassifier

from benchmarks.annotation import ours, peers
from benchmarks.annotation.tasks import Task, folds, read_specs
from benchmarks.quiet import quiet
from plkd import PLKD, presets
from plkd.train._plan import mini_batch_size


def perceptron(task: Task, model: PLKD, seed: int) -> float:
    """Return the seconds of scikit-learn's perceptron for as many epochs as the Student had."""
    settings = presets.default.student_training
    epochs = len(model.history["student_macro_f1_validation"])
    x = peers.log_normalise(task.reference)[model.train_indices_]
    classifier = MLPClassifier(
        presets.default.student.n_hidden,
        batch_size=mini_batch_size(settings.batch_size, x.shape[0]),
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )
    start = perf_counter()
    classifier.fit(x, task.labels[model.train_indices_])
    return perf_counter() - start


def main() -> None:
    """Parse the command line, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="cortex-multiome")
    parser.add_argument("--modality", default="rna", help="of a task whose file holds several")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--no-scanvi", action="store_true")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(args.threads)
    spec = next(s for s in read_specs() if s.name == args.task and s.modality in (None, "", args.modality))
    for task in folds(spec):
        for seed in args.seeds:
            start = perf_counter()
            model = ours.fit(task, seed)
            predicted = model.predict(task.query)
            own = perf_counter() - start
            print(f"{task.spec.name} {task.fold}, seed {seed}, {args.threads} threads")
            print(f"plkd: {own:.0f} s, macro-F1 {_macro_f1(task, predicted):.4f}")
            phases = model.training_["training"]["seconds"]
            print("  of them " + ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in phases.items()))
            theirs = perceptron(task, model, seed)
            print(f"perceptron: {theirs:.0f} s; student / perceptron: {phases['student'] / theirs:.2f}")
            if args.no_scanvi:
                continue
            peer = peers.scanvi(task, seed)["scanvi"]
            seconds = peer.fit_s + peer.predict_s
            print(
                f"scANVI: {seconds:.0f} s, macro-F1 {_macro_f1(task, peer.labels):.4f}; scANVI / plkd: {seconds / own:.1f}"
            )


def _macro_f1(task: Task, labels: np.ndarray) -> float:
    return float(f1_score(task.truth, labels, average="macro", labels=np.unique(task.truth)))


if __name__ == "__main__":
    main()
