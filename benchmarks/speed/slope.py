"""Cost of training against cells: seconds of each phase, peak memory, and the slope of log time against log cells.

    PLKD_DATA=/path/to/data python -m benchmarks.speed.slope --cells 10000 30000 100000

References are simulated atlases of four batches with the counts and the labels of a file; each size is trained once, with the package's
defaults, in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.quiet import quiet
from benchmarks.speed import atlas
from benchmarks.speed.measure import peak_mib
from plkd import PLKD

_BATCHES = 4


def trained(args: argparse.Namespace, n_cells: int) -> dict[str, Any]:
    """Train on so many cells; return seconds, whole and by phase, and MiB at the highest, before training, and of the counts."""
    real = atlas.read_reference(args.file, args.labels_key, args.genes)
    cells = atlas.in_memory(real, args.labels_key, n_cells, seed=0)
    cells.obs["batch"] = np.random.default_rng(1).integers(0, _BATCHES, n_cells).astype(str)
    PLKD.setup_anndata(cells, labels_key=args.labels_key, batch_key="batch")
    model, before, start = PLKD(cells), peak_mib(), perf_counter()
    model.train(enable_progress_bar=False, enable_model_summary=False)
    whole = perf_counter() - start
    counts = sum(part.nbytes for part in (cells.X.data, cells.X.indices, cells.X.indptr)) / 2**20
    assert model.training_ is not None
    phases = model.training_["training"]["seconds"]
    return {"whole": whole, **phases, "peak": peak_mib(), "before": before, "counts": counts}


def apart(args: argparse.Namespace, n_cells: int) -> dict[str, Any]:
    """Return what :func:`trained` does, of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.slope", *sys.argv[1:], "--alone", str(n_cells)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Parse the command line, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    atlas.add_arguments(parser)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(args.threads)
    if args.alone:
        print(json.dumps(trained(args, args.alone)))
        return
    seconds = {}
    for n_cells in args.cells:
        found = apart(args, n_cells)
        seconds[n_cells] = found["whole"]
        print(f"{n_cells:,} cells: {seconds[n_cells]:,.0f} s", end=" (")
        print(", ".join(f"{phase} {found[phase]:,.0f}" for phase in ("confidence", "teacher", "student")), end="); ")
        print(f"peak {found['peak']:,.0f} MiB, {found['before']:,.0f} before training, counts {found['counts']:,.0f}")
    for one, other in itertools.pairwise(seconds):
        slope = math.log(seconds[other] / seconds[one]) / math.log(other / one)
        print(f"slope from {one:,} to {other:,} cells: {slope:.2f}", flush=True)


if __name__ == "__main__":
    main()
