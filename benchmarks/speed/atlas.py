"""Simulated atlases of any size whose counts are distributed like those of a given file.

Each new cell is half of one real cell and half of another of the same label: every count of the two is kept, read by read,
with probability one half. The mean of each gene within a label is then that of the file, and depth and sparsity nearly so.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem

_CELLS_AT_A_TIME = 20_000


def add_arguments(
    parser: argparse.ArgumentParser, file: str = "pbmc3k_10xv1.h5ad", *, several_genes: bool = False
) -> None:
    """Add the arguments of :func:`read_reference`; with ``several_genes`` their number is a list."""
    parser.add_argument("--file", default=file, help="of the data folder; its counts are imitated")
    parser.add_argument("--labels-key", default="cell_type")
    genes = {"nargs": "+", "default": [3000]} if several_genes else {"default": 3000}
    parser.add_argument("--genes", type=int, **genes)


def read_reference(file: str, labels_key: str, n_genes: int) -> ad.AnnData:
    """Return the labelled cells of a file of the data folder with its ``n_genes`` most variable genes, raw counts."""
    adata = ad.read_h5ad(Path(os.environ["PLKD_DATA"]) / file)
    adata = adata[adata.obs[labels_key].notna().to_numpy()].copy()
    logged = sc.pp.log1p(sc.pp.normalize_total(adata, target_sum=1e4, copy=True), copy=True)
    variable = sc.pp.highly_variable_genes(logged, n_top_genes=n_genes, inplace=False)["highly_variable"]
    kept = adata[:, np.asarray(variable)].copy()
    kept.X = sp.csr_matrix(kept.X, dtype=np.float32)
    return kept


def blocks(reference: ad.AnnData, labels_key: str, n_obs: int, seed: int) -> Iterator[tuple[sp.csr_matrix, np.ndarray]]:
    """Yield the counts of ``n_obs`` simulated cells, float32, and their labels, some thousands at a time."""
    rng = np.random.default_rng(seed)
    labels = reference.obs[labels_key].astype("category")
    codes = labels.cat.codes.to_numpy()
    order = np.argsort(codes, kind="stable")
    first, size = np.searchsorted(codes[order], codes), np.bincount(codes)[codes]
    for start in range(0, n_obs, _CELLS_AT_A_TIME):
        one = rng.integers(0, reference.n_obs, min(_CELLS_AT_A_TIME, n_obs - start))
        other = order[first[one] + rng.integers(0, size[one])]
        counts = _half(reference.X[one], rng) + _half(reference.X[other], rng)
        yield counts, labels.cat.categories.to_numpy()[codes[one]]


def _half(counts: sp.csr_matrix, rng: np.random.Generator) -> sp.csr_matrix:
    half = counts.copy()
    half.data = rng.binomial(counts.data.astype(np.int64), 0.5).astype(np.float32)
    half.eliminate_zeros()
    return half


def in_memory(reference: ad.AnnData, labels_key: str, n_obs: int, seed: int) -> ad.AnnData:
    """Return an atlas in memory, with its labels under ``labels_key``."""
    counts, labels = zip(*blocks(reference, labels_key, n_obs, seed), strict=True)
    obs = _obs(n_obs).assign(**{labels_key: np.concatenate(labels)})
    return ad.AnnData(sp.vstack(counts, format="csr"), obs=obs, var=reference.var[[]])


def write(
    path: Path, reference: ad.AnnData, labels_key: str, n_obs: int, seed: int, *, compression: str | None
) -> None:
    """Write an atlas as .h5ad, block by block."""
    with h5py.File(path, "w") as file:
        counts = (block for block, _ in blocks(reference, labels_key, n_obs, seed))
        # HDF5 chooses its chunks by the size of what is written first.
        head = ad.AnnData(next(counts), var=reference.var[[]])
        write_elem(file, "/", head, dataset_kwargs={"compression": compression})
        matrix = sparse_dataset(file["X"])
        for block in counts:
            matrix.append(block)
        del file["obs"]
        write_elem(file, "obs", _obs(n_obs))


def _obs(n_obs: int) -> pd.DataFrame:
    return pd.DataFrame(index=[f"cell{i}" for i in range(n_obs)])
