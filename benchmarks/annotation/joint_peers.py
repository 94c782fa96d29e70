"""Peers on several modalities: labels passed on by neighbours in the latent spaces of totalVI and MultiVI, and by WNN.

All of them see the query's counts while they are fitted: transductive, unlike plkd here.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import mudata as md
import muon as mu
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
import scvi
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from benchmarks.annotation.prediction import Prediction
from benchmarks.annotation.tasks import Task

N_NEIGHBOURS = 15


def joined(task: Task) -> md.MuData:
    """Return reference cells, then query cells, in one MuData; ``batch`` tells the sides apart."""
    sides = {"reference": task.reference, "query": task.query}
    tables = {}
    for name in task.spec.modalities.values():
        parts = {side: mdata.mod[name][mdata.obs_names] for side, mdata in sides.items()}
        tables[name] = sc.AnnData(
            sp.vstack([part.X for part in parts.values()], format="csr"),
            obs=pd.DataFrame(index=[f"{side}-{cell}" for side, part in parts.items() for cell in part.obs_names]),
            var=parts["reference"].var,
        )
    both = md.MuData(tables)
    batches = [f"{side}-{batch}" for side, mdata in sides.items() for batch in mdata.obs[task.spec.batch_key]]
    both.obs["batch"] = pd.Categorical(batches)
    return both


def by_neighbours(task: Task, name: str, latent: np.ndarray, start: float) -> dict[str, Prediction]:
    """Label the query's cells by their nearest reference cells in a latent space of both."""
    n_reference = task.reference.n_obs
    classifier = KNeighborsClassifier(N_NEIGHBOURS).fit(latent[:n_reference], task.labels)
    fitted = perf_counter()
    found = classifier.predict_proba(latent[n_reference:])
    probabilities = pd.DataFrame(found, task.query.obs_names, classifier.classes_)
    labels = classifier.classes_[found.argmax(axis=1)]
    return {name: Prediction(labels, probabilities, fitted - start, perf_counter() - fitted)}


def fit_totalvi(both: md.MuData, modalities: dict[str, str], seed: int, **train_kwargs: Any) -> scvi.model.TOTALVI:
    """Fit totalVI with its defaults."""
    scvi.settings.seed = seed
    own = {"rna_layer": modalities["rna_layer"], "protein_layer": modalities["protein_layer"], "batch_key": None}
    both.mod[own["protein_layer"]].X = both.mod[own["protein_layer"]].X.toarray()
    scvi.model.TOTALVI.setup_mudata(both, batch_key="batch", modalities=own)
    model = scvi.model.TOTALVI(both)
    model.train(enable_progress_bar=False, **train_kwargs)
    return model


def fit_multivi(both: md.MuData, modalities: dict[str, str], seed: int, **train_kwargs: Any) -> scvi.model.MULTIVI:
    """Fit MultiVI with its defaults."""
    scvi.settings.seed = seed
    own = {"rna_layer": modalities["rna_layer"], "atac_layer": modalities["atac_layer"]}
    scvi.model.MULTIVI.setup_mudata(both, batch_key="batch", modalities=own)
    model = scvi.model.MULTIVI(
        both,
        n_genes=both.mod[own["rna_layer"]].n_vars,
        n_regions=both.mod[own["atac_layer"]].n_vars,
    )
    model.train(enable_progress_bar=False, **train_kwargs)
    return model


def totalvi(task: Task, seed: int) -> dict[str, Prediction]:
    """totalVI on RNA and proteins of reference and query."""
    start = perf_counter()
    model = fit_totalvi(joined(task), task.spec.modalities, seed)
    return by_neighbours(task, "totalvi+knn", model.get_latent_representation(), start)


def multivi(task: Task, seed: int) -> dict[str, Prediction]:
    """MultiVI on RNA and ATAC of reference and query."""
    start = perf_counter()
    model = fit_multivi(joined(task), task.spec.modalities, seed)
    return by_neighbours(task, "multivi+knn", model.get_latent_representation(), start)


def weighted_neighbours(task: Task, seed: int) -> dict[str, Prediction]:
    """Nearest reference cells by muon's weights of the modalities, on principal components (of peaks: of TF-IDF) of reference and query.

    Components are of unit length. Similarities of the modalities, with the weights of the query's cell, add up as those of Hao et al. (2021), the
    bandwidth the distance of the twentieth neighbour. Neighbours among all cells, as muon finds them, would be cells of the query alone where
    batches lie apart, and say nothing.
    """
    start = perf_counter()
    both = joined(task)
    for argument, name in task.spec.modalities.items():
        adata = both.mod[name]
        if argument == "protein_layer":
            adata.X = adata.X.toarray()
            mu.prot.pp.clr(adata, axis=1)
        elif argument == "atac_layer":
            mu.atac.pp.tfidf(adata, log_tf=False, log_idf=False, log_tfidf=True)
        else:
            sc.pp.normalize_total(adata, target_sum=1e4)
            sc.pp.log1p(adata)
        sc.pp.pca(adata, n_comps=min(30, adata.n_vars - 1), random_state=seed)
        adata.obsm["X_pca"] = normalize(adata.obsm["X_pca"])
        sc.pp.neighbors(adata, use_rep="X_pca", random_state=seed)
    mu.pp.neighbors(both, random_state=seed, add_weights_to_modalities=True)
    alike = np.zeros((task.query.n_obs, task.reference.n_obs))
    for adata in both.mod.values():
        known, asked = np.split(adata.obsm["X_pca"], [task.reference.n_obs])
        weight = adata.obs["mod_weight"].to_numpy()[task.reference.n_obs :]
        distances = pairwise_distances(asked, known)
        last = min(20, task.reference.n_obs) - 1
        first, twentieth = np.partition(distances, (0, last), axis=1)[:, [0, last]].T[:, :, None]
        alike += weight[:, None] * np.exp(-(distances - first) / np.maximum(twentieth - first, 1e-12))
    fitted = perf_counter()
    names, codes = np.unique(task.labels, return_inverse=True)
    nearest = (-alike).argsort(axis=1)[:, :N_NEIGHBOURS]
    votes = np.eye(len(names))[codes][nearest].mean(axis=1)
    probabilities = pd.DataFrame(votes, task.query.obs_names, names)
    return {"wnn": Prediction(names[votes.argmax(axis=1)], probabilities, fitted - start, perf_counter() - fitted)}
