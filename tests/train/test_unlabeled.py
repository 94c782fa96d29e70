"""Unlabelled cells of the reference teach where they can, and change nothing where there are none."""

from __future__ import annotations

import functools

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from plkd.inference import run_teacher as _run_teacher
from plkd.train import DistillationPlan

BOTH = ("teacher", "student")


class Seen(pl.Callback):
    """Keep the cell numbers of each training mini-batch, by phase."""

    def __init__(self):
        self.batches = {phase: [] for phase in BOTH}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches[pl_module.phase].append(batch["index"].numpy())


@pytest.fixture
def partly(make_adata):
    """Cells of which the last third, a batch of its own, has no label."""
    adata = make_adata(90)
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str)
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    adata.obs.loc[adata.obs_names[60:], ["cell_type", "batch"]] = ["Unknown", "query"]
    return adata


@pytest.mark.parametrize("ratio", [0.0, 0.5])
@pytest.mark.parametrize("own_batch", [False, True], ids=["among labelled cells", "batch of its own"])
def test_unlabelled_cells_join_mini_batches_the_teachers_where_their_batch_has_labels(
    make_model, train, partly, ratio, own_batch
):
    if not own_batch:
        partly.obs["batch"] = "one"
    seen = Seen()
    settings = {"unlabeled_ratio": ratio}
    train(make_model(partly), 2, callbacks=[seen], plan_kwargs=dict.fromkeys(BOTH, settings))
    for phase in BOTH:
        expected = 0.0 if own_batch and phase == "teacher" else ratio
        for cells in seen.batches[phase]:
            n_unlabelled = (cells >= 60).sum()
            assert n_unlabelled == round(expected * (len(cells) - n_unlabelled))


def test_a_teacher_sees_of_several_batches_without_labels_those_that_have_some(make_model, train, partly):
    batches = np.where(np.arange(90) % 2, "first", "second").astype(object)
    batches[75:] = "query"
    partly.obs["batch"] = batches
    seen = Seen()
    train(make_model(partly), 4, callbacks=[seen])
    of = {phase: np.unique(np.concatenate(seen.batches[phase])) for phase in BOTH}
    assert set(of["teacher"]) & set(range(60, 90)) == set(range(60, 75))
    assert set(of["student"]) >= set(range(60, 90))


def test_a_teacher_sees_no_cell_of_a_batch_whose_labelled_cells_are_held_out(make_model, train, partly):
    batches = np.where(np.arange(90) < 80, "kept", "other")
    batches[:10] = "other"
    partly.obs["batch"] = batches
    seen = Seen()
    held_out = {"external_indexing": [np.arange(10, 60), np.arange(10)]}
    train(make_model(partly), 4, callbacks=[seen], datasplitter_kwargs=held_out)
    of = {phase: np.unique(np.concatenate(seen.batches[phase])) for phase in BOTH}
    unlabelled = {phase: {cell for cell in of[phase] if cell >= 60} for phase in BOTH}
    assert unlabelled == {"teacher": set(range(60, 80)), "student": set(range(60, 90))}
    assert not set(range(10)) & (set(of["teacher"]) | set(of["student"]))


def test_a_single_batch_is_not_aligned(make_model, train, partly):
    del partly.obs["batch"]
    history = train(make_model(partly, batch_key=None), 1).history
    assert not any("alignment_loss" in name for name in history)


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_what_the_teacher_says_of_the_cells_themselves_stands_for_their_labels(
    make_model, train, partly, monkeypatch, mixup
):
    given = []
    start = DistillationPlan.__init__

    @functools.wraps(start)
    def noting(self, module, teacher_logits, *args, **kwargs):
        given.append(teacher_logits)
        start(self, module, teacher_logits, *args, **kwargs)

    monkeypatch.setattr(DistillationPlan, "__init__", noting)
    model = train(make_model(partly), 1, plan_kwargs={"student": {"mixup": mixup}})
    said = model.predict(partly, soft=True, model="teacher").to_numpy().argmax(axis=1)
    logits = given[-1].numpy()
    asked = np.arange(60, 90) if mixup else np.union1d(model.train_indices, np.arange(60, 90))
    np.testing.assert_array_equal(np.flatnonzero(logits.any(axis=1)), asked)
    np.testing.assert_array_equal(logits[asked].argmax(axis=1), said[asked])


def test_the_teacher_is_not_asked_of_cells_where_nothing_is_aligned(make_model, train, partly, monkeypatch):
    asked = []
    monkeypatch.setattr("plkd.model._phases.run_teacher", lambda *args: asked.append(args) or _run_teacher(*args))
    train(make_model(partly), 1, plan_kwargs={"student": {"alignment_weight": 0.0}})
    numbers = [set(args[3].tolist()) for args in asked]
    assert numbers  # the gains of the held-out cells
    assert not any(cells & set(range(60, 90)) for cells in numbers)


def test_labels_of_the_reference_alone_are_known(make_model, train, partly):
    model = train(make_model(partly), 1)
    assert "Unknown" not in model.labels
    assert (model.train_indices < 60).all()
    assert (model.validation_indices < 60).all()


def test_without_unlabelled_cells_nothing_changes(make_model, train):
    states = [
        train(make_model(), plan_kwargs={phase: {"unlabeled_ratio": ratio} for phase in BOTH}).module.state_dict()
        for ratio in (0.0, 2.0)
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_text_in_the_place_of_a_label_teaches_nothing(make_model, train, partly):
    """Unlabelled cells count by what the Teacher says of them; whatever their label was cannot be known."""
    model = train(make_model(partly), 2)
    assert (model._reference_cells().labels[60:] == -1).all()


def student_plan(model, logits, **weights):
    """A plan that only counts: nothing hidden, no smoothing, dropout off."""
    shares = torch.full((model.module.n_labels,), 1 / model.module.n_labels)
    defaults = dict.fromkeys(("kd_weight", "alignment_weight", "modality_alignment_weight", "entropy_weight"), 0.0)
    return DistillationPlan(
        model.module,
        logits,
        shares,
        temperature=2.0,
        entropy="prior",
        label_smoothing=0.0,
        n_steps=1,
        lr=1e-3,
        weight_decay=0.0,
        optimizer="adamw",
        schedule="constant",
        hide_rate=0.0,
        **{**defaults, **weights},
    )


def losses(model, plan):
    """Return the parts of the loss of all cells, the cells and the Student's latents by modality, and its last linear layers."""
    cells = model._reference_cells()
    batch = cells[np.arange(cells.n_obs)]
    parts = plan.training_loss(batch, *plan.outputs(batch))
    student, x = model.module.student, model.module.scale(batch)
    latents = [z.detach().double().numpy() for z in student.alone(x)]
    linear = [z.detach().double().numpy() for z in student.projected(x)]
    return {name: float(value) for name, value in parts.items()}, cells, latents, linear


def test_the_student_learns_labels_where_there_are_some_and_the_teacher_everywhere(make_model, partly):
    model = make_model(partly, student_kwargs={"n_hidden": (16, 8), "dropout": 0.0})
    taught = np.random.default_rng(0).normal(size=(90, 3))
    parts, cells, (latent,), _ = losses(
        model, student_plan(model, torch.tensor(taught, dtype=torch.float32), kd_weight=0.25, entropy_weight=0.5)
    )
    head = model.module.student.head
    logits = latent @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    ce = -log_softmax(logits, axis=1)[np.arange(60), cells.labels[:60]].mean()
    p, q = softmax(taught / 2, axis=1), softmax(logits / 2, axis=1)
    kd = 4 * (p * np.log(p / q)).sum(axis=1).mean()
    mean = softmax(logits[:60], axis=1).mean(axis=0)
    prior = (mean * np.log(mean * 3)).sum()
    assert parts["ce_loss"] == pytest.approx(ce, rel=1e-4)
    assert parts["kd_loss"] == pytest.approx(kd, rel=1e-4)
    assert parts["entropy_loss"] == pytest.approx(prior, rel=1e-3)
    assert parts["loss"] == pytest.approx(0.75 * ce + 0.25 * kd + 0.5 * prior, rel=1e-4)


def naive_alignment(latent, probabilities, group):
    """Unbiased squared discrepancy of pairs of groups, averaged by label, then over labels."""
    squared = np.square(latent[:, None] - latent[None]).sum(axis=-1)
    likeliest = probabilities.argmax(axis=1)
    same = np.sort(squared[np.triu(likeliest[:, None] == likeliest, 1)])
    s = np.exp(-squared / (2 * same[(len(same) - 1) // 2]))

    def within(w):
        return (w @ s @ w - (w**2).sum()) / (1 - (w**2).sum())

    of_labels = []
    for label in range(probabilities.shape[1]):
        weights = [np.where(group == own, probabilities[:, label], 0) for own in np.unique(group)]
        weights = [w / w.sum() for w in weights if w.sum() >= 1 and w.sum() ** 2 >= 2 * (w**2).sum()]
        of_pairs = [within(a) + within(b) - 2 * a @ s @ b for i, a in enumerate(weights) for b in weights[i + 1 :]]
        of_labels += [np.mean(of_pairs)] if of_pairs else []
    return np.mean(of_labels) if of_labels else 0.0


@pytest.mark.parametrize("kd_weight", [0.5, 0.0], ids=["with a Teacher", "alone"])
def test_the_student_aligns_batches_of_each_modality_and_modalities_by_guesses_of_the_teacher_or_its_own(
    make_joint_model, make_mdata, kd_weight
):
    mdata = make_mdata(60, mosaic=True)
    labels = mdata.obs["cell_type"].astype(str)
    labels.iloc[::3] = "Unknown"
    mdata.obs["cell_type"] = labels
    model = make_joint_model(mdata, student_kwargs={"n_hidden": (16, 8), "dropout": 0.0})
    taught = np.random.default_rng(0).normal(0, 2, size=(60, 3))
    weights = {"kd_weight": kd_weight, "alignment_weight": 2.0, "modality_alignment_weight": 3.0}
    plan = student_plan(model, torch.tensor(taught, dtype=torch.float32) if kd_weight else None, **weights)
    model.module.student.head.weight.data *= 10  # so that it is sure of some
    parts, cells, latents, linear = losses(model, plan)
    known = cells.labels >= 0
    assert 0 < known.sum() < 60
    head = model.module.student.head
    seen, n_sure = [], 0
    for name, latent, points in zip(model.module.modalities, latents, linear, strict=True):
        own = latent @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        guessed = softmax(taught if kd_weight else own, axis=1)
        has, sure = cells.modalities[name].measured(60), guessed.max(axis=1) >= 0.5
        part = has & (known | sure)
        n_sure += (part & ~known).sum()
        chances = np.where(known[:, None], cells.labels[:, None] == np.arange(3), guessed)
        seen.append((points[part], chances[part], cells.batch[part]))
    assert 0 < n_sure < len(seen) * (~known).sum()
    batches = np.mean([naive_alignment(*each) for each in seen])
    points, chances, _ = map(np.concatenate, zip(*seen, strict=True))
    modalities = naive_alignment(points, chances, np.repeat(np.arange(len(seen)), [len(each[0]) for each in seen]))
    assert min(abs(batches), abs(modalities)) > 0.001
    assert parts["alignment_loss"] == pytest.approx(batches, rel=1e-3, abs=1e-5)
    assert parts["modality_loss"] == pytest.approx(modalities, rel=1e-3, abs=1e-5)
    other = 0.5 * parts["ce_loss"] + 0.5 * parts["kd_loss"] if kd_weight else parts["ce_loss"]
    assert parts["loss"] == pytest.approx(other + 2 * batches + 3 * modalities, rel=1e-3)


@pytest.mark.parametrize("partial", [False, True], ids=["labels", "some labels"])
def test_modalities_are_aligned_always_and_their_batches_beside_unlabelled_cells(
    make_joint_model, make_mdata, train, partial
):
    mdata = make_mdata(60)
    if partial:
        mdata.obs["cell_type"] = np.where(np.arange(60) % 3, mdata.obs["cell_type"].astype(str), "Unknown")
    history = train(make_joint_model(mdata), 1).history
    assert "student_modality_loss_train" in history
    assert ("student_alignment_loss_train" in history) == partial


@pytest.mark.parametrize("settings", [{}, {"unlabeled_ratio": 0.0}], ids=["with", "without"])
def test_the_student_aligns_batches_of_one_modality_where_unlabelled_cells_take_part(
    make_model, train, partly, settings
):
    history = train(make_model(partly), 1, plan_kwargs={"student": settings}).history
    assert ("student_alignment_loss_train" in history) == (not settings)


def test_labelled_cells_of_one_modality_learn_as_if_there_were_no_alignment(make_model, train):
    states = [
        train(make_model(), plan_kwargs={"student": {"alignment_weight": weight}}).module.state_dict()
        for weight in (0.0, 5.0)
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
