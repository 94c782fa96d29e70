"""What missing modalities cost, on simulated data: each third of the cells lacks one of three modalities.

    python -m benchmarks.integration.mosaic --n-obs 3000 --seeds 0 1 2

Models are trained on complete and on mosaic data of the same cells, and asked for the same held-out cells, complete, as a mosaic,
and of one modality each. The latent space of the mosaic is scored by the modalities that a cell has, as others are by batch:
kBET per label and graph connectivity of scib-metrics (1: cells with different modalities mix; 0: they stand apart).
"""

from __future__ import annotations

import argparse

import mudata as md
import numpy as np
import pandas as pd
import scvi
from scib_metrics import graph_connectivity, kbet_per_label
from scib_metrics.nearest_neighbors import pynndescent

import plkd
from benchmarks.quiet import quiet

KINDS = ("rna", "protein", "atac")
LAYERS = {f"{kind}_layer": kind for kind in KINDS}


def simulate(n_obs: int, seed: int, *, mosaic: bool) -> md.MuData:
    """Simulate the same cells with all modalities, or with a third of the cells lacking each."""
    missing = dict.fromkeys(KINDS, 1 / 3) if mosaic else 0.0
    return plkd.datasets.simulate(
        n_obs,
        n_labels=10,
        n_batches=3,
        n_genes=2000,
        n_proteins=60,
        n_peaks=4000,
        label_strength=0.7,
        batch_strength=0.4,
        missing=missing,
        seed=seed,
    )


def fit(mdata: md.MuData, seed: int) -> plkd.PLKD:
    """Train with the package's defaults."""
    scvi.settings.seed = seed
    plkd.PLKD.setup_mudata(mdata, labels_key="label", batch_key="batch", modalities=LAYERS)
    model = plkd.PLKD(mdata)
    model.train(enable_progress_bar=False, enable_model_summary=False)
    return model


def split(mdata: md.MuData) -> tuple[md.MuData, md.MuData]:
    """Hold out one batch."""
    held = (mdata.obs["batch"] == "batch_2").to_numpy()
    return mdata[~held].copy(), mdata[held].copy()


def accuracy(model: plkd.PLKD, query: md.MuData, **kwargs: str) -> float:
    """Share of cells labelled as simulated."""
    return float((model.predict(query, **kwargs) == query.obs["label"].astype(str).to_numpy()).mean())


def mixing(latent: np.ndarray, query: md.MuData) -> dict[str, float]:
    """Score a latent space by which modalities its cells have."""
    has = np.column_stack([query.obs_names.isin(query.mod[kind].obs_names) for kind in KINDS])
    subset = np.array(["+".join(np.array(KINDS)[row]) for row in has])
    labels = query.obs["label"].astype(str).to_numpy()
    neighbours = pynndescent(latent, n_neighbors=50, random_state=0)
    return {
        "kBET by modality": float(kbet_per_label(neighbours, batches=subset, labels=labels)),
        "graph connectivity by modality": float(graph_connectivity(neighbours.subset_neighbors(15), labels=subset)),
        "graph connectivity by label": float(graph_connectivity(neighbours.subset_neighbors(15), labels=labels)),
    }


def run(n_obs: int, seed: int) -> dict[str, float]:
    """Return all numbers of one seed."""
    complete = split(simulate(n_obs, seed, mosaic=False))
    mosaic = split(simulate(n_obs, seed, mosaic=True))
    found = {}
    for name, (reference, _) in (("complete", complete), ("mosaic", mosaic)):
        model = fit(reference, seed)
        found[f"trained on {name}, query complete"] = accuracy(model, complete[1])
        found[f"trained on {name}, query mosaic"] = accuracy(model, mosaic[1])
        for kind in KINDS:
            found[f"trained on {name}, query {kind}"] = accuracy(model, complete[1], modality=kind)
    for network in ("student", "teacher"):
        latent = model.get_latent_representation(mosaic[1], model=network)
        found |= {f"{network}: {key}": value for key, value in mixing(latent, mosaic[1]).items()}
    return found


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-obs", type=int, default=3000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    quiet()
    table = pd.DataFrame({seed: run(args.n_obs, seed) for seed in args.seeds})
    table["mean"] = table.mean(axis=1)
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
