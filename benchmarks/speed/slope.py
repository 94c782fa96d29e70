"""Cost against cells and against genes: seconds of training by phase and of annotation, peak memory, and slopes of log time.

    PLKD_DATA=/path/to/data python -m benchmarks.speed.slope --cells 10000 30000 100000
    PLKD_DATA=/path/to/data python -m benchmarks.speed.slope --cells 10000 --genes 1000 3000 10000

References are simulated atlases of four batches with the counts and the labels of a file; each size is trained once, with the package's
defaults, in a process of its own, which then annotates its reference.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.quiet import quiet
from benchmarks.speed import atlas
from benchmarks.speed.measure import in_turn, peak_mib
from plkd import PLKD

_BATCHES = 4
#: Annotation takes little time: the median of so many.
_REPEATS = 5
#: What is timed, by the name it has in the output.
TIMED = ("training", "annotation")

#: Cells and genes.
Size = tuple[int, int]


def measured(args: argparse.Namespace, size: Size) -> dict[str, Any]:
    """Train and annotate an atlas; return seconds, and MiB at the highest, before training, and of the counts."""
    n_cells, n_genes = size
    real = atlas.read_reference(args.file, args.labels_key, n_genes)
    cells = atlas.in_memory(real, args.labels_key, n_cells, seed=0)
    cells.obs["batch"] = np.random.default_rng(1).integers(0, _BATCHES, n_cells).astype(str)
    PLKD.setup_anndata(cells, labels_key=args.labels_key, batch_key="batch")
    model, before, start = PLKD(cells), peak_mib(), perf_counter()
    model.train(enable_progress_bar=False, enable_model_summary=False)
    training, peak = perf_counter() - start, peak_mib()
    annotation = statistics.median(in_turn({"": lambda: model.predict(cells)}, _REPEATS)[""])
    counts = sum(part.nbytes for part in (cells.X.data, cells.X.indices, cells.X.indptr)) / 2**20
    assert model.training_ is not None
    phases = model.training_["training"]["seconds"]
    return {"training": training, "annotation": annotation, **phases, "peak": peak, "before": before, "counts": counts}


def apart(size: Size) -> dict[str, Any]:
    """Return what :func:`measured` does, of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.slope", *sys.argv[1:], "--alone", *map(str, size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def slopes(seconds: Mapping[Size, float]) -> list[tuple[Size, Size, float]]:
    """Return the slopes of log seconds, from each size to the next that differs in cells alone or in genes alone."""
    found = []
    for axis in (0, 1):
        by_axis = sorted(seconds, key=lambda size, axis=axis: (size[1 - axis], size[axis]))
        for one, other in itertools.pairwise(by_axis):
            if one[1 - axis] == other[1 - axis]:
                grown = math.log(other[axis] / one[axis])
                found.append((one, other, math.log(seconds[other] / seconds[one]) / grown))
    return found


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    atlas.add_arguments(parser, several_genes=True)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(args.threads)
    if args.alone:
        print(json.dumps(measured(args, tuple(args.alone))))
        return
    found = {}
    for size in itertools.product(args.cells, args.genes):
        own = found[size] = apart(size)
        print("{:,} cells x {:,} genes".format(*size), end=": ")
        print(
            ", ".join(f"{part} {own[part]:,.2f} s" for part in (*TIMED, "confidence", "teacher", "student")), end="; "
        )
        print(
            f"peak {own['peak']:,.0f} MiB, {own['before']:,.0f} before training, counts {own['counts']:,.0f}",
            flush=True,
        )
    for part in TIMED:
        for one, other, slope in slopes({size: own[part] for size, own in found.items()}):
            print("{}: from {:,} cells x {:,} genes to {:,} x {:,}: slope {:.2f}".format(part, *one, *other, slope))


if __name__ == "__main__":
    main()
