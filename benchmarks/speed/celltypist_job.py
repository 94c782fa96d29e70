"""Runs in an environment of its own, which has CellTypist: trains on a file, annotates another, prints the seconds as JSON.

python celltypist_job.py REFERENCE.h5ad QUERY.h5ad LABELS_KEY REPEATS
"""

from __future__ import annotations

import json
import logging
import sys
from time import perf_counter


def main() -> None:
    """Read, train, annotate."""
    import celltypist
    import scanpy as sc

    logging.disable(logging.INFO)
    reference, query = (sc.read_h5ad(path) for path in sys.argv[1:3])
    labels_key, repeats = sys.argv[3], int(sys.argv[4])
    sc.pp.normalize_total(reference, target_sum=1e4)
    sc.pp.log1p(reference)
    model = celltypist.train(reference, labels=labels_key, use_SGD=True, max_iter=10)
    seconds = []
    for repeat in range(repeats + 1):
        adata = query.copy()
        start = perf_counter()
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        celltypist.annotate(adata, model=model)
        if repeat:
            seconds.append(perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
