"""Training on a GPU: cells per second of the Teacher and of the Student, and the share of time the GPU waits for data.

    PLKD_DATA=/path/to/data python -m benchmarks.speed.gpu --cells 50000

The reference is a simulated atlas with the counts of a file. Each phase is timed three ways in turn, on the same mini-batches:
*trained*, by ``PLKD.train`` as users call it; *loop*, the bare steps of that phase, each mini-batch made as training makes it (of
counts on the GPU where they fit, with ``--from-memory`` of counts in the machine's); *made*, the same steps on mini-batches that
were made before. What *loop* takes longer than *made* is the time that the GPU waits for data. The Student's steps are of mixtures that the Teacher has yet to read, and of such as it has answered.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.quiet import quiet
from benchmarks.speed.atlas import add_arguments, in_memory, read_reference
from plkd import PLKD, presets
from plkd.inference import to_device
from plkd.train import DistillationPlan, ReferenceData, TeacherPlan, split_cells
from plkd.train._plan import mini_batch_size
from plkd.train._runner import _precision


def plans(model: PLKD, prior: np.ndarray) -> dict[str, TeacherPlan | DistillationPlan]:
    """Return both phases with the defaults of the package, for a loop of their own."""
    teacher, student = model._phases({"teacher": {}, "student": {}}, None, None)
    common = ("lr", "weight_decay", "optimizer", "schedule", "hide_rate", "label_smoothing")
    own = ("divergence", "divergence_weight", "alignment_weight", "modality_dropout")
    theirs = ("temperature", "mixup", "entropy", "entropy_weight")
    return {
        "teacher": TeacherPlan(
            model.module, n_steps=1000, **{name: getattr(teacher, name) for name in (*common, *own)}
        ),
        "student": DistillationPlan(
            model.module,
            None,
            torch.as_tensor(prior, dtype=torch.float32),
            n_steps=1000,
            kd_weight=1.0,
            # Nothing is aligned where all cells have labels and one modality.
            alignment_weight=0.0,
            modality_alignment_weight=0.0,
            **{name: getattr(student, name) for name in (*common, *theirs)},
        ),
    }


def steps(plan: TeacherPlan | DistillationPlan, optimizer: torch.optim.Optimizer, batches: Iterable[Any]) -> float:
    """Return the seconds of a step on each mini-batch, as the trainer does them."""
    device = next(plan.parameters()).device
    mixed = _precision("auto") == "bf16-mixed"
    _wait(device)
    start = perf_counter()
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = plan.losses(to_device(batch, device))["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plan.network.parameters(), 1.0)
        optimizer.step()
    _wait(device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "zheng_sorted_pbmc.h5ad")
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gene-sets", default="human_reactome.gmt", help="file in the data folder's genesets/")
    parser.add_argument("--batch-size", type=int, help="default: plkd's choice")
    parser.add_argument("--from-memory", action="store_true", help="leave the counts where they are in loop")
    parser.add_argument("--accelerator", default="auto")
    args = parser.parse_args()
    quiet()
    real = read_reference(args.file, args.labels_key, args.genes)
    atlas = in_memory(real, args.labels_key, args.cells, seed=0)
    PLKD.setup_anndata(atlas, labels_key=args.labels_key)
    sets = Path(os.environ["PLKD_DATA"]) / "genesets" / args.gene_sets
    model = PLKD(atlas, patterns=sets, preset=presets.default.replace(confidence={"n_folds": 0}))
    model.train(
        2,
        batch_size=args.batch_size,
        accelerator=args.accelerator,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    device = model.module.student.head.weight.device
    cells = model._reference_cells()
    cells = cells if args.from_memory else cells.brought_to(device)
    split = split_cells(cells.labels, cells.batch, np.random.default_rng(0), train_size=0.9, validation_size=None)
    size = mini_batch_size(args.batch_size, len(split.train))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(
        f"{name}, torch {torch.__version__}, {_precision(args.accelerator)}; {args.cells:,} cells x {args.genes:,} genes, "
        f"{len(model.patterns.names)} patterns, mini-batches of {size}, {args.repeats} repeats"
    )
    batches = list(ReferenceData(cells, split, batch_size=size, balance=0.5).sampler)[:100]
    made = [to_device(cells[index], device) for index in batches]
    n_cells = sum(map(len, batches))
    prior = np.full(model.module.n_labels, 1 / model.module.n_labels)
    seconds = model.training_["training"]["seconds"]
    of_phase = plans(model, prior)
    for what, phase, anew in (
        ("teacher", "teacher", False),
        ("student, new mixtures", "student", True),
        ("student, mixtures that come again", "student", False),
    ):
        plan = of_phase[phase].to(device)
        optimizer = plan.make_optimizer(fused=True)
        model.module.train()
        times: dict[str, list[float]] = {"loop": [], "made": []}
        for repeat in range(args.repeats + 1):
            for name, source in (("loop", (cells[index] for index in batches)), ("made", made)):
                if anew:
                    plan.forget()
                took = steps(plan, optimizer, source)
                if repeat:
                    times[name].append(took)
        loop, still = (statistics.median(times[key]) for key in ("loop", "made"))
        print(f"{what}: loop {n_cells / loop:,.0f} cells/s, made {n_cells / still:,.0f}", end="; ")
        print(f"waiting for data {1 - still / loop:.1%}")
    for phase in of_phase:
        print(
            f"{phase}: trained {2 * len(split.train) / seconds[phase]:,.0f} cells/s (two epochs; start, validation and logging counted)"
        )


if __name__ == "__main__":
    main()
