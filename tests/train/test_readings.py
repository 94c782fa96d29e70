"""What the Teacher reads in place of cells without labels: against the same values changed, mixed and hidden with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd.inference import Change
from plkd.nn import dense
from plkd.train import DistillationPlan
from plkd.train._readings import Batch, Readings


def random_changes(module, seed: int) -> dict[str, Change]:
    """Factors and shifts of all features; proteins, whose values are logarithms, are only shifted."""
    rng, changes = np.random.default_rng(seed), {}
    for kind, layer in module.scaling.items():
        n = len(layer.weight)
        factor = np.ones(n) if kind == "protein" else rng.uniform(0.5, 2, n)
        changes[kind] = Change(factor, rng.normal(0, 0.3, n))
    return changes


def changed_by_hand(module, x: dict[str, torch.Tensor], changes: dict[str, Change]) -> dict[str, np.ndarray]:
    """Return weighted values of all features, changed before they are weighted."""
    found = {}
    for kind, values in x.items():
        weight = module.scaling[kind].weight.numpy()
        found[kind] = dense(values).numpy() * changes[kind].factor + weight * changes[kind].shift
    return found


def a_plan(model, readings, hide_rate: float = 0.0) -> DistillationPlan:
    return DistillationPlan(
        model.module,
        None,
        torch.full((3,), 1 / 3),
        kd_weight=1.0,
        temperature=1.0,
        mixup=1.0,
        entropy="prior",
        entropy_weight=0.0,
        alignment_weight=0.0,
        modality_alignment_weight=0.0,
        label_smoothing=0.0,
        n_steps=1,
        lr=1e-3,
        weight_decay=0.0,
        optimizer="adamw",
        schedule="constant",
        hide_rate=hide_rate,
        readings=readings,
    )


@pytest.fixture(params=["one modality", "three modalities"])
def model(request, make_model, make_joint_model, make_adata, make_mdata):
    if request.param == "one modality":
        return make_model(make_adata(60), teacher_kwargs={"width": 8, "n_heads": 2, "depth": 1, "n_free": 2})
    return make_joint_model(make_mdata(60, mosaic=True))


def readings_of(model) -> tuple[Readings, list[Batch]]:
    """Two batches are read otherwise, cells 0 to 29 as they are."""
    module = model.module.eval()
    batches = [Batch(np.arange(30, 45), random_changes(module, 0)), Batch(np.arange(45, 60), random_changes(module, 1))]
    return Readings(batches, 60, dict(module.scaling.items()), module.teacher), batches


def teacher_logits(module, x: dict[str, np.ndarray], present) -> torch.Tensor:
    with torch.no_grad():
        return module.teacher({k: torch.as_tensor(v, dtype=torch.float32) for k, v in x.items()}, present).logits


@pytest.mark.parametrize("sparse", [False, True])
def test_the_teacher_answers_to_mixtures_of_cells_that_were_changed_first(model, monkeypatch, sparse):
    monkeypatch.setattr("plkd.train._augment._FULL", 1.0 if sparse else 0.0)
    monkeypatch.setattr("plkd.nn._teacher.FULL", 1.0 if sparse else 0.0)
    readings, batches = readings_of(model)
    module, batch = model.module, model._reference_cells()[np.random.default_rng(0).permutation(60)]
    *_, taught, partner, share = a_plan(model, readings).outputs(batch)
    partner, share, index = partner.numpy(), share.numpy()[:, None], batch["index"].numpy()
    scaled = module.scale(batch)
    read = {kind: dense(values).numpy().copy() for kind, values in scaled.items()}
    plain = {kind: share * own + (1 - share) * own[partner] for kind, own in read.items()}
    for each in batches:
        rows = np.isin(index, each.cells)
        for kind, values in changed_by_hand(module, scaled, each.changes).items():
            read[kind][rows] = values[rows]
    mixed = {kind: share * own + (1 - share) * own[partner] for kind, own in read.items()}
    expected = teacher_logits(module, mixed, batch["present"])
    torch.testing.assert_close(taught, expected, rtol=5e-3, atol=5e-3)  # answers are kept in half precision
    assert (teacher_logits(module, plain, batch["present"]) - expected).abs().max() > 0.02


def test_what_is_hidden_from_the_student_says_nothing_but_the_shift(make_model, make_adata):
    model = make_model(make_adata(60))
    readings, batches = readings_of(model)
    module, batch = model.module, model._reference_cells()[np.arange(60)]
    plan, seen = a_plan(model, readings, hide_rate=0.5), {}
    module.student.towers[0][0].register_forward_hook(lambda layer, args, out: seen.update(x=dense(args[0])))
    *_, taught, partner, share = plan.outputs(batch)
    partner, share = partner.numpy(), share.numpy()[:, None]
    scaled = dense(module.scale(batch)["rna"]).numpy()
    factor, shift = np.ones_like(scaled), np.zeros_like(scaled)
    for each in batches:
        factor[each.cells] = each.changes["rna"].factor
        shift[each.cells] = each.changes["rna"].shift * module.scaling["rna"].weight.numpy()
    mixed = share * factor * scaled + (1 - share) * (factor * scaled)[partner]
    mixed = mixed * (seen["x"].numpy() != 0) + share * shift + (1 - share) * shift[partner]
    torch.testing.assert_close(taught, teacher_logits(module, {"rna": mixed}, batch["present"]), rtol=5e-3, atol=5e-3)


def test_cells_of_no_batch_are_read_as_they_are(model):
    readings, _ = readings_of(model)
    batch = model._reference_cells()[np.arange(30)]
    plain, other = (a_plan(model, own).outputs(batch)[-3] for own in (None, readings))
    torch.testing.assert_close(plain, other, rtol=1e-3, atol=1e-3)


def test_answers_that_come_again_are_those_of_the_changed_cells(model):
    readings, _ = readings_of(model)
    plan, batch = a_plan(model, readings, hide_rate=0.2), model._reference_cells()[np.arange(60)]
    first, again = plan.outputs(batch)[-3], plan.outputs(batch)[-3]
    assert not torch.allclose(first, a_plan(model, None, hide_rate=0.2).outputs(batch)[-3], atol=1e-2)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    plan.forget()
    torch.testing.assert_close(plan.outputs(batch)[-3], first, rtol=0, atol=0)
