"""Latent spaces of sets of several batches with most labels hidden: plkd, scVI, scANVI, Harmony.

    PLKD_DATA=/path/to/data python -m benchmarks.integration.hidden --seeds 0 1 2 --out hidden.csv

Of each set's cells, all batches together, four fifths of each label's lose it (``--hidden``; 1: no method sees any label, and scANVI, which
needs some, is left out); every method is trained on all cells with
the labels that are left, package defaults, scVI and scANVI as in the annotation benchmark. Scores are of the cells whose labels
were hidden. Rows are appended to the CSV, and what it has is not run again; the table of means over sets and seeds is printed at the end.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import scvi

from benchmarks.annotation.peers import UNLABELLED, fit_scanvi, fit_scvi, log_normalise
from benchmarks.annotation.run import append
from benchmarks.annotation.tasks import Spec, read_cells, rna_specs
from benchmarks.integration.latents import BASELINE, score_latents
from benchmarks.quiet import quiet
from plkd import PLKD

logger = logging.getLogger("benchmarks.integration")

#: Sets whose batches share most of their types: tasks of the annotation benchmark, and one of its own.
SETS = ("pbmc-technologies", "pbmc-sorted-vs-3k", "pancreas-protocols", "cortex-multiome", "cell-lines")
CELL_LINES = Spec("cell-lines", "leave-one-batch-out", ("celllines_sc_mixology_3tech.h5ad",))
PARTS = {"Batch correction": "batch", "Bio conservation": "biology", "Total": "total"}

KEYS = ["set", "hidden", "seed", "method"]

Latents = dict[str, np.ndarray]


def plkd(cells: ad.AnnData, seed: int) -> Latents:
    """Both networks of one model."""
    scvi.settings.seed = seed
    labels_key = None if _without_labels(cells) else "label"
    PLKD.setup_anndata(cells, labels_key, batch_key="batch", unlabeled_category=UNLABELLED)
    model = PLKD(cells)
    model.train(enable_progress_bar=False, enable_model_summary=False)
    return {f"plkd {name}": model.get_latent_representation(model=name) for name in ("student", "teacher")}


def deep(cells: ad.AnnData, seed: int) -> Latents:
    """ScVI, which uses no labels, and scANVI from it; the seconds of both together stand in both rows."""
    if _without_labels(cells):
        return {"scVI": fit_scvi(cells, "label", "batch", seed).get_latent_representation()}
    vae, model = fit_scanvi(cells, "label", "batch", seed)
    return {"scVI": vae.get_latent_representation(), "scANVI": model.get_latent_representation()}


def harmony(cells: ad.AnnData, seed: int) -> Latents:
    """Harmony on 50 principal components of 2,000 variable genes; uses no labels."""
    from harmonypy import run_harmony

    adata = ad.AnnData(log_normalise(cells), obs=cells.obs[["batch"]].copy())
    sc.pp.highly_variable_genes(adata, n_top_genes=min(2000, adata.n_vars))
    sc.pp.pca(adata, n_comps=50, random_state=seed)
    found = np.asarray(run_harmony(adata.obsm["X_pca"], adata.obs, "batch", verbose=False, random_state=seed).Z_corr)
    return {"Harmony": found if len(found) == adata.n_obs else found.T}


def unintegrated(cells: ad.AnnData, seed: int) -> Latents:
    """Principal components, which are scored beside each method in any case."""
    return {}


METHODS: dict[str, Callable[[ad.AnnData, int], Latents]] = {
    "unintegrated": unintegrated,
    "plkd": plkd,
    "scANVI": deep,
    "Harmony": harmony,
}


def _without_labels(cells: ad.AnnData) -> bool:
    return bool((cells.obs["label"] == UNLABELLED).all())


def hide(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which cells lose their label: this share of each label's, rounded down; below 1 one at least keeps it."""
    rng, hidden = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        hidden[own[: min(int(share * len(own)), len(own) - (share < 1))]] = True
    return hidden


def rows_of(name: str, whole: ad.AnnData, method: str, share: float, seed: int) -> Iterator[dict[str, object]]:
    """Train a method on one set and yield a row per latent space."""
    labels = whole.obs["label"].to_numpy().astype(str)
    hidden = hide(labels, share, seed)
    cells = whole.copy()
    cells.obs["label"] = pd.Categorical(np.where(hidden, UNLABELLED, labels))
    start = perf_counter()
    latents = {key: latent[hidden] for key, latent in METHODS[method](cells, seed).items()}
    seconds = perf_counter() - start
    logger.info("%s, seed %d, %s: %.0f s", name, seed, method, seconds)
    scores = score_latents(whole.X[hidden], labels[hidden], whole.obs["batch"].to_numpy()[hidden], latents)
    for latent, row in scores.loc[list(latents or [BASELINE])].iterrows():
        about = {"set": name, "hidden": share, "seed": seed, "method": method, "latent": latent}
        yield {**about, "n_scored": int(hidden.sum()), "seconds": round(seconds, 1), **row.to_dict()}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the parts by share of hidden labels and latent space: the mean over seeds of each set, and their mean over sets.

    A latent space that lacks a set which another one has, of that share, has no mean.
    """
    parts = rows.rename(columns=PARTS).astype(dict.fromkeys(PARTS.values(), float))
    by_set = parts.groupby(["hidden", "latent", "set"])[list(PARTS.values())].mean()
    of_space = by_set.groupby(["hidden", "latent"])
    n_sets = of_space.size()
    complete = n_sets == n_sets.groupby("hidden").transform("max")
    means = of_space.mean().where(complete).assign(set="mean over sets").set_index("set", append=True)
    return pd.concat([by_set, means]).unstack("set").round(3)


def main() -> None:
    """Parse the command line, run what is not there yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--hidden", type=float, default=0.8, help="share of the labels that no method sees")
    parser.add_argument("--out", type=Path, default=Path("hidden.csv"))
    args = parser.parse_args()
    quiet(logger)
    specs = {spec.name: spec for spec in rna_specs()}
    specs[CELL_LINES.name] = CELL_LINES
    done = set()
    if args.out.exists():
        found = pd.read_csv(args.out)
        if not set(KEYS) <= set(found):
            parser.error(f"{args.out} lacks columns of {KEYS}; name a new file, `--out`")
        done = set(found[KEYS].itertuples(index=False, name=None))
    for name in args.sets:
        whole = read_cells(specs[name])
        for seed in args.seeds:
            for method in args.methods:
                if (name, args.hidden, seed, method) in done:
                    continue
                for row in list(rows_of(name, whole, method, args.hidden, seed)):
                    append(args.out, row, list(row))
    with pd.option_context("display.width", 250, "display.max_columns", 50):
        print(summary(pd.read_csv(args.out)).to_string())


if __name__ == "__main__":
    main()
