"""Peers: plain classifiers and CellTypist on log1p of counts per 10,000, fitted on the reference alone, and scANVI."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from benchmarks.annotation.prediction import Prediction
from benchmarks.annotation.tasks import Task

UNLABELLED = "Unknown"


def log_normalise(adata: ad.AnnData | md.MuData, total: float = 1e4) -> sp.csr_matrix:
    """Return log1p of counts per ``total`` counts of the shared genes; of a MuData its modalities side by side."""
    if isinstance(adata, md.MuData):
        return sp.hstack([log_normalise(modality, total) for modality in adata.mod.values()], format="csr")
    library = np.asarray(adata.X.sum(axis=1)).ravel()
    return (sp.diags(total / np.where(library == 0, 1, library)) @ adata.X).log1p().tocsr()


def _as_is(x: sp.csr_matrix, seed: int):
    return lambda cells: cells


def variable_genes(x: sp.csr_matrix, seed: int, n_genes: int = 2000):
    """Keep the genes most variable in the reference (scanpy's default, "seurat"); all where there are no more."""
    if x.shape[1] <= n_genes:
        return lambda cells: cells
    found = sc.pp.highly_variable_genes(ad.AnnData(x), n_top_genes=n_genes, inplace=False)
    kept = np.flatnonzero(found["highly_variable"].to_numpy())
    return lambda cells: cells[:, kept]


def principal_components(x: sp.csr_matrix, seed: int, n_components: int = 100):
    """Project on the reference's principal components."""
    pca = PCA(min(n_components, min(x.shape) - 1), random_state=seed).fit(x.toarray())
    return lambda cells: pca.transform(cells.toarray())


def _classify(task: Task, seed: int, features, classifier) -> Prediction:
    start = perf_counter()
    x = log_normalise(task.reference)
    represent = features(x, seed)
    classifier.fit(represent(x), task.labels)
    fitted = perf_counter()
    query = represent(log_normalise(task.query))
    if hasattr(classifier, "predict_proba"):
        probabilities = pd.DataFrame(classifier.predict_proba(query), task.query.obs_names, classifier.classes_)
        labels = classifier.classes_[probabilities.to_numpy().argmax(axis=1)]
    else:
        probabilities, labels = None, classifier.predict(query)
    return Prediction(labels, probabilities, fitted - start, perf_counter() - fitted)


def svm(seed: int):
    """Return what the linear support vector machine sees, and the classifier."""
    return _as_is, LinearSVC(C=0.01, class_weight="balanced", random_state=seed)


def logistic():
    """Return what the logistic regression sees, and the classifier."""
    return variable_genes, LogisticRegression(C=0.1, max_iter=1000)


def linear_svm(task: Task, seed: int) -> dict[str, Prediction]:
    """Linear support vector machine on all genes; no probabilities."""
    return {"SVM": _classify(task, seed, *svm(seed))}


def logistic_on_variable_genes(task: Task, seed: int) -> dict[str, Prediction]:
    """Logistic regression on 2,000 variable genes."""
    return {"LR-hvg2000": _classify(task, seed, *logistic())}


def logistic_on_components(task: Task, seed: int) -> dict[str, Prediction]:
    """Logistic regression on 100 principal components."""
    return {"LR-pca100": _classify(task, seed, principal_components, LogisticRegression(max_iter=1000))}


def neighbours_on_components(task: Task, seed: int) -> dict[str, Prediction]:
    """Fifteen nearest neighbours on 50 principal components."""

    def fifty(x: sp.csr_matrix, seed: int):
        return principal_components(x, seed, 50)

    return {"kNN-pca50": _classify(task, seed, fifty, KNeighborsClassifier(min(15, task.reference.n_obs)))}


def mlp_on_components(task: Task, seed: int) -> dict[str, Prediction]:
    """Multi-layer perceptron on 100 principal components."""
    classifier = MLPClassifier((256, 128), random_state=seed)
    return {"MLP-pca100": _classify(task, seed, principal_components, classifier)}


class _Boosted:
    """Gradient-boosted trees with labels for the numbers that xgboost wants."""

    def __init__(self, seed: int):
        from xgboost import XGBClassifier

        self.trees = XGBClassifier(random_state=seed, n_jobs=2)

    def fit(self, x: sp.csr_matrix, labels: np.ndarray) -> None:
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.trees.fit(x, codes)

    def predict_proba(self, x: sp.csr_matrix) -> np.ndarray:
        return self.trees.predict_proba(x)


def xgboost(task: Task, seed: int) -> dict[str, Prediction]:
    """Gradient-boosted trees on 2,000 variable genes, xgboost's defaults."""
    return {"XGBoost": _classify(task, seed, variable_genes, _Boosted(seed))}


def celltypist(task: Task, seed: int) -> dict[str, Prediction]:
    """CellTypist with feature selection, as its guide has it, where there is something to select, in the environment whose interpreter ``CELLTYPIST_PYTHON`` names."""
    if "CELLTYPIST_PYTHON" not in os.environ:
        raise KeyError(
            "CELLTYPIST_PYTHON is not set: CellTypist needs scikit-learn < 1.8. `python -m venv celltypist && celltypist/bin/pip "
            "install celltypist 'scikit-learn<1.8'`, then `export CELLTYPIST_PYTHON=celltypist/bin/python`."
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("reference.h5ad", "query.h5ad", "answers.npz")]
        task.reference.write_h5ad(paths[0])
        task.query.write_h5ad(paths[1])
        job = [os.environ["CELLTYPIST_PYTHON"], "-m", "benchmarks.annotation.celltypist_job"]
        # Not by cwd: the interpreter's path may be relative.
        surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        command = [*job, *map(str, paths), task.spec.labels_key, str(seed)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=surroundings)
        with np.load(paths[2]) as found:
            probabilities = pd.DataFrame(found["probabilities"], task.query.obs_names, found["names"])
            seconds, memory = found["seconds"], float(found["peak_mib"])
    labels = probabilities.columns.to_numpy().astype(str)[probabilities.to_numpy().argmax(axis=1)]
    return {"CellTypist": Prediction(labels, probabilities, float(seconds[0]), float(seconds[1]), memory)}


def fit_scvi(adata: ad.AnnData, labels_key: str, batch_key: str, seed: int):
    """Return SCVI (2 layers, 30 latent, negative binomial)."""
    import scvi

    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(adata, batch_key=batch_key, labels_key=labels_key)
    return trained(lambda: scvi.model.SCVI(adata, n_layers=2, n_latent=30, gene_likelihood="nb"))


def fit_scanvi(adata: ad.AnnData, labels_key: str, batch_key: str, seed: int):
    """Return SCVI and SCANVI, 20 epochs from it."""
    import scvi

    vae = fit_scvi(adata, labels_key, batch_key, seed)
    model = trained(
        lambda: scvi.model.SCANVI.from_scvi_model(vae, unlabeled_category=UNLABELLED),
        max_epochs=20,
        n_samples_per_label=100,
    )
    return vae, model


def trained(make: Callable[[], Any], **kwargs: Any) -> Any:
    """Train a model of scvi-tools, anew with smaller mini-batches where these leave one of a single cell, which stops batch norm."""
    for batch_size in range(128, 120, -1):
        model = make()
        try:
            model.train(train_size=0.9, batch_size=batch_size, enable_progress_bar=False, **kwargs)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
        else:
            return model
    raise ValueError("Mini-batches of 121 to 128 cells each leave one of a single cell.")


def scanvi(task: Task, seed: int) -> dict[str, Prediction]:
    """SCVI on reference and query, then SCANVI with the query as unlabelled: transductive, unlike all others here."""
    start = perf_counter()
    labels_key, batch_key = task.spec.labels_key, task.spec.batch_key
    both = ad.concat({"reference": task.reference, "query": task.query}, label="side", index_unique="-")
    both.obs[labels_key] = np.concatenate([task.labels, np.full(task.query.n_obs, UNLABELLED)])
    both.obs[batch_key] = (both.obs["side"].astype(str) + "-" + both.obs[batch_key].astype(str)).astype("category")
    _, model = fit_scanvi(both, labels_key, batch_key, seed)
    fitted = perf_counter()
    probabilities = model.predict(indices=np.flatnonzero(both.obs["side"] == "query"), soft=True)
    labels = probabilities.columns.to_numpy().astype(str)[probabilities.to_numpy().argmax(axis=1)]
    return {"scanvi": Prediction(labels, probabilities, fitted - start, perf_counter() - fitted)}
