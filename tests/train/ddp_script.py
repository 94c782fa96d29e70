"""Run by test_processes.py: trains on two processes, each of which writes what it ended with.

python ddp_script.py FOLDER N_PROCESSES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from plkd import PLKD, presets
from plkd.train import ReferenceData
from tests.conftest import _make_adata


def main() -> None:
    """Train and write."""
    folder, n_processes = Path(sys.argv[1]), int(sys.argv[2])
    seen: list[list[list[int]]] = []
    loader = ReferenceData.train_dataloader

    def watched(self):
        found = loader(self)
        draw = type(found.sampler).__iter__

        class Watched(type(found.sampler)):
            def __iter__(self):
                seen.append([])
                for cells in draw(self):
                    seen[-1].append(cells.tolist())
                    yield cells

        found.sampler.__class__ = Watched
        return found

    ReferenceData.train_dataloader = watched
    adata = _make_adata(150, 40)
    PLKD.setup_anndata(adata, labels_key="cell_type")
    torch.manual_seed(0)
    small = {"width": 8, "n_heads": 2, "depth": 1}
    quick = presets.default.replace(confidence={"n_folds": 0})
    model = PLKD(adata, preset=quick, teacher_kwargs=small, student_kwargs={"n_hidden": (16, 8)})
    plan = {"keep_best": False, "patience": 1}
    model.train(
        8,
        batch_size=32,
        accelerator="cpu",
        devices=n_processes,
        strategy="ddp" if n_processes > 1 else "auto",
        plan_kwargs={"teacher": plan, "student": plan},
        # No score rises so much: the second validation stops each phase.
        early_stopping_min_delta=1.0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    together = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if together else 0
    found = {
        "train": model.train_indices_.tolist(),
        "validation": model.validation_indices_.tolist(),
        "history": {key: frame.iloc[:, 0].tolist() for key, frame in model.history.items()},
        "weights": [float(np.abs(p.detach().numpy()).sum()) for p in model.module.parameters()],
        "labels": list(model.predict(adata)),
        "mini_batches": seen,
    }
    (folder / f"{n_processes}_{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
