"""How far confidence, novelty and rejection can be trusted, on the tasks of the annotation benchmark.

    PLKD_DATA=/path/to/data python -m benchmarks.confidence.run --seeds 0 1 2 --out confidence
    PLKD_DATA=/path/to/data python -m benchmarks.confidence.run --held-out-types --seeds 0 --out confidence
    PLKD_DATA=/path/to/data python -m benchmarks.confidence.run --held-back --methods plkd --seeds 0 --out held_back
    python -m benchmarks.confidence.table confidence

The first command fits each method on the whole reference; the second once for each of at most eight types of a task, drawn from
those with 20 query cells or more, without the cells of that type: the novelty score has to tell them from the other cells of
the query. The third gives each method five sixths of the reference and takes the rest for the query, cells of the same laboratory that
the model never saw; it needs a folder of its own. One file per run is written into the folder and left out if it is there, so that the benchmark can be stopped and
started at any time. The peers' novelty is one minus their largest probability.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import scvi

from benchmarks.annotation import peers
from benchmarks.annotation.prediction import Prediction
from benchmarks.annotation.tasks import Spec, Task, folds, named, rna_specs
from benchmarks.quiet import quiet
from plkd import PLKD

logger = logging.getLogger("benchmarks.confidence")

TASKS = ("pbmc-technologies", "pbmc-sorted-vs-3k", "pancreas-protocols", "mouse-63-types")
MOST_TYPES, LEAST_CELLS = 8, 20
RATE = 0.05

Answers = dict[str, np.ndarray]


def plkd(task: Task, seed: int) -> Answers:
    """Return the Student's answers with the package's defaults."""
    scvi.settings.seed = seed
    reference = task.reference.copy()
    PLKD.setup_anndata(reference, labels_key=task.spec.labels_key, batch_key=task.spec.batch_key)
    model = PLKD(reference)
    model.train(enable_progress_bar=False, enable_model_summary=False)
    probabilities = model.predict(task.query, soft=True)
    table = model.annotate(task.query, unknown=RATE)
    held_out = model.annotate(reference, indices=model.validation_indices_, unknown=RATE)
    return {
        "labels": probabilities.columns.to_numpy().astype(str),
        "probabilities": probabilities.to_numpy(),
        "novelty": table["novelty"].to_numpy(),
        "rejected": table["rejected"].to_numpy(),
        "shift": np.array(table.attrs["shift"]),
        "rejected_held_out": held_out["rejected"].to_numpy(),
    }


def plkd_uncalibrated(task: Task, seed: int) -> Answers:
    """Return the plain softmax of the same Student."""
    from plkd import presets

    scvi.settings.seed = seed
    reference = task.reference.copy()
    PLKD.setup_anndata(reference, labels_key=task.spec.labels_key, batch_key=task.spec.batch_key)
    model = PLKD(reference, preset=presets.default.replace(confidence={"n_folds": 0}))
    model.train(enable_progress_bar=False, enable_model_summary=False)
    return _of(model.predict(task.query, soft=True))


def _peer(fit: Callable[[Task, int], dict[str, Prediction]]) -> Callable[[Task, int], Answers]:
    def answers(task: Task, seed: int) -> Answers:
        (prediction,) = fit(task, seed).values()
        assert prediction.probabilities is not None
        return _of(prediction.probabilities)

    return answers


def _of(probabilities: pd.DataFrame) -> Answers:
    values = probabilities.to_numpy()
    names = probabilities.columns.to_numpy().astype(str)
    return {"labels": names, "probabilities": values, "novelty": 1 - values.max(axis=1)}


METHODS: dict[str, Callable[[Task, int], Answers]] = {
    "plkd": plkd,
    "plkd-uncalibrated": plkd_uncalibrated,
    "LR-hvg2000": _peer(peers.logistic_on_variable_genes),
    "LR-pca100": _peer(peers.logistic_on_components),
    "scanvi": _peer(peers.scanvi),
}


def types_to_hold_out(tasks: list[Task]) -> list[tuple[Task, str]]:
    """Draw at most eight pairs of a fold and one of its types, among those with 20 query cells or more."""
    pairs = []
    for task in tasks:
        counts = pd.Series(task.truth).value_counts()
        known = set(task.labels)
        pairs += [(task, str(name)) for name in counts.index[counts >= LEAST_CELLS] if name in known]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:MOST_TYPES]
    return [pairs[i] for i in sorted(chosen)]


def without(task: Task, held_out: str) -> Task:
    """Return a task whose reference lacks a type."""
    return replace(task, reference=task.reference[task.labels != held_out].copy())


def held_back(task: Task) -> Task:
    """Return a task whose query is a sixth of the reference, drawn at random."""
    n_obs = task.reference.n_obs
    chosen = np.isin(np.arange(n_obs), np.random.default_rng(0).choice(n_obs, n_obs // 6, replace=False))
    query = task.reference[chosen].copy()
    del query.obs[task.spec.labels_key]
    return replace(task, reference=task.reference[~chosen].copy(), query=query, truth=task.labels[chosen])


def runs(specs: list[Spec], *, held_out_types: bool) -> Iterator[tuple[Task, str]]:
    """Yield folds of tasks and the type that is held out, empty for none."""
    for spec in specs:
        tasks = list(folds(spec))
        pairs = types_to_hold_out(tasks) if held_out_types else [(task, "") for task in tasks]
        for task, held_out in pairs:
            yield (without(task, held_out) if held_out else task), held_out


def main() -> None:
    """Parse the command line and run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["plkd", "LR-hvg2000", "LR-pca100"])
    parser.add_argument("--held-out-types", action="store_true")
    parser.add_argument("--held-back", action="store_true")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("confidence"))
    args = parser.parse_args()
    specs = named(parser, rna_specs(), args.tasks)
    quiet(logger)
    args.out.mkdir(parents=True, exist_ok=True)
    for task, held_out in runs(specs, held_out_types=args.held_out_types):
        if args.held_back:
            task = held_back(task)
        for seed in args.seeds:
            for method in args.methods:
                parts = [task.spec.name, task.fold, held_out, method, str(seed)]
                path = args.out / ("__".join(re.sub(r"[^\w+-]+", "_", part) for part in parts) + ".npz")
                if path.exists():
                    continue
                about = dict(zip(("task", "fold", "held_out", "method", "seed"), parts, strict=True))
                answers = METHODS[method](task, seed)
                np.savez_compressed(path, **answers, truth=task.truth.astype(str), **about)
                logger.info("%s", " ".join(filter(None, parts)))


if __name__ == "__main__":
    main()
