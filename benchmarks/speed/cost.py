"""The arithmetic of training and annotation, and the share of the machine's rates that they reach.

    python -m benchmarks.speed.cost --threads 2 --repeats 5

Formulas are those of docs/user_guide/scale.md: operations of matrix products for each cell, a multiplication and an addition
counted as two; a test compares them with torch's own count. The rate of matrix products (two of 2048 x 2048) and of memory (a copy
of 256 MiB) is measured in turn with what is measured against it.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch

from benchmarks.speed.measure import in_turn
from plkd import presets
from plkd.nn import SparseRows, Student, Teacher

_SIDE, _COPIED = 2048, 2**26


@dataclass(frozen=True)
class Size:
    """What the cost depends on.

    Attributes
    ----------
    genes, memberships, patterns, labels
        Numbers of each; memberships are pairs of a pattern and one of its genes.
    density
        Share of a cell's genes that are not zero; 1 where zeros are filled in.
    free, width, depth, mlp_ratio
        Of :class:`plkd.presets.TeacherSettings`.
    tokens
        Tokens that the blocks read, class token included.
    hidden
        Widths of the Student's hidden layers, two of them.
    """

    genes: int
    memberships: int
    patterns: int
    labels: int
    density: float = 1.0
    free: int = 4
    width: int = 48
    depth: int = 2
    mlp_ratio: float = 4.0
    tokens: int = 0
    hidden: tuple[int, int] = (256, 128)


def teacher(size: Size, *, training: bool) -> float:
    """Return the operations of the Teacher for one cell; values take no gradient."""
    d, t, r = size.width, size.tokens, size.mlp_ratio
    reading = 2 * size.density * d * (size.memberships + size.genes * size.free)
    block = (8 + 4 * r) * t * d**2 + 4 * t**2 * d
    last = 4 * t * d**2 + 4 * t * d + (4 + 4 * r) * d**2
    rest = (size.depth - 1) * block + last + 2 * d * size.labels
    return 2 * reading + 3 * rest if training else reading + rest


def student(size: Size, *, training: bool) -> float:
    """Return the operations of the Student for one cell; values take no gradient."""
    first, last = size.hidden
    reading = 2 * size.density * size.genes * first
    rest = 2 * first * last + 2 * last * size.labels
    return 2 * reading + 3 * rest if training else reading + rest


def annotation(size: Size, *, axes: int = 30, sample: int = 1250) -> float:
    """Return the operations of annotating one cell: the Student, the query's axes, distances to centres and to the sample."""
    last = size.hidden[1]
    novelty = 2 * size.density * size.genes * axes + 2 * last * (last + size.labels) + 2 * axes * sample
    return student(size, training=False) + novelty


def make_teacher(size: Size, rng: np.random.Generator) -> Teacher:
    """Return a Teacher of a size, patterns of equal numbers of genes, no dropout."""
    each = size.memberships // size.patterns
    members = [np.sort(rng.choice(size.genes, each, replace=False)) for _ in range(size.patterns)]
    ratio = {"mlp_ratio": size.mlp_ratio, "n_free": size.free, "width": size.width, "depth": size.depth}
    return Teacher({"rna": members}, {"rna": size.genes}, size.labels, n_heads=4, **ratio)


def make_student(size: Size) -> Student:
    """Return a Student of a size."""
    return Student({"rna": size.genes}, size.labels, n_hidden=size.hidden)


def step(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor | SparseRows, y: torch.Tensor
) -> None:
    """Run one step of cross-entropy."""
    present = {"rna": torch.ones(len(y), dtype=torch.bool)}
    out = network({"rna": x}, present)
    logits = out[0] if isinstance(out, tuple) else out.logits
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(logits, y).backward()
    optimizer.step()


def sparse_batch(n_obs: int, n_features: int, density: float) -> SparseRows:
    """Return a random mini-batch."""
    block = sp.random(n_obs, n_features, density, format="csr", dtype=np.float32, random_state=0)
    rows = np.repeat(np.arange(n_obs), np.diff(block.indptr))
    parts = (block.data, block.indices.astype(np.int64), rows)
    return SparseRows(*map(torch.from_numpy, parts), block.shape)


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("genes", 3000), ("patterns", 300), ("memberships", 15_000), ("labels", 20), ("batch", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--density", type=float, default=0.07)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    settings = presets.default.teacher
    kept = 1 - settings.pattern_dropout
    tokens = 1 + round(kept * (args.patterns + settings.n_free))
    sizes = (args.genes, args.memberships, args.patterns, args.labels)
    full = Size(*sizes, tokens=tokens, free=settings.n_free)
    thin = Size(*sizes, tokens=tokens, density=args.density)
    own = make_teacher(full, np.random.default_rng(0))
    own.pattern_dropout = settings.pattern_dropout
    pupil = make_student(full)
    adam = {id(n): torch.optim.AdamW(n.parameters(), fused=True) for n in (own, pupil)}
    y = torch.randint(args.labels, (args.batch,))
    x = sparse_batch(args.batch, args.genes, args.density)
    many = sparse_batch(8192, args.genes, args.density)
    square, large = torch.randn(_SIDE, _SIDE), torch.randn(_COPIED)
    target = torch.empty_like(large)

    def annotate() -> None:
        with torch.inference_mode():
            pupil({"rna": many})

    pupil_size = thin if args.density < 0.06 else full
    works = {
        "Teacher, a step": (partial(step, own, adam[id(own)], x, y), args.batch * teacher(full, training=True)),
        "Student, a step": (
            partial(step, pupil, adam[id(pupil)], x, y),
            args.batch * student(pupil_size, training=True),
        ),
        "Student, annotating": (annotate, 8192 * student(thin, training=False)),
    }
    things = {name: work for name, (work, _) in works.items()}
    seconds = in_turn(
        {**things, "products": lambda: square @ square, "copy": lambda: target.copy_(large)}, args.repeats
    )
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    rate, memory = 2 * _SIDE**3 / middle["products"], 2 * large.nbytes / middle["copy"]
    print(f"{args.threads} threads: products {rate / 1e9:.1f} Gflop/s, memory {memory / 1e9:.1f} GB/s")
    for name, (_, operations) in works.items():
        cells = 8192 if name.endswith("annotating") else args.batch
        print(
            f"{name:20} {operations / cells / 1e6:8.2f} Mflop a cell {cells / middle[name]:10,.0f} cells/s "
            f"{operations / middle[name] / rate:6.1%} of the rate of products"
        )
    read = 4 * (args.density * args.genes * full.hidden[0]) * 8192
    print(f"{'':20} weights are read at {read / middle['Student, annotating'] / memory:.1f} times the rate of memory")
    parameters = sum(p.numel() for n in (own, pupil) for p in n.parameters())
    print(f"Both networks have {parameters:,} weights; a step of AdamW moves {28 * parameters / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
