"""What the Student learns on mixtures of two cells."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from plkd.nn import dense
from plkd.train import DistillationPlan
from plkd.train._plan import n_rounds


def make_plan(model, **settings):
    """A plan that only counts: nothing hidden, no smoothing."""
    defaults = {"kd_weight": 1.0, "temperature": 1.0, "mixup": 1.0}
    defaults |= {"alignment_weight": 0.0, "modality_alignment_weight": 0.0}
    return DistillationPlan(
        model.module,
        None,
        torch.full((model.module.n_labels,), 1 / model.module.n_labels),
        entropy="prior",
        entropy_weight=0.0,
        label_smoothing=0.0,
        n_steps=1,
        lr=1e-3,
        weight_decay=0.0,
        optimizer="adamw",
        schedule="constant",
        hide_rate=0.0,
        **{**defaults, **settings},
    )


@pytest.fixture
def cells(make_adata):
    """60 labelled cells and 30 unlabelled ones."""
    adata = make_adata(90)
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories("Unknown")
    adata.obs.iloc[60:, 0] = "Unknown"
    return adata


@pytest.fixture
def partly(cells, make_model):
    """A model of these cells, dropout off."""
    return make_model(cells, student_kwargs={"n_hidden": (16, 8), "dropout": 0.0})


@pytest.mark.parametrize(("kd_weight", "temperature"), [(1.0, 1.0), (0.25, 2.0)])
def test_losses_of_mixtures_are_those_computed_by_hand(partly, kd_weight, temperature):
    model, plan = partly, make_plan(partly, kd_weight=kd_weight, temperature=temperature)
    cells = model._reference_cells()
    batch = cells[np.arange(cells.n_obs)]
    out = plan.outputs(batch)
    parts = {name: float(value) for name, value in plan.training_loss(batch, *out).items()}
    partner, share = (each.numpy() for each in out[-2:])
    x = dense(model.module.scale(batch)["rna"]).numpy()
    mixed = {"rna": torch.from_numpy(share[:, None] * x + (1 - share)[:, None] * x[partner])}
    with torch.no_grad():
        student = model.module.student(mixed)[0].double().numpy()
        teacher = model.module.teacher.eval()(mixed, batch["present"]).logits.double().numpy()
    p, q = softmax(teacher / temperature, axis=1), softmax(student / temperature, axis=1)
    kd = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    assert parts["kd_loss"] == pytest.approx(kd, rel=1e-3)
    if kd_weight == 1:
        assert set(parts) == {"loss", "kd_loss"}
        return
    each, weight, labels = -log_softmax(student, axis=1), 0.0, cells.labels
    ce = 0.0
    for i in range(90):
        for cell, own in ((i, share[i]), (partner[i], 1 - share[i])):
            if labels[cell] >= 0:
                ce, weight = ce + own * each[i, labels[cell]], weight + own
    assert parts["ce_loss"] == pytest.approx(ce / weight, rel=1e-4)
    assert parts["loss"] == pytest.approx(0.75 * ce / weight + 0.25 * kd, rel=1e-3)


def test_the_teacher_reads_what_the_student_does(partly):
    """With the same features hidden: what it says of others would be another function's answer."""
    read = {}
    teacher, tower = partly.module.teacher, partly.module.student.towers[0][0]
    teacher.register_forward_hook(lambda module, args, out: read.update(teacher=dense(args[0]["rna"])))
    tower.register_forward_hook(lambda module, args, out: read.update(student=dense(args[0])))
    batch = partly._reference_cells()[np.arange(90)]
    plan = make_plan(partly)
    plan.hide_rate = 0.5
    plan.outputs(batch)
    torch.testing.assert_close(read["teacher"], read["student"])
    plan.hide_rate = 0.0
    plan.forget()
    kept = (read["student"] > 0).float().mean()
    plan.outputs(batch)
    assert kept < 0.7 * (read["student"] > 0).float().mean()


def test_a_mini_batch_that_comes_again_is_mixed_as_before_and_not_read_again(partly):
    answered, read = [], []
    partly.module.teacher.register_forward_hook(lambda module, args, out: answered.append(out.logits))
    partly.module.student.towers[0][0].register_forward_hook(lambda module, args, out: read.append(dense(args[0])))
    cells, plan = partly._reference_cells(), make_plan(partly)
    plan.hide_rate = 0.3
    first, other, again = (
        plan.outputs(cells[order]) for order in (np.arange(90), np.arange(90)[::-1].copy(), np.arange(90))
    )
    assert len(answered) == 2
    torch.testing.assert_close(read[0], read[2], rtol=0, atol=0)
    for one, two in zip(first[-3:], again[-3:], strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    torch.testing.assert_close(first[-3], answered[0], rtol=1e-3, atol=1e-3)
    # Another order is another mini-batch.
    assert not torch.equal(first[-1], other[-1])
    assert not torch.equal(first[-3], other[-3].flip(0))


def test_mixtures_follow_from_the_seed_and_leave_other_draws_alone(partly):
    batch = partly._reference_cells()[np.arange(90)]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    share = make_plan(partly).outputs(batch)[-1]
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)
    torch.testing.assert_close(make_plan(partly).outputs(batch)[-1], share, rtol=0, atol=0)
    assert not torch.equal(make_plan(partly, seed=1).outputs(batch)[-1], share)


def test_answers_beyond_half_precision_stay_numbers(partly):
    partly.module.teacher.head.weight.data *= 1e8
    plan, batch = make_plan(partly), partly._reference_cells()[np.arange(90)]
    assert torch.isfinite(plan.training_loss(batch, *plan.outputs(batch))["loss"])


@pytest.mark.parametrize(
    ("n_train", "n_unlabeled", "ratio", "rounds"),
    [
        (500, 0, 1.0, 33),
        (16_384, 0, 1.0, 4),
        (10**6, 0, 1.0, 4),
        (2000, 20_000, 1.0, 30),
        (2000, 20_000, 2.0, 15),
        (2000, 20_000, 0.0, 9),
    ],
)
def test_mixtures_come_again_once_the_cells_have_come(n_train, n_unlabeled, ratio, rounds):
    assert n_rounds(n_train, n_unlabeled, ratio) == rounds


def test_the_teacher_reads_each_round_once_and_dropout_goes_on(make_adata, make_model, monkeypatch):
    monkeypatch.setattr("plkd.train._plan._MIXTURES", 1)
    model, latents, calls = make_model(make_adata(90)), [], []

    class Watch(pl.Callback):
        def on_train_epoch_start(self, trainer, plan):
            if plan.phase == "student" and trainer.current_epoch == 0:
                plan.module.teacher.register_forward_hook(lambda module, args, out: calls.append(trainer.current_epoch))
                plan.module.student.head.register_forward_hook(self.note)

        def note(self, head, args, out):
            if head.training:
                latents.append(args[0].detach() == 0)

    model.train(
        max_epochs=9,
        callbacks=[Watch()],
        batch_size=40,
        enable_progress_bar=False,
        plan_kwargs={"student": {"lr": 1e-6, "keep_best": False}},
    )
    n_steps = -(-len(model.train_indices) // 40)
    assert calls == [epoch for epoch in range(4) for _ in range(n_steps)]
    # The same cells in the same order, the same network, other values dropped.
    assert len(latents) == 9 * n_steps
    assert latents[0].shape == latents[4 * n_steps].shape
    assert not torch.equal(latents[0], latents[4 * n_steps])
    plan = model.trainer.lightning_module
    assert plan.answers == plan.mixtures == {}


def test_what_is_kept_of_mixtures_is_what_would_be_read_again(partly, monkeypatch):
    cells = partly._reference_cells()
    batches = [cells[np.arange(start, start + 30)] for start in (0, 30, 60)]
    plan = make_plan(partly)
    plan.hide_rate = 0.2
    first = [plan.outputs(batch) for batch in batches]
    assert len(plan.mixtures) == 3
    monkeypatch.setattr(partly.module, "scale", None)  # nothing is scaled, mixed or hidden again
    for batch, truth in zip(batches, first, strict=True):
        for own, other in zip(plan.outputs(batch), truth, strict=True):
            torch.testing.assert_close(own, other, rtol=0, atol=0)


def test_mixtures_are_kept_as_far_as_there_is_room(partly, monkeypatch):
    cells = partly._reference_cells()
    batches = [cells[np.arange(start, start + 30)] for start in (0, 30, 60)]
    one = 30 * 60 * 4
    monkeypatch.setattr("plkd.train._distillation_plan._KEPT", 2 * one)
    monkeypatch.setattr("plkd.train._augment._FULL", 0.0)  # all are dense
    plan = make_plan(partly)
    truth = [plan.outputs(batch)[0] for batch in batches]
    assert len(plan.mixtures) == 2
    assert len(plan.answers) == 3
    for batch, logits in zip(batches, truth, strict=True):
        torch.testing.assert_close(plan.outputs(batch)[0], logits, rtol=0, atol=0)
    plan.forget()
    assert plan.answers == plan.mixtures == {}
    plan.outputs(batches[2])
    assert len(plan.mixtures) == 1


def _sure_of_some(model, batch):
    """Scale the Student's logits so that half of the unlabelled cells have a label with more than half of the probability."""
    head, unlabelled = model.module.student.eval().head, batch["labels"] < 0
    with torch.no_grad():
        logits = model.module.student(model.module.scale(batch))[0][unlabelled]
        factors = np.geomspace(1e-2, 1e4, 200)
        likeliest = [float((factor * logits).softmax(dim=1).max(dim=1).values.median()) for factor in factors]
        factor = factors[np.searchsorted(likeliest, 0.5)]
        head.weight.mul_(factor)
        head.bias.mul_(factor)
    model.module.student.train()


def test_the_cells_themselves_are_aligned_where_the_teacher_reads_mixtures(partly, monkeypatch):
    """A mixture is of two labels and two batches."""
    seen = []

    def note(latent, probabilities, group, *, within):
        seen.append((latent, probabilities, group))
        return latent.sum() * 0

    monkeypatch.setattr("plkd.train._distillation_plan.alignment_loss", note)
    cells = partly._reference_cells()
    batch = cells[np.arange(90)]
    _sure_of_some(partly, batch)
    plan = make_plan(partly, alignment_weight=1.0)
    plan.training_loss(batch, *plan.outputs(batch))
    ((latent, probabilities, group),) = seen
    student, x = partly.module.student.eval(), partly.module.scale(batch)
    torch.testing.assert_close(latent, student.projected(x)[0])
    guessed = softmax(student(x)[0].detach().numpy(), axis=1)
    sure = guessed.max(axis=1, keepdims=True) >= 0.5
    known = cells.labels[:, None] >= 0
    assert 0 < sure[~known].sum() < (~known).sum()
    chances = np.where(known, cells.labels[:, None] == np.arange(3), np.where(sure, guessed, 0))
    np.testing.assert_allclose(probabilities, chances, atol=1e-5)
    np.testing.assert_array_equal(group, cells.batch)


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_what_is_aligned_has_hidden_features_and_no_noise_of_the_last_dropout(make_model, cells, mixup):
    model = make_model(cells, student_kwargs={"n_hidden": (6,), "dropout": 0.5})
    batch = model._reference_cells()[np.arange(90)]
    plan = make_plan(model, alignment_weight=1.0, mixup=mixup, kd_weight=0.0).train()
    student, x = model.module.student, model.module.scale(batch)
    linear = student.projected(x)[0]
    _, _, aligned, guessed, *_ = plan.outputs(batch)
    assert student.training
    torch.testing.assert_close(aligned, linear)
    torch.testing.assert_close(guessed, student.head(student.activated([linear], dropout=False)[0]))
    plan.hide_rate = 0.5
    _, _, aligned, guessed, *_ = plan.outputs(batch)
    assert not torch.allclose(aligned, linear)
    torch.testing.assert_close(guessed, student.head(student.activated([aligned], dropout=False)[0]))


def test_what_is_aligned_is_of_single_precision(partly):
    batch = partly._reference_cells()[np.arange(90)]
    with torch.autocast("cpu", torch.bfloat16):
        _, _, aligned, guessed, *_ = make_plan(partly, alignment_weight=1.0).outputs(batch)
    assert aligned.dtype == guessed.dtype == torch.float32
