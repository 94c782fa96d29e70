"""scib-metrics' scores of latent spaces, batch and biology parts apart."""

from __future__ import annotations

from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

from benchmarks.annotation.peers import log_normalise

BASELINE = "RNA principal components"


def score_latents(
    counts: sp.csr_matrix, labels: np.ndarray, batches: np.ndarray, latents: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Return the scores, unscaled, one row per latent space and one for 50 principal components of log-normalised counts.

    Parameters
    ----------
    counts
        Raw counts of RNA, shape ``(n_obs, n_genes)``.
    labels, batches
        Shape ``(n_obs,)``. With a single batch there is no batch part.
    latents
        By name, shape ``(n_obs, n_latent)``.
    """
    from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation

    adata = ad.AnnData(log_normalise(ad.AnnData(counts)))
    adata.obs["batch"], adata.obs["label"] = pd.Categorical(batches.astype(str)), pd.Categorical(labels)
    sc.pp.pca(adata, n_comps=min(50, adata.n_vars - 1, adata.n_obs - 1))
    for name, latent in latents.items():
        adata.obsm[name] = latent
    adata.obsm[BASELINE] = adata.obsm["X_pca"]
    bench = Benchmarker(
        adata,
        batch_key="batch",
        label_key="label",
        embedding_obsm_keys=[*latents, BASELINE],
        bio_conservation_metrics=BioConservation(),
        batch_correction_metrics=BatchCorrection() if adata.obs["batch"].nunique() > 1 else None,
        pre_integrated_embedding_obsm_key="X_pca",
        progress_bar=False,
    )
    bench.benchmark()
    return bench.get_results(min_max_scale=False).drop(index="Metric Type")
