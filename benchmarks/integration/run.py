"""Latent spaces side by side in one run: plkd, totalVI or MultiVI, scored by scib-metrics on cells whose labels nobody saw.

    PLKD_DATA=/path/to/data python -m benchmarks.integration.run --tasks cortex-multiome simulated-cite --out integration.csv

Reference and query of a joint annotation task are trained on together. plkd is given the labels of the reference and none of
the query's, ``plkd-fifth`` those of a fifth of the reference's cells of each label, ``plkd-no-labels`` none; totalVI and
MultiVI use no labels. Scores are computed on the query's cells alone. Each method trains to its own early
stop, capped at ``--minutes``; a method that is capped counts as that long. Rows are added to the CSV; what it has already is run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import mudata as md
import numpy as np
import pandas as pd
import scvi

from benchmarks.annotation.check import check_tasks
from benchmarks.annotation.joint_peers import fit_multivi, fit_totalvi, joined
from benchmarks.annotation.peers import UNLABELLED
from benchmarks.annotation.tasks import Task, folds, named, read_specs
from benchmarks.integration.hidden import hide
from benchmarks.integration.latents import score_latents
from benchmarks.quiet import quiet
from plkd import PLKD

logger = logging.getLogger("benchmarks.integration")
METHODS = ("plkd", "plkd-fifth", "plkd-no-labels", "peer")
Fit = Callable[[Task, md.MuData, int, str], tuple[dict[str, np.ndarray], int]]


def plkd(
    task: Task, both: md.MuData, seed: int, max_time: str, *, hidden: float = 0.0
) -> tuple[dict[str, np.ndarray], int]:
    """Both networks of one model, with the labels of the reference alone; a share of these hidden, or all of them (1)."""
    scvi.settings.seed = seed
    known = np.where(hide(task.labels, hidden, seed), UNLABELLED, task.labels)
    both.obs["label"] = np.concatenate([known, np.full(task.query.n_obs, UNLABELLED)])
    labels_key = None if hidden == 1 else "label"
    PLKD.setup_mudata(
        both, labels_key, batch_key="batch", modalities=task.spec.modalities, unlabeled_category=UNLABELLED
    )
    model = PLKD(both)
    model.train(enable_progress_bar=False, enable_model_summary=False, max_time=max_time)
    n_epochs = sum(len(model.history[f"{phase}_loss_train"]) for phase in ("teacher", "student"))
    called = {0.0: "plkd", 1.0: "plkd, no labels"}.get(hidden, f"plkd, {1 - hidden:.0%} of the labels")
    latents = {f"{called} {name}": model.get_latent_representation(model=name) for name in ("student", "teacher")}
    return latents, n_epochs


def _peer(name: str, fit: Callable) -> Fit:
    def run(task: Task, both: md.MuData, seed: int, max_time: str) -> tuple[dict[str, np.ndarray], int]:
        model = fit(both, task.spec.modalities, seed, max_time=max_time)
        return {name: model.get_latent_representation()}, max(map(len, model.history.values()))

    return run


def methods_for(task: Task) -> dict[str, Fit]:
    """Return the methods for the task's modalities."""
    peer = _peer("MultiVI", fit_multivi) if "atac_layer" in task.spec.modalities else _peer("totalVI", fit_totalvi)
    return {
        "plkd": plkd,
        "plkd-fifth": partial(plkd, hidden=0.8),
        "plkd-no-labels": partial(plkd, hidden=1.0),
        "peer": peer,
    }


def scores(task: Task, both: md.MuData, latents: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the scores on the query's cells."""
    hidden = np.arange(task.reference.n_obs, both.n_obs)
    counts = both.mod[task.spec.modalities["rna_layer"]][hidden].X
    own = {name: latent[hidden] for name, latent in latents.items()}
    return score_latents(counts, task.truth, both.obs["batch"].to_numpy()[hidden], own)


def run(task: Task, seed: int, minutes: float, methods: list[str]) -> list[dict[str, object]]:
    """Fit methods on one fold and score them."""
    latents, about = {}, {}
    hours, rest = divmod(round(minutes * 60), 3600)
    for fit in (methods_for(task)[method] for method in methods):
        both = joined(task)
        start = perf_counter()
        found, n_epochs = fit(task, both, seed, f"00:{hours:02d}:{rest // 60:02d}:{rest % 60:02d}")
        seconds = perf_counter() - start
        for name, latent in found.items():
            latents[name] = latent
            about[name] = {
                "seconds": round(seconds, 1),
                "epochs": n_epochs,
                "s_per_epoch": round(seconds / n_epochs, 2),
            }
        logger.info("%s %s: %.0f s, %d epochs", task.spec.name, ", ".join(found), seconds, n_epochs)
    table = scores(task, both, latents)
    return [
        {
            "task": task.spec.name,
            "fold": task.fold,
            "seed": seed,
            "latent": name,
            **about.get(name, {}),
            **row.to_dict(),
        }
        for name, row in table.iterrows()
    ]


def add(out: Path, rows: pd.DataFrame) -> None:
    """Add rows to a file, whose columns may differ: a query of one batch has no batch part."""
    if out.exists():
        rows = pd.concat([pd.read_csv(out), rows])
    rows.to_csv(out, index=False)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["cortex-multiome", "simulated-cite"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["plkd", "peer"])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=Path("integration.csv"))
    args = parser.parse_args()
    specs = named(parser, [spec for spec in read_specs() if spec.modalities], args.tasks)
    quiet(logger)
    check_tasks(specs)
    for spec in specs:
        for task in folds(spec):
            for seed in args.seeds:
                rows = pd.DataFrame(run(task, seed, args.minutes, args.methods))
                add(args.out, rows)
                print(rows.to_string())


if __name__ == "__main__":
    main()
