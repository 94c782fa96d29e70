"""Annotation of cells in memory, beside the bare products of the Student's layers and beside peers.

    PLKD_DATA=/path/to/data python -m benchmarks.speed.annotate --file pbmc3k_10xv1.h5ad --cells 20000 --repeats 5
    ... --celltypist /path/to/another/environment/bin/python

Every method labels the same simulated cells from raw counts, its own scaling included, with a model of the same labels; how well
the models are trained does not change their speed, so they are trained for some epochs only. *products* are the Student's three
matrix products alone on batches prepared beforehand, of dense and of sparse values. CellTypist needs an older scikit-learn: name
the interpreter of an environment that has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
import torch

from benchmarks.annotation.peers import log_normalise
from benchmarks.quiet import quiet
from benchmarks.speed import atlas, celltypist_job
from benchmarks.speed.measure import in_turn, ratio, table
from plkd import PLKD, Annotator

_BATCH = 8192
_QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


def train(reference: ad.AnnData, labels_key: str, folder: Path) -> Annotator:
    """Return an Annotator trained for two epochs."""
    reference = reference.copy()
    PLKD.setup_anndata(reference, labels_key=labels_key)
    model = PLKD(reference)
    model.train(max_epochs=2, **_QUIET)
    model.export_student(folder)
    return Annotator.load(folder)


def products(annotator: Annotator, counts: sp.csr_matrix) -> dict[str, Callable[[], None]]:
    """Return the Student's bare matrix products, of dense and of sparse values."""
    student = annotator._student
    tower = [layer.weight.detach() for layer in student.towers[0] if getattr(layer, "weight", torch.empty(0)).ndim == 2]
    # The first layer keeps a row per feature, torch's own a row per output.
    weights = [tower[0], *(w.t().contiguous() for w in (*tower[1:], student.head.weight.detach()))]
    blocks = [counts[i : i + _BATCH] for i in range(0, counts.shape[0], _BATCH)]
    dense = [torch.from_numpy(block.toarray()) for block in blocks]
    sparse = [
        torch.sparse_csr_tensor(*map(torch.from_numpy, (block.indptr, block.indices, block.data)), block.shape)
        for block in blocks
    ]

    def multiply(prepared: list[torch.Tensor]) -> None:
        with torch.inference_mode():
            for values in prepared:
                for weight in weights:
                    values = values @ weight

    return {
        "products, dense": lambda: multiply(dense),
        "products, sparse": lambda: multiply(sparse),
    }


def logistic(reference: ad.AnnData, labels_key: str, query: ad.AnnData) -> Callable[[], object]:
    """Return scikit-learn's logistic regression, asked for probabilities of all labels."""
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=0.1, max_iter=100).fit(log_normalise(reference), reference.obs[labels_key])
    return lambda: classifier.predict_proba(log_normalise(query))


def scanvi(reference: ad.AnnData, labels_key: str, query: ad.AnnData) -> Callable[[], object]:
    """Return scANVI's predict on a query of one batch."""
    import scvi

    reference = reference.copy()
    scvi.model.SCANVI.setup_anndata(reference, labels_key=labels_key, unlabeled_category="Unknown")
    model = scvi.model.SCANVI(reference, n_layers=2, n_latent=30, gene_likelihood="nb")
    model.train(max_epochs=1, **_QUIET)
    query = query.copy()
    query.obs[labels_key] = "Unknown"
    scvi.model.SCANVI.prepare_query_anndata(query, model)
    return lambda: model.predict(query)


def celltypist(
    python: str, reference: ad.AnnData, labels_key: str, query: ad.AnnData, repeats: int
) -> list[float] | None:
    """Return the seconds of CellTypist's annotate in another environment, normalisation included; None where its process was killed, of memory."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("reference.h5ad", "query.h5ad")]
        for path, adata in zip(paths, (reference, query), strict=True):
            adata.write_h5ad(path)
        command = [python, celltypist_job.__file__, *map(str, paths), labels_key, str(repeats)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode < 0:
        return None
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    atlas.add_arguments(parser)
    parser.add_argument("--cells", type=int, nargs="+", default=[20_000], help="several: the slope is printed too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-scanvi", action="store_true")
    parser.add_argument("--celltypist", help="interpreter of an environment with CellTypist")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(args.threads)

    reference = atlas.read_reference(args.file, args.labels_key, args.genes)
    with tempfile.TemporaryDirectory() as folder:
        annotator = train(reference, args.labels_key, Path(folder))
    medians = {"predict": [], "annotate": []}
    for n_cells in args.cells:
        query = atlas.in_memory(reference, args.labels_key, n_cells, 0)
        things: dict[str, Callable[[], object]] = {
            "predict": lambda query=query: annotator.predict(query),
            "annotate": lambda query=query: annotator.annotate(query),
            **products(annotator, query.X),
            "logistic regression": logistic(reference, args.labels_key, query),
        }
        if not args.no_scanvi:
            things["scANVI"] = scanvi(reference, args.labels_key, query)
        seconds = in_turn(things, args.repeats)
        if args.celltypist:
            theirs = celltypist(args.celltypist, reference, args.labels_key, query, args.repeats)
            if theirs is None:
                print(f"CellTypist ended without an answer on {n_cells:,} cells")
            else:
                seconds["CellTypist"] = theirs
        share = query.X.nnz / np.prod(query.shape)
        print(f"{n_cells:,} cells x {query.n_vars:,} genes, {share:.1%} not zero, {args.threads} threads")
        print(table(seconds, n_cells))
        fastest = min((name for name in seconds if name.startswith("products")), key=lambda name: min(seconds[name]))
        for ours in medians:
            medians[ours].append(float(np.median(seconds[ours])))
            print(f"{ours} / {fastest}: {ratio(seconds, ours, fastest):.2f}")
            for peer in ("logistic regression", "scANVI", "CellTypist"):
                if peer in seconds:
                    print(f"{peer} / {ours}: {ratio(seconds, peer, ours):.1f}")
    if len(args.cells) > 1:
        for ours, middle in medians.items():
            slope = np.polyfit(np.log(args.cells), np.log(middle), 1)[0]
            print(f"{ours}: slope of log seconds against log cells {slope:.3f}")


if __name__ == "__main__":
    main()
