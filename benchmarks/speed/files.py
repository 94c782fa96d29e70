"""Annotation of files: beside merely reading them, beside the same cells in memory, and its peak memory.

    PLKD_DATA=/path/to/data python -m benchmarks.speed.files --cells 200000 1000000 --folder /path/with/room

Simulated atlases are written once into the folder, compressed by gzip and not. Times of one size are taken in turn in one run;
peak memory comes of a process of its own that annotates the file and does nothing else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import anndata as ad
import torch

from benchmarks.quiet import quiet
from benchmarks.speed import atlas
from benchmarks.speed.annotate import train
from benchmarks.speed.measure import in_turn, peak_mib, ratio, table
from plkd import Annotator

_BLOCK = 8192
COMPRESSIONS = ("gzip", None)


def read(path: Path) -> None:
    """Read the matrix of a file block by block, as anndata does."""
    adata = ad.read_h5ad(path, backed="r")
    for start in range(0, adata.n_obs, _BLOCK):
        adata.X[start : start + _BLOCK]
    adata.file.close()


def peak_of(annotator: Path, path: Path, threads: int) -> str:
    """Return the peak memory of annotating a file in a process of its own, in words."""
    command = [sys.executable, "-m", "benchmarks.speed.files", "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--peak-of", str(annotator), str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    atlas.add_arguments(parser)
    parser.add_argument("--cells", type=int, nargs="+", default=[50_000])
    parser.add_argument("--folder", type=Path, default=Path("atlases"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak-of", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(args.threads)
    if args.peak_of:
        annotator = Annotator.load(args.peak_of[0])
        before = peak_mib()
        annotator.annotate(args.peak_of[1])
        print(f"{peak_mib():,.0f} MiB, {before:,.0f} of them the imported interpreter and the Annotator")
        return
    reference = atlas.read_reference(args.file, args.labels_key, args.genes)
    args.folder.mkdir(parents=True, exist_ok=True)
    own = args.folder / "annotator"
    annotator = Annotator.load(own) if own.exists() else train(reference, args.labels_key, own)
    for n_cells in args.cells:
        for compression in COMPRESSIONS:
            path = args.folder / f"{n_cells}_{compression or 'plain'}.h5ad"
            if not path.exists():
                atlas.write(path, reference, args.labels_key, n_cells, 0, compression=compression)
            # First: a file that was just read is cached, and so it is in all repeats.
            memory = peak_of(own, path, args.threads)
            cells = ad.read_h5ad(path)
            things = {
                "read": lambda path=path: read(path),
                "annotate": lambda path=path: annotator.annotate(path),
                "annotate in memory": lambda cells=cells: annotator.annotate(cells),
            }
            seconds = in_turn(things, args.repeats)
            del cells, things
            print(f"{n_cells:,} cells, {compression or 'not compressed'}: peak memory {memory}")
            print(table(seconds, n_cells))
            print(f"annotate / read {ratio(seconds, 'annotate', 'read'):.2f}", end=", ")
            print(f"annotate / in memory {ratio(seconds, 'annotate', 'annotate in memory'):.2f}", flush=True)


if __name__ == "__main__":
    main()
