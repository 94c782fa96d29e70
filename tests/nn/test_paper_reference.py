"""The paper preset against an independent numpy evaluation in float64 (``paper_numpy.py``), to 1e-5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plkd import presets
from plkd.nn import (
    RNAScaling,
    Student,
    Teacher,
    attention_rollout,
    distillation_loss,
    mean_entropy_loss,
    released_divergence_loss,
)

N_OBS, N_GENES, N_PATTERNS, N_LABELS = 8, 40, 9, 4
SEEDS = range(4)


def close(ours, truth):
    np.testing.assert_allclose(ours.detach().numpy() if torch.is_tensor(ours) else ours, truth, rtol=1e-5, atol=1e-5)


@pytest.fixture(params=SEEDS)
def seed(request):
    return request.param


@pytest.fixture(params=["as built", "large weights"])
def case(request, seed, randomise, paper_numpy):
    """Counts, both networks built by the paper preset, and the same weights in numpy."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    counts = rng.poisson(rng.lognormal(0, 1, size=(N_OBS, N_GENES))) + np.eye(N_OBS, N_GENES)
    members = [rng.permutation(N_GENES)[:size] for size in rng.integers(1, 15, size=N_PATTERNS)]
    teacher = Teacher({"rna": members}, {"rna": N_GENES}, N_LABELS, **vars(presets.paper.teacher)).eval()
    student = Student({"rna": N_GENES}, N_LABELS, **vars(presets.paper.student)).eval()
    if request.param == "large weights":
        randomise(teacher, seed, std=0.1)
        randomise(student, seed + 100, std=0.1)
    scaling = RNAScaling(torch.full((N_GENES,), 1 / N_GENES))
    x = {"rna": scaling(torch.from_numpy(counts).float())}
    return {
        "counts": counts,
        "x": x,
        "present": {"rna": torch.ones(N_OBS, dtype=torch.bool)},
        "teacher": teacher,
        "student": student,
        "labels": rng.integers(0, N_LABELS, size=N_OBS),
        "numpy": numpy_answers(paper_numpy, counts, teacher, student, members, rng),
        "size": request.param,
    }


def numpy_answers(paper_numpy, counts, teacher, student, members, rng):
    """Evaluate both networks in numpy."""
    state = {name: value.detach().double().numpy() for name, value in teacher.state_dict().items()}
    width = teacher.width
    # Patterns, then the free token, which sees every gene; entries outside the mask are garbage on purpose.
    n_tokens = len(members) + 1
    dense = rng.normal(size=(N_GENES, n_tokens, width))
    mask = np.zeros((N_GENES, n_tokens))
    for p, genes in enumerate(members):
        dense[genes, p] = teacher.tokenizers[0].pattern_weight(p).detach().double().numpy()
        mask[genes, p] = 1
    dense[:, -1], mask[:, -1] = state["free.0.weight"], 1
    bias = np.vstack([state["tokenizers.0.bias"], state["free.0.bias"][None]])
    names = {"attention.qkv": "qkv", "attention.proj": "proj", "mlp.0": "fc1", "mlp.3": "fc2"}
    names |= {"norm1": "norm1", "norm2": "norm2"}
    weights = {
        "class_token": state["class_token"],
        "blocks": [
            {
                f"{ours}.{part}": state[f"blocks.{i}.{theirs}.{part}"]
                for theirs, ours in names.items()
                for part in ("weight", "bias")
            }
            for i in range(2)
        ],
        **{f"{layer}.{part}": state[f"{layer}.{part}"] for layer in ("norm", "head") for part in ("weight", "bias")},
    }
    x = paper_numpy.scaled(counts)
    tokens = paper_numpy.tokens(x, dense, mask, bias)
    logits, latent, attention = paper_numpy.teacher(tokens, weights, n_heads=4)
    linear = [student.towers[0][0], *(m for m in student.towers[0] if isinstance(m, torch.nn.Linear))]
    norms = [m for m in student.towers[0] if isinstance(m, torch.nn.LayerNorm)]

    def numbers(parameter):
        return parameter.detach().double().numpy()

    hidden = [
        {
            # The first layer keeps a row per feature.
            "weight": numbers(layer.weight).T if layer is linear[0] else numbers(layer.weight),
            "bias": numbers(layer.bias),
            "norm.weight": numbers(norm.weight),
            "norm.bias": numbers(norm.bias),
        }
        for layer, norm in zip(linear, norms, strict=True)
    ]
    head = numbers(student.head.weight), numbers(student.head.bias)
    return {
        "x": x,
        "tokens": tokens,
        "logits": logits,
        "latent": latent,
        "attention": attention,
        "student": paper_numpy.student(x, hidden, *head),
    }


def test_scaled_cells_and_tokens(case):
    close(case["x"]["rna"], case["numpy"]["x"])
    close(case["teacher"].tokens(case["x"]), case["numpy"]["tokens"])


def test_teacher_logits_and_latent(case):
    out = case["teacher"](case["x"], case["present"])
    close(out.logits, case["numpy"]["logits"])
    close(out.latent, case["numpy"]["latent"])


@pytest.mark.parametrize("raw", [True, False])
def test_rollout(case, raw, paper_numpy):
    out = case["teacher"](case["x"], case["present"], attention=True)
    truth = paper_numpy.rollout(case["numpy"]["attention"], raw=raw)
    if case["size"] == "large weights":
        # Uniform attention would hide a swapped axis.
        assert truth.std(axis=1).max() > 1e-3
    close(attention_rollout(out.attention, raw=raw), truth)
    close(out.logits, case["numpy"]["logits"])


def test_student_logits(case):
    close(case["student"](case["x"])[0], case["numpy"]["student"])


def test_teacher_losses(case, paper_numpy):
    out, truth = case["teacher"](case["x"], case["present"]), case["numpy"]
    close(
        released_divergence_loss(out.latent, out.logits),
        paper_numpy.released_divergence(truth["latent"], truth["logits"]),
    )
    close(
        F.cross_entropy(out.logits, torch.from_numpy(case["labels"])),
        paper_numpy.cross_entropy(truth["logits"], case["labels"]),
    )


def test_student_losses(case, paper_numpy):
    teacher, truth = case["teacher"](case["x"], case["present"]).logits, case["numpy"]
    student = case["student"](case["x"])[0]
    close(
        distillation_loss(student, teacher, temperature=presets.paper.student_training.temperature),
        paper_numpy.distillation(truth["student"], truth["logits"], 4),
    )
    close(mean_entropy_loss(student), paper_numpy.self_entropy(truth["student"]))


@pytest.mark.parametrize("spread", [1e-4, 0.1, 1.0, 3.0])
def test_released_divergence_from_sharp_to_flat_kernels(seed, spread, paper_numpy):
    # LayerNormed latents lie far apart, where the kernel is the identity; its other entries are checked here.
    rng = np.random.default_rng(seed)
    latent, logits = rng.normal(0, spread, size=(N_OBS, 5)), rng.normal(0, 2, size=(N_OBS, N_LABELS))
    close(
        released_divergence_loss(torch.from_numpy(latent).float(), torch.from_numpy(logits).float()),
        paper_numpy.released_divergence(latent, logits),
    )


def test_released_divergence_epsilons_count_where_logits_are_tiny(paper_numpy):
    latent, logits = np.zeros((2, 1)), np.array([[1e-3, 2e-3], [2e-3, 1e-3]])
    truth = paper_numpy.released_divergence(latent, logits)
    ours = released_divergence_loss(torch.from_numpy(latent).float(), torch.from_numpy(logits).float())
    # By hand: inner products 9e-6 each; norms 1e-5; ratio 9e-6 / (1e-5 + 1e-6); one pair, two labels.
    assert truth == pytest.approx(9 / 11 / 2, rel=1e-6)
    close(ours, truth)
