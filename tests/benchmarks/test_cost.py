"""The cost model of docs/user_guide/scale.md against torch's count of the networks' matrix products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.speed.cost import Size, annotation, make_student, make_teacher, student, teacher
from torch.utils.flop_counter import FlopCounterMode

SIZES = [
    Size(60, 40, 8, 5, tokens=8 + 4 + 1, width=8, depth=1),
    Size(90, 120, 12, 3, tokens=12 + 2 + 1, free=2, width=16, depth=3, mlp_ratio=2.0, hidden=(24, 8)),
]
N_OBS = 7


def counted(network, size, *, training, **kwargs):
    """Return the operations for a cell, as torch counts them; attention in the open, where all of torch's versions count it."""
    x, present = torch.rand(N_OBS, size.genes), {"rna": torch.ones(N_OBS, dtype=torch.bool)}
    with FlopCounterMode(display=False) as counter:
        out = network({"rna": x}, present, **kwargs)
        if training:
            (out[0] if isinstance(out, tuple) else out.logits).sum().backward()
    return counter.get_total_flops() / N_OBS


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("training", [False, True])
def test_teacher(size, training):
    network = make_teacher(size, np.random.default_rng(0)).train(training)
    assert counted(network, size, training=training, attention=True) == pytest.approx(teacher(size, training=training))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("training", [False, True])
def test_student(size, training):
    assert counted(make_student(size).train(training), size, training=training) == pytest.approx(
        student(size, training=training)
    )


def test_of_sparse_values_those_that_are_not_zero_count():
    full, thin = (Size(1000, 500, 10, 4, density=d, tokens=15) for d in (1.0, 0.1))
    first = 2 * 1000 * 256
    assert student(full, training=False) - student(thin, training=False) == pytest.approx(0.9 * first)
    assert annotation(thin) - student(thin, training=False) == pytest.approx(
        0.1 * 2 * 1000 * 30 + 2 * 128 * 132 + 2 * 30 * 1250
    )
