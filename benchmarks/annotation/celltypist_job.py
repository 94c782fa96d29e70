"""Runs in an environment of its own, which has CellTypist: trains on a file, annotates another, writes names, probabilities, seconds, memory.

python -m benchmarks.annotation.celltypist_job REFERENCE.h5ad QUERY.h5ad ANSWERS.npz LABELS_KEY SEED
"""

from __future__ import annotations

import logging
import sys
from time import perf_counter

from benchmarks.speed.measure import forget_peak, peak_mib


def main() -> None:
    """Read, train with feature selection, annotate."""
    import celltypist
    import numpy as np
    import scanpy as sc

    logging.disable(logging.INFO)
    reference, query = (sc.read_h5ad(path) for path in sys.argv[1:3])
    answers, labels_key, seed = sys.argv[3:6]
    top_genes = 300
    before = forget_peak()
    start = perf_counter()
    sc.pp.normalize_total(reference, target_sum=1e4)
    sc.pp.log1p(reference)
    model = celltypist.train(
        reference,
        labels=labels_key,
        feature_selection=reference.n_vars > top_genes,
        top_genes=top_genes,
        check_expression=True,
        random_state=int(seed),
    )
    fitted = perf_counter()
    sc.pp.normalize_total(query, target_sum=1e4)
    sc.pp.log1p(query)
    found = celltypist.annotate(query, model=model).probability_matrix
    seconds = np.array([fitted - start, perf_counter() - fitted])
    np.savez(
        answers,
        names=found.columns.to_numpy().astype(str),
        probabilities=found.to_numpy(),
        seconds=seconds,
        peak_mib=peak_mib() - before,
    )


if __name__ == "__main__":
    main()
