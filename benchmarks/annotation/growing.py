"""A reference that grows: train on some batches, learn on with another, score what is old and what is new.

    PLKD_DATA=/path/to/data python -m benchmarks.annotation.growing

On the three technologies of the PBMC task, 30 % of each label's cells of each held back for scoring. In the first case
the first two lack one type and the third lacks another; in the second all have all types.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator

import anndata as ad
import numpy as np
import pandas as pd
import scvi
from sklearn.metrics import f1_score, recall_score

from benchmarks.annotation.tasks import TASK_FILE, _read, read_specs
from plkd import PLKD, presets

QUIET = {"enable_progress_bar": False, "enable_model_summary": False}
HELD_BACK = 0.3


def held_back(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw cells to score, of each label alike; a label's only cell trains."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        cells = rng.permutation(np.flatnonzero(labels == label))
        chosen[cells[: int(len(cells) * HELD_BACK)]] = True
    return chosen


def new_model(reference: ad.AnnData, keys: dict[str, str], seed: int) -> PLKD:
    """Return an untrained model, not calibrated to save time."""
    scvi.settings.seed = seed
    PLKD.setup_anndata(reference, **keys)
    return PLKD(reference, preset=presets.default.replace(confidence={"n_folds": 0}))


def ways(first: ad.AnnData, second: ad.AnnData, keys: dict[str, str], seed: int) -> Iterator[tuple[str, PLKD]]:
    """Train on the first reference, learn on with the second in two ways, and train on both at once."""
    old = new_model(first, keys, seed)
    old.train(**QUIET)
    yield "first alone", old
    for way, earlier in (("second, earlier=first", first), ("second alone", None)):
        scvi.settings.seed = seed
        grown = PLKD.load_query_data(second.copy(), old)
        grown.train(earlier=earlier, **QUIET)
        yield way, grown
    both = new_model(ad.concat([first, second]), keys, seed)
    both.train(**QUIET)
    yield "both at once", both


def main() -> None:
    """Parse the command line, run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--third", default="5p", help="the technology that comes second")
    parser.add_argument("--old-type", default="NK", help="type that the second reference lacks")
    parser.add_argument("--new-type", default="Mono_CD16", help="type that the first reference lacks")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    (spec,) = (spec for spec in read_specs(TASK_FILE) if spec.name == "pbmc-technologies")
    adata = _read(spec, spec.files[0])
    keys = {"labels_key": spec.labels_key, "batch_key": spec.batch_key}
    labels, is_second = adata.obs[spec.labels_key].to_numpy(), (adata.obs[spec.batch_key] == args.third).to_numpy()
    test = held_back(labels, np.random.default_rng(args.seed))
    cases = {
        "types apart": np.where(is_second, labels == args.old_type, labels == args.new_type),
        "all types": np.zeros(len(labels), dtype=bool),
    }
    rows = []
    for case, left_out in cases.items():
        train = ~test & ~left_out
        first, second = (adata[train & side].copy() for side in (~is_second, is_second))
        for way, model in ways(first, second, keys, args.seed):
            row: dict[str, object] = {"case": case, "training": way}
            called = model.predict(adata[test]).astype(str)
            truth = labels[test]
            for name, cells in (("first_f1", ~is_second[test]), ("second_f1", is_second[test])):
                row[name] = f1_score(
                    truth[cells], called[cells], average="macro", labels=np.unique(truth[cells]), zero_division=0
                )
            for name, label in (("old_type_recall", args.old_type), ("new_type_recall", args.new_type)):
                row[name] = recall_score(truth == label, called == label)
            rows.append(row)
            print(row, flush=True)
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
