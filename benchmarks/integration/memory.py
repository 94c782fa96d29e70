"""Peak memory of training on peaks: nothing but a mini-batch is made dense.

    python -m benchmarks.integration.memory --cells 100000 --peaks 100000 --steps 5
    PLKD_DATA=/path/to/data python -m benchmarks.integration.memory --file multiome_snare_mouse_cortex.h5mu

Trains some steps of each phase on simulated sparse counts of peaks, or with the package's defaults on the RNA and ATAC of a file
of the data folder. Prints peak resident memory, less what was there before the data, beside the size of the data as it lies
in memory and of the same matrix made dense.
"""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path
from time import perf_counter

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.quiet import quiet
from plkd import PLKD

GIB = 2**30


def peak() -> float:
    """Return the highest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def simulated(n_cells: int, n_peaks: int, density: float, n_labels: int = 10) -> md.MuData:
    """Return counts in which each label opens a tenth of the peaks twice as often, and two batches."""
    rng = np.random.default_rng(0)
    labels = np.arange(n_cells) % n_labels
    per_cell = rng.poisson(density * n_peaks, n_cells)
    own = np.array_split(np.arange(n_peaks), n_labels)
    rows = []
    for label, n in zip(labels, per_cell, strict=True):
        anywhere, in_own = rng.integers(0, n_peaks, n), rng.choice(own[label], n // 10)
        rows.append(np.unique(np.concatenate([anywhere, in_own])).astype(np.int32))
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.concatenate(rows)
    x = sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(n_cells, n_peaks))
    names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(n_peaks)]
    atac = ad.AnnData(x, obs=pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)]), var=pd.DataFrame(index=names))
    mdata = md.MuData({"atac": atac})
    mdata.obs["label"] = pd.Categorical(labels.astype(str))
    mdata.obs["batch"] = pd.Categorical(rng.integers(0, 2, n_cells).astype(str))
    return mdata


def size(mdata: md.MuData) -> tuple[float, float]:
    """Return the GiB of all matrices as they lie and made dense as float32."""
    kept = [adata.X for adata in mdata.mod.values()]
    lie = sum(x.data.nbytes + x.indices.nbytes + x.indptr.nbytes if sp.issparse(x) else x.nbytes for x in kept)
    return lie / GIB, sum(4 * x.shape[0] * x.shape[1] for x in kept) / GIB


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--peaks", type=int, default=100_000)
    parser.add_argument("--density", type=float, default=0.005)
    parser.add_argument("--steps", type=int, default=5, help="of each phase, on simulated data")
    parser.add_argument("--file", help="a .h5mu of the folder PLKD_DATA, trained on in full")
    parser.add_argument("--labels-key", default="cell_type")
    args = parser.parse_args()
    quiet()
    before = peak()
    if args.file:
        mdata, limits = md.read_h5mu(Path(os.environ["PLKD_DATA"]) / args.file), {}
    else:
        mdata, limits = (
            simulated(args.cells, args.peaks, args.density),
            {"limit_train_batches": args.steps, "max_epochs": 1},
        )
    (lie, dense), read = size(mdata), peak()
    start = perf_counter()
    PLKD.setup_mudata(mdata, labels_key=args.labels_key if args.file else "label", batch_key="batch")
    model = PLKD(mdata)
    model.train(enable_progress_bar=False, enable_model_summary=False, **limits)
    shapes = ", ".join(f"{name} {adata.n_obs:,} x {adata.n_vars:,}" for name, adata in mdata.mod.items())
    print(f"{shapes}: {lie:.2f} GiB in memory, {dense:.1f} GiB if dense; trained in {perf_counter() - start:.0f} s")
    print(
        f"peak {peak():.2f} GiB; above the imported interpreter {peak() - before:.2f}, after making the data {read - before:.2f}"
    )


if __name__ == "__main__":
    main()
