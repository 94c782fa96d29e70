"""Teacher training: cells per second and peak memory, beside a dense masked-linear Teacher in the same run.

    python benchmarks/speed/teacher.py --threads 2 --repeats 5 --out teacher.csv

Both Teachers see the same patterns, the same width, depth and heads, and each measurement is a full training step
(forward, loss, backward, SGD with momentum) in a fresh process of its own, so that no measurement inherits another's
memory. Repeats are interleaved, so that a machine that slows down slows every row.

*dense* is the released form: one weight of genes x (patterns * width), multiplied by a 0/1 mask of the same shape in each
forward pass, softmax attention written out, dropout 0.5 of tokens, attention and MLP, stochastic depth. Its attention
roll-out, which the release computes in every training step, is left out in its favour. *plkd* is `plkd.nn.Teacher`.

Dropout is part of the cost: that of attention weights refuses fused attention on a CPU. So there are three settings:
*released* (0.5 everywhere), *none*, and *default* (that of `plkd.presets.default`, which drops whole patterns and no
attention weights). As each is meant to be trained means *default* beside *released*; the rest shows what dropout's part is.

Pattern sizes are drawn from the GMT file's when `PLKD_DATA` is set, otherwise from a log-normal fitted to that file's 658
sets of at most 300 genes: mean 3.42 and standard deviation 0.83 of the log size, cut to 9..300 genes.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

# This process imports neither numpy nor torch: on Linux a child's ru_maxrss starts at what its parent held when it forked.

LOG_SIZE = (3.42, 0.83)
SMALLEST, LARGEST = 9, 300
N_LABELS = 16
WIDTH, DEPTH, N_HEADS = 48, 2, 4
RUNS = [("dense", dropout, batch) for dropout in ("released", "none") for batch in (8, 64)]
RUNS += [("plkd", "default", 64), ("plkd", "default", 256), ("plkd", "none", 64), ("plkd", "released", 64)]
# What the ratios compare: plkd's dropout and batch, the dense Teacher's dropout and batch.
RATIOS = (
    ("default", 64, "released", 8),
    ("default", 64, "released", 64),
    ("default", 256, "released", 8),
    ("none", 64, "released", 8),
    ("none", 64, "none", 8),
    ("none", 64, "none", 64),
    ("released", 64, "released", 64),
)


def pattern_sizes(n_patterns: int, rng: random.Random) -> tuple[list[int], str]:
    """Draw the sizes of Reactome-like gene sets and say where they come from."""
    if "PLKD_DATA" in os.environ:
        gmt = Path(os.environ["PLKD_DATA"]) / "genesets" / "human_reactome.gmt"
        rows = [line.rstrip("\n").split("\t")[2:] for line in gmt.read_text().splitlines()]
        sizes = [n for n in (len({gene for gene in row if gene}) for row in rows) if SMALLEST <= n <= LARGEST]
        return [rng.choice(sizes) for _ in range(n_patterns)], gmt.name
    drawn = (round(rng.lognormvariate(*LOG_SIZE)) for _ in range(n_patterns))
    return [min(max(n, SMALLEST), LARGEST) for n in drawn], f"log-normal{LOG_SIZE}"


def make_members(n_genes: int, n_patterns: int, seed: int) -> tuple[list[list[int]], str]:
    """Return the gene columns of each pattern."""
    rng = random.Random(seed)
    sizes, source = pattern_sizes(n_patterns, rng)
    return [sorted(rng.sample(range(n_genes), min(n, n_genes))) for n in sizes], source


def make_dense_teacher(members: list[list[int]], n_genes: int, dropout: str):
    """Build the dense masked-linear Teacher as a module from cells to (logits, latent)."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    rate = 0.5 if dropout == "released" else 0.0

    class MaskedTokens(nn.Module):
        def __init__(self):
            super().__init__()
            mask = torch.zeros(len(members) + 1, n_genes)
            for pattern, genes in enumerate(members):
                mask[pattern, genes] = 1
            mask[-1] = 1  # the token that sees all genes
            self.register_buffer("mask", mask.repeat_interleave(WIDTH, dim=0).t().contiguous())
            bound = 1 / math.sqrt(n_genes)
            self.weight = nn.Parameter(torch.empty(n_genes, mask.shape[0] * WIDTH).uniform_(-bound, bound))
            self.bias = nn.Parameter(torch.empty(mask.shape[0] * WIDTH).uniform_(-bound, bound))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight * self.mask).unflatten(1, (-1, WIDTH))

    class DropPath(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.keep = 1 - rate

        def forward(self, x):
            if not self.training or self.keep == 1:
                return x
            return x / self.keep * torch.empty(len(x), 1, 1).bernoulli_(self.keep)

    class Block(nn.Module):
        def __init__(self, drop_path):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
            self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.drop, self.drop_path = nn.Dropout(rate), DropPath(drop_path)

        def attend(self, x):
            q, k, v = self.qkv(x).unflatten(-1, (3, N_HEADS, -1)).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
            return self.drop(self.proj((self.drop(weights) @ v).transpose(1, 2).flatten(2)))

        def forward(self, x):
            x = x + self.drop_path(self.attend(self.norm1(x)))
            hidden = self.drop(F.gelu(self.up(self.norm2(x))))
            return x + self.drop_path(self.drop(self.down(hidden)))

    class DenseTeacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.class_token = MaskedTokens(), nn.Parameter(torch.zeros(1, 1, WIDTH))
            self.blocks = nn.Sequential(*(Block(rate * i / max(DEPTH - 1, 1)) for i in range(DEPTH)))
            self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, N_LABELS)

        def forward(self, x):
            x = torch.cat([self.class_token.expand(len(x), -1, -1), self.tokens(x)], dim=1)
            latent = self.norm(self.blocks(x))[:, 0]
            return self.head(latent), latent

    return DenseTeacher()


def make_plkd_teacher(members: list[list[int]], n_genes: int, dropout: str):
    """Build plkd's Teacher of the same size as a module from cells to (logits, latent)."""
    import numpy as np
    import torch

    from plkd import presets
    from plkd.nn import Teacher

    preset = {"default": presets.default, "released": presets.paper}
    names = ("dropout", "attention_dropout", "pattern_dropout", "drop_path")
    dropouts = {name: getattr(preset[dropout].teacher, name) if dropout in preset else 0.0 for name in names}

    class RNATeacher(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher = Teacher(
                {"rna": [np.asarray(m) for m in members]}, {"rna": n_genes}, N_LABELS,
                n_free=1, width=WIDTH, depth=DEPTH, n_heads=N_HEADS, **dropouts,
            )  # fmt: skip

        def forward(self, x):
            out = self.teacher({"rna": x}, {"rna": torch.ones(len(x), dtype=torch.bool)})
            return out.logits, out.latent

    return RNATeacher()


def divergence(scores, latent):
    """Released divergence loss, for both Teachers: kernel-weighted cosine between the columns of each pair of labels."""
    import torch

    kernel = torch.exp(-torch.cdist(latent, latent).square())
    product = scores.t() @ kernel @ scores
    norm = product.diagonal().clamp_min(1e-6).sqrt()
    return (product / (norm[:, None] * norm[None, :])).triu(1).sum() / N_LABELS


def measure(
    model: str, dropout: str, batch: int, *, n_genes: int, n_patterns: int, threads: int, seconds: float, seed: int
) -> dict:
    """Train one Teacher for some seconds in this process and return what it did and what it held."""
    import torch
    from torch.nn import functional as F

    if model != "dense":
        import plkd.nn
        import plkd.presets  # noqa: F401 (part of the imported interpreter)
    torch.set_num_threads(threads)
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    torch.manual_seed(seed)
    members, _ = make_members(n_genes, n_patterns, seed)
    make = make_dense_teacher if model == "dense" else make_plkd_teacher
    teacher = make(members, n_genes, dropout).train()
    optimiser = torch.optim.SGD(teacher.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-5)
    expressed = torch.rand(batch, n_genes) < 0.1  # a tenth of the genes of a cell, as in droplet data
    x = torch.where(expressed, torch.rand(batch, n_genes) * 4, 0.0)
    y = torch.randint(N_LABELS, (batch,))

    def step() -> None:
        logits, latent = teacher(x)
        loss = F.cross_entropy(logits, y) + divergence(logits, latent)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    for _ in range(2):
        step()
    n_steps, start = 0, time.perf_counter()
    while n_steps < 3 or time.perf_counter() - start < seconds:
        step()
        n_steps += 1
    elapsed = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - imported
    return {
        "model": model,
        "dropout": dropout,
        "batch": batch,
        "cells_per_s": batch * n_steps / elapsed,
        "peak_mib": held * unit / 2**20,
        "parameters": sum(p.numel() for p in teacher.parameters()),
        "torch": torch.__version__,
    }


def measure_apart(args: argparse.Namespace, model: str, dropout: str, batch: int) -> dict:
    """Run ``measure`` in a fresh process."""
    env = os.environ | {"OMP_NUM_THREADS": str(args.threads), "MKL_NUM_THREADS": str(args.threads)}
    settings = {k: getattr(args, k) for k in ("n_genes", "n_patterns", "threads", "seconds", "seed")}
    job = json.dumps({"model": model, "dropout": dropout, "batch": batch, **settings})
    command = [sys.executable, __file__, "--job", job]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: list[float], form: str) -> str:
    """Format the median and the range."""
    middle, low, high = (format(v, form) for v in (statistics.median(values), min(values), max(values)))
    return f"{middle:>8} ({low}-{high})"


def divide(ours: list[float], dense: list[float]) -> float:
    """Return the ratio of the medians."""
    return statistics.median(ours) / statistics.median(dense)


def report(rows: list[dict]) -> str:
    """Format one line per Teacher and batch size, then the ratios."""

    def values(run: tuple, column: str) -> list[float]:
        return [r[column] for r in rows if (r["model"], r["dropout"], r["batch"]) == run]

    lines = [
        f"{'Teacher':9}{'dropout':10}{'batch':>5}   {'cells/s, median (min-max)':32}{'peak MiB above imports':30}parameters"
    ]
    for run in RUNS:
        speed, memory = spread(values(run, "cells_per_s"), ".1f"), spread(values(run, "peak_mib"), ",.0f")
        lines.append("{:9}{:10}{:5}   ".format(*run) + f"{speed:32}{memory:30}{values(run, 'parameters')[0]:10,}")
    lines += ["", f"{'plkd':>14}  / {'dense':16}{'cells/s ratio':>15}{'peak memory ratio':>20}"]
    for ours, batch, theirs, dense_batch in RATIOS:
        pair = ("plkd", ours, batch), ("dense", theirs, dense_batch)
        speed, memory = (divide(*(values(run, column) for run in pair)) for column in ("cells_per_s", "peak_mib"))
        lines.append(f"{ours:>8} at {batch:3}  / {theirs:8} at {dense_batch:<5}{speed:14.1f}{memory:20.3f}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the single measurements where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-genes", type=int, default=3000)
    parser.add_argument("--n-patterns", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="least time of one measurement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="CSV of the single measurements")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(measure(**json.loads(args.job))))
        return

    members, source = make_members(args.n_genes, args.n_patterns, args.seed)
    sizes = sorted(len(m) for m in members)
    print(
        f"{args.n_genes} genes, {args.n_patterns} patterns of {sizes[0]}-{sizes[-1]} genes (median {sizes[len(sizes) // 2]}, "
        f"{sum(sizes):,} memberships; {source}), {args.threads} threads, {args.repeats} repeats of {args.seconds:g} s"
    )
    if os.getloadavg()[0] > 0.5:
        print(
            f"Load average {os.getloadavg()[0]:.1f}: other work is running, speeds and their ratios are off",
            file=sys.stderr,
        )
    rows = []
    for repeat in range(args.repeats):
        rows += [measure_apart(args, *run) | {"repeat": repeat} for run in RUNS]
        print(f"{repeat + 1} of {args.repeats} repeats done", file=sys.stderr)
    print(report(rows))
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
