"""Annotate files: time beside reading them and beside memory, and peak memory.

``python -m benchmarks.scale.run --cells 50000 --folder /tmp/scale`` makes the files and an Annotator (once), then prints, in
one run, the median time of reading the matrix block by block, of annotating the file, and of annotating the same cells in
memory; peak memory of annotating comes from a process of its own.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from anndata.io import sparse_dataset
from scipy import sparse

N_GENES, N_TYPES, N_PER_CELL, BLOCK = 3000, 10, 500, 8192


def counts(n_obs: int, rng: np.random.Generator) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Counts of cells of ten types, about 500 of 3,000 genes in each cell; gene means are log-normal."""
    means = np.random.default_rng(0).lognormal(0, 1.5, N_GENES)
    chances = np.stack([means * np.random.default_rng(i).lognormal(0, 1, N_GENES) for i in range(1, N_TYPES + 1)])
    chances = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    types = rng.integers(N_TYPES, size=n_obs)
    depth = np.minimum(rng.lognormal(np.log(N_PER_CELL * 1.6), 0.4, n_obs).astype(int), 5 * N_PER_CELL)
    rows = np.repeat(np.arange(n_obs), depth)
    drawn, genes = rng.random(len(rows)), np.empty(len(rows), dtype=np.int32)
    for i in range(N_TYPES):
        own = types[rows] == i
        genes[own] = np.minimum(np.searchsorted(chances[i], drawn[own]), N_GENES - 1)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, genes)), (n_obs, N_GENES))
    matrix.sum_duplicates()
    return matrix, types


def write(path: Path, n_obs: int, compression: str | None) -> None:
    """Write a file block by block."""
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n_obs)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)])
    rng = np.random.default_rng(7)
    for start in range(0, n_obs, 20_000):
        block, _ = counts(min(20_000, n_obs - start), rng)
        if start == 0:
            first = AnnData(block, obs=obs.iloc[: block.shape[0]], var=var)
            first.write_h5ad(path, compression=compression)
        else:
            with h5py.File(path, "r+") as file:
                sparse_dataset(file["X"]).append(block)
    with h5py.File(path, "r+") as file:
        from anndata.io import write_elem

        write_elem(file, "obs", obs)


def make_annotator(folder: Path) -> None:
    """Train a Student for one epoch, calibrated; what its answers are does not matter here."""
    from plkd import PLKD, presets

    matrix, types = counts(2000, np.random.default_rng(1))
    ref = AnnData(matrix, var=pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)]))
    ref.obs["cell_type"] = pd.Categorical([f"type {i}" for i in types])
    PLKD.setup_anndata(ref, "cell_type")
    model = PLKD(ref, preset=presets.default.replace(confidence={"n_folds": 2}))
    model.train(1, plan_kwargs={"student": {"kd_weight": 0.0}}, enable_progress_bar=False)
    model.export_student(folder, overwrite=True)


def read(path: Path) -> None:
    """Read the matrix as anndata does, block by block."""
    adata = read_h5ad(path, backed="r")
    for start in range(0, adata.n_obs, BLOCK):
        adata.X[start : start + BLOCK]
    adata.file.close()


def timed(work) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak() -> float:
    """Highest resident memory of this process, GiB (getrusage would count that of its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def main() -> None:
    """Print the ratios of one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/scale"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", type=Path, help="annotate this file and print the peak memory")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    from plkd import Annotator

    folder = args.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "annotator").exists():
        make_annotator(folder / "annotator")
    annotator = Annotator.load(folder / "annotator")
    if args.memory_of:
        before = peak()
        annotator.annotate(args.memory_of)
        print(f"{peak():.2f} GiB ({before:.2f} before)")
        return
    for compression in ("gzip", None):
        path = folder / f"{args.cells}_{compression or 'plain'}.h5ad"
        if not path.exists():
            write(path, args.cells, compression)
        seconds: dict[str, list[float]] = {"read": [], "annotate": [], "in memory": []}
        in_memory = read_h5ad(path)
        for _ in range(args.repeats):
            seconds["read"].append(timed(lambda path=path: read(path)))
            seconds["annotate"].append(timed(lambda path=path: annotator.annotate(path)))
            seconds["in memory"].append(timed(lambda adata=in_memory: annotator.annotate(adata)))
        del in_memory
        median = {name: float(np.median(values)) for name, values in seconds.items()}
        asked = [sys.executable, "-m", "benchmarks.scale.run", "--folder", str(folder), "--memory-of", str(path)]
        memory = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        print(
            f"{args.cells:,} cells, {compression or 'not compressed'}: read {median['read']:.2f} s, annotate "
            f"{median['annotate']:.2f} s, in memory {median['in memory']:.2f} s; annotate / read "
            f"{median['annotate'] / median['read']:.2f}, annotate / in memory {median['annotate'] / median['in memory']:.2f}; "
            f"peak memory {memory}",
            flush=True,
        )


if __name__ == "__main__":
    main()
