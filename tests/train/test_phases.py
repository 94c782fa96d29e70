"""One train(): the Teacher, then the Student, each with its history, its bounds and its best weights."""

from __future__ import annotations

import dataclasses
import logging
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plkd import presets
from plkd.data import Cells, Modality, Rows
from plkd.inference import run_student, run_teacher
from plkd.nn import dense
from plkd.train import DistillationPlan, ReferenceData, Split, TeacherPlan, warn_of_one_answer
from plkd.train._plan import mini_batch_size, phase_length, plan_arguments
from plkd.train._sampler import BalancedSampler


class Recorder(pl.Callback):
    """Keep a copy of what happens at each epoch's end, by phase."""

    def __init__(self):
        self.modes, self.weights, self.grads, self.trainable = [], [], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.modes.append((pl_module.phase, pl_module.network.training))
        teacher = pl_module.module.teacher
        self.grads.append((pl_module.phase, all(p.grad is None for p in teacher.parameters())))
        self.trainable.append((pl_module.phase, any(p.requires_grad for p in teacher.parameters())))

    def on_train_epoch_end(self, trainer, pl_module):
        state = {k: v.clone() for k, v in pl_module.module.state_dict().items()}
        self.weights.append((pl_module.phase, state))


def held_out_loss(model, phase: str, state: dict[str, torch.Tensor]) -> float:
    """Recompute the cross-entropy of the held-out cells from stored weights."""
    kept = {k: v.clone() for k, v in model.module.state_dict().items()}
    model.module.load_state_dict(state)
    cells, run = model._reference_cells(), {"student": run_student, "teacher": run_teacher}[phase]
    logits = run(
        dict(model.module.scaling.items()), getattr(model.module, phase), cells, model.validation_indices
    ).logits
    model.module.load_state_dict(kept)
    return float(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(cells.labels[model.validation_indices])))


@pytest.fixture(scope="module")
def recorded(make_model, train):
    recorder = Recorder()
    # A rate that overshoots, so that the last epoch is not the best.
    rates = {"teacher": {"lr": 0.2, "schedule": "constant"}, "student": {"lr": 2.0, "schedule": "constant"}}
    model = train(make_model(), 5, callbacks=[recorder], plan_kwargs=rates, early_stopping=False)
    return model, recorder


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_history_holds_the_scores_of_each_epoch_by_phase(recorded, phase):
    history = recorded[0].history
    learned = "kd_loss_train" if phase == "student" else "ce_loss_train"
    for name in ("loss_train", learned, "ce_loss_validation", "macro_f1_validation", "accuracy_validation"):
        frame = history[f"{phase}_{name}"]
        assert list(frame.index) == list(range(5))
        assert np.isfinite(frame.to_numpy()).all()
        assert frame.columns.dtype == object  # the type of text that both pandas 2 and 3 can unpickle
    assert f"{phase}_kd_loss_train" in history if phase == "student" else f"{phase}_alignment_loss_train" in history
    assert not [key for key in history if not key.startswith(("teacher_", "student_"))]


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_history_is_what_the_held_out_cells_say(recorded, phase):
    model, recorder = recorded
    logged = model.history[f"{phase}_ce_loss_validation"].iloc[:, 0].to_numpy()
    states = [state for which, state in recorder.weights if which == phase]
    np.testing.assert_allclose(logged, [held_out_loss(model, phase, state) for state in states], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_weights_of_the_best_epoch_are_kept(recorded, phase):
    model, recorder = recorded
    f1 = model.history[f"{phase}_macro_f1_validation"].iloc[:, 0].to_numpy()
    score = np.cumsum(f1) / np.arange(1, len(f1) + 1)
    np.testing.assert_allclose(model.history[f"{phase}_score_validation"].iloc[:, 0], score, rtol=1e-6)
    best = int(np.flatnonzero(score == score.max())[-1])
    error = np.sqrt(score[best] * (1 - score[best]) / len(model.validation_indices))
    best = len(score) - 1 if score[best] - score[-1] <= error else best
    kept, states = model.module.state_dict(), [state for which, state in recorder.weights if which == phase]
    names = [name for name in kept if name.startswith(f"{phase}.")]
    assert all(torch.equal(kept[name], states[best][name]) for name in names)


def test_the_trial_above_overshoots(recorded):
    """Else keeping the best weights and keeping the last would be the same."""
    model, _ = recorded
    ends = [model.history[f"{phase}_score_validation"].iloc[:, 0] for phase in ("teacher", "student")]
    assert any(np.argmax(values.to_numpy()) < 4 for values in ends)


def test_networks_train_in_training_mode(recorded):
    """Dropout acts only then."""
    model, recorder = recorded
    assert all(training for _, training in recorder.modes)
    assert {phase for phase, _ in recorder.modes} == {"teacher", "student"}
    assert not model.module.training


def test_teacher_is_frozen_while_the_student_learns(recorded):
    model, recorder = recorded
    states = [state for phase, state in recorder.weights if phase == "student"]
    kept = model.module.state_dict()
    for name in (name for name in kept if name.startswith("teacher.")):
        assert all(torch.equal(state[name], kept[name]) for state in states)
    assert all(none for phase, none in recorder.grads if phase == "student")
    assert not any(trainable for phase, trainable in recorder.trainable if phase == "student")
    assert all(trainable for phase, trainable in recorder.trainable if phase == "teacher")


def test_student_is_untouched_while_the_teacher_learns(recorded):
    states = [state for phase, state in recorded[1].weights if phase == "teacher"]
    for name in (name for name in states[0] if name.startswith("student.")):
        assert all(torch.equal(state[name], states[0][name]) for state in states)


def test_everything_is_trainable_again_afterwards(recorded):
    assert all(parameter.requires_grad for parameter in recorded[0].module.parameters())


def test_max_epochs_bounds_each_phase(make_model, train):
    history = train(make_model(), 3, early_stopping=False).history
    assert len(history["teacher_loss_train"]) == len(history["student_loss_train"]) == 3


def test_epochs_of_a_phase_can_be_set_apart(make_model, train):
    history = train(
        make_model(), None, plan_kwargs={"teacher": {"max_epochs": 1}, "student": {"max_epochs": 2}}
    ).history
    assert (len(history["teacher_loss_train"]), len(history["student_loss_train"])) == (1, 2)


def test_early_stopping_watches_the_held_out_macro_f1(make_model, train):
    """Without a learning rate nothing improves: training stops after ``patience`` epochs."""
    still = {"lr": 1e-12, "patience": 2, "schedule": "constant"}
    model = train(make_model(), 30, plan_kwargs={"teacher": still, "student": still})
    assert 3 <= len(model.history["teacher_loss_train"]) <= 8
    assert 3 <= len(model.history["student_loss_train"]) <= 8


def test_early_stopping_can_be_switched_off(make_model, train):
    still = {"lr": 1e-12, "patience": 1, "schedule": "constant"}
    model = train(make_model(), 6, plan_kwargs={"teacher": still, "student": still}, early_stopping=False)
    assert len(model.history["teacher_loss_train"]) == len(model.history["student_loss_train"]) == 6


def test_training_again_goes_on_and_appends_to_the_history(make_model, train):
    model = train(make_model(), 2)
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    first = model.history["teacher_loss_train"].iloc[:, 0].tolist()
    train(model, 3)
    values = model.history["teacher_loss_train"]
    assert list(values.index) == list(range(5))
    assert values.iloc[:2, 0].tolist() == first
    assert any(not torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    assert model.is_trained


def test_no_held_out_cells_train_all_epochs_without_scores(make_model, train):
    model = train(make_model(), 2, train_size=1.0)
    assert len(model.train_indices) + len(model.doubtful_indices) == 120
    assert len(model.validation_indices) == 0
    assert len(model.history["student_loss_train"]) == 2
    assert not [key for key in model.history if key.endswith("_validation")]
    assert "Trained" in repr(model)


def test_log_says_how_the_cells_were_split(make_model, train, caplog):
    with caplog.at_level(logging.INFO, logger="plkd"):
        train(make_model(), 1)
    assert "held out for validation, stratified by label" in caplog.text


def test_teacher_reads_the_mixtures_that_the_student_learns(make_model, train):
    """In evaluation mode, one mixture for each training cell and epoch."""
    model, asked = make_model(), []

    class Spy(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            asked.append(pl_module.phase)

        def on_train_end(self, trainer, pl_module):
            asked.append("end")

    def count(module, args, output):
        x = dense(args[0]["rna"])
        asked.append((module.training, float((x > 0).float().mean()), len(output.logits)))

    handle = model.module.teacher.register_forward_hook(count)
    train(model, 3, callbacks=[Spy()], plan_kwargs={"student": {"hide_rate": 0.0}})
    handle.remove()
    in_student = asked[asked.index("student") + 1 :]
    in_student = in_student[: in_student.index("end")]
    assert sum(n for _, _, n in in_student) == 3 * len(model.train_indices)
    assert not any(training for training, _, _ in in_student)
    cells = model._reference_cells()
    own = float((torch.from_numpy(cells.modalities["rna"].rows.read(model.train_indices).toarray()) > 0).float().mean())
    # Two cells have more genes that are not zero than one has.
    assert min(seen for _, seen, _ in in_student) > own


@pytest.mark.parametrize(
    ("asked", "n_train", "expected"),
    [(None, 50, 128), (None, 51_200, 128), (None, 102_400, 256), (None, 10**7, 1024), (8, 10**7, 8), (4000, 50, 4000)],
)
def test_mini_batches_grow_with_large_references(asked, n_train, expected):
    assert mini_batch_size(asked, n_train) == expected


def test_mini_batches_of_every_part_are_chosen_where_no_size_is_asked_for(make_adata, make_model, monkeypatch):
    monkeypatch.setattr("plkd.train._plan._BATCH", 8)
    monkeypatch.setattr("plkd.train._plan._STEPS_OF_EPOCH", 5)
    sizes, drawn = {"teacher": set(), "student": set()}, []

    class Spy(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            sizes[pl_module.phase].add(len(batch["labels"]))

    def watched(cells, labels, *, batch_size, balance):
        drawn.append((len(cells), batch_size))
        return BalancedSampler(cells, labels, batch_size=batch_size, balance=balance)

    monkeypatch.setattr("plkd.train._cross_fit.BalancedSampler", watched)
    model = make_model(make_adata(120), preset=presets.default.replace(confidence={"n_folds": 2}))
    asked = {"teacher": {"batch_size": 30}, "student": {"batch_size": None}}
    model.train(1, accelerator="cpu", enable_progress_bar=False, callbacks=[Spy()], plan_kwargs=asked)
    n_train = len(model.train_indices)
    assert max(sizes["teacher"]) == 30
    assert max(sizes["student"]) == n_train // 5 > 8
    assert [size for _, size in drawn] == [max(n // 5, 8) for n, _ in drawn]
    assert len(drawn) == 2


def test_rounds_of_mixtures_count_unlabelled_cells():
    n = 9000
    labels = np.where(np.arange(n) < 100, 0, -1)
    cells = Cells({"rna": Modality(Rows(np.ones((n, 1), dtype=np.float32)))}, n, labels=labels)
    parts = {"train": np.arange(100), "validation": np.arange(0), "test": np.arange(0), "unlabeled": np.arange(100, n)}
    for ratio, rounds in ((1.0, 267), (0.0, 164)):
        data = ReferenceData(cells, Split(**parts, note=""), batch_size=50, balance=0.0, unlabeled_ratio=ratio)
        data.repeat(seed=0, first_epoch=0)
        # Three times 8,900 cells, a hundred in an epoch; 16,384 mixtures of a hundred cells.
        assert data.sampler.n_rounds == rounds


@pytest.mark.parametrize(
    ("schedule", "step", "first_step", "share"),
    [
        ("one_cycle", 0, 0, 0.0),
        ("one_cycle", 5, 0, 0.5),
        ("one_cycle", 2, 6, 0.8),
        ("one_cycle", 60, 0, 1.0),
        ("constant", 0, 0, 1.0),
        ("cosine", 0, 0, 1.0),
    ],
)
def test_divergence_and_alignment_set_in_over_the_first_twentieth(make_model, schedule, step, first_step, share):
    model = make_model()
    settings = dataclasses.replace(presets.default.teacher_training, schedule=schedule)
    plan = TeacherPlan(
        model.module, **plan_arguments(TeacherPlan, settings, hide_rate=0.0, n_steps=200, first_step=first_step)
    )
    batch = model._reference_cells()[np.arange(60)]
    outputs = plan.outputs(batch)
    alone = plan.training_loss(batch, *outputs)
    plan._trainer = SimpleNamespace(global_step=step)
    parts = plan.training_loss(batch, *outputs)
    both = 0.1 * (parts["divergence_loss"] + parts["alignment_loss"])
    assert float(both) > 0
    torch.testing.assert_close(parts["loss"], parts["ce_loss"] + share * both)
    torch.testing.assert_close(alone["loss"], parts["ce_loss"] + both)  # outside of a run


def test_a_student_of_mixtures_has_more_epochs():
    assert phase_length(None, "student", 6) == (67, 402)
    assert phase_length(None, "distillation", 6) == (134, 804)
    assert phase_length(5, "distillation", 6) == (5, 30)


@pytest.mark.parametrize("kd_weight", [0.5, 1.0, 0.0])
def test_teacher_is_asked_once_for_each_training_cell(make_model, train, kd_weight):
    model, asked = make_model(), []

    class Spy(pl.Callback):
        def on_fit_start(self, trainer, pl_module):
            asked.append(pl_module.phase)

    def count(module, args, output):
        asked.append((module.training, len(output.logits)))

    handle = model.module.teacher.register_forward_hook(count)
    train(model, 3, callbacks=[Spy()], plan_kwargs={"student": {"kd_weight": kd_weight, "mixup": 0.0}})
    handle.remove()
    phases = [entry for entry in asked if isinstance(entry, str)]
    assert phases == (["teacher", "student"] if kd_weight else ["student"])
    # Once, in evaluation mode, right before the Student's phase; never within it.
    assert asked[-1] == "student"
    if kd_weight:
        assert asked[-2] == (False, len(model.train_indices))
    else:
        assert "teacher_loss_train" not in model.history
        assert "student_kd_loss_train" not in model.history


def test_student_of_a_full_kd_weight_needs_no_label_term(make_model, train):
    assert "student_ce_loss_train" not in train(make_model(), 1, plan_kwargs={"student": {"kd_weight": 1.0}}).history


@pytest.mark.parametrize(("batch_size", "n_cells"), [(9, 111), (1000, 60), (1, 12)])
def test_odd_mini_batches_train(make_adata, make_model, train, batch_size, n_cells):
    """A last mini-batch of one cell, a mini-batch larger than the data, mini-batches of one cell."""
    model = train(make_model(make_adata(n_cells)), 1, batch_size=batch_size, train_size=1.0)
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()
    assert np.isfinite(model.history["student_loss_train"].to_numpy()).all()


def test_one_last_cell_is_not_dropped(make_adata, make_model, train):
    seen = []

    class Spy(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append(len(batch["index"]))

    train(make_model(make_adata(41)), 1, batch_size=10, train_size=1.0, callbacks=[Spy()])
    assert seen == [10, 10, 10, 10, 1] * 2


def test_all_zero_cell_trains(make_adata, make_model, train):
    adata = make_adata(40, fmt="dense")
    adata.X[:2] = 0
    model = train(make_model(adata), 2)
    assert all(torch.isfinite(parameter).all() for parameter in model.module.parameters())
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


def test_unlabelled_cells_do_not_teach(make_adata, make_model, train):
    adata = make_adata(60)
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories("Unknown")
    adata.obs.iloc[:20, 0] = "Unknown"
    model = train(make_model(adata), 1)
    assert min(*model.train_indices, *model.validation_indices) >= 20
    assert "Unknown" not in model.predict(soft=True).columns
    assert len(model.predict()) == 60


def test_single_batch_trains_without_alignment(make_model, train):
    assert "teacher_alignment_loss_train" not in train(make_model(batch_key=None), 1).history


def test_trains_in_the_precision_of_a_gpu(make_model, train):
    """Mixed bfloat16 is the default there; clipping and a fused optimiser must not refuse each other."""
    model = train(make_model(), 2, precision="bf16-mixed")
    assert np.isfinite(model.history["student_loss_train"].to_numpy()).all()


#: Settings that are the loader's or the trainer's, and no argument of a plan.
NOT_OF_PLANS = {"max_epochs", "batch_size", "balance", "unlabeled_ratio", "clip_norm", "keep_best", "patience"}


@pytest.mark.parametrize(
    ("plan", "settings", "others"),
    [
        (TeacherPlan, presets.TeacherTraining(), NOT_OF_PLANS),
        (DistillationPlan, presets.StudentTraining(), {*NOT_OF_PLANS, "self_training"}),
    ],
)
def test_every_setting_of_a_phase_reaches_its_plan_or_is_known_to_go_elsewhere(plan, settings, others):
    found = plan_arguments(plan, settings, lr=7.0, n_steps=5)
    assert set(found) == set(vars(settings)) - others | {"n_steps"}
    assert {name: vars(settings)[name] for name in found if name not in ("lr", "n_steps")} == {
        name: value for name, value in found.items() if name not in ("lr", "n_steps")
    }
    assert (found["lr"], found["n_steps"]) == (7.0, 5)


class LossesOfSteps(pl.Callback):
    """Keep the parts of the loss of each step with its number of cells, and what callbacks see at the end of each epoch."""

    def __init__(self, *, stop_after: int | None = None):
        self.epochs: list[list[tuple[dict[str, float], int]]] = []
        self.seen: list[float] = []
        self.stop_after = stop_after

    def on_fit_start(self, trainer, pl_module):
        losses = pl_module.losses

        def recorded(batch):
            parts = losses(batch)
            self.epochs[-1].append(
                ({name: float(value.detach()) for name, value in parts.items()}, len(batch["labels"]))
            )
            return parts

        pl_module.losses = recorded

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append([])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.stop_after == sum(map(len, self.epochs)):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer, pl_module):
        self.seen.append(float(trainer.callback_metrics["train_loss"]))


@pytest.mark.parametrize(
    ("stop_after", "limits", "sizes"),
    [
        (None, {}, [32, 32, 32, 12]),
        (6, {}, [32, 32]),
        (None, {"max_steps": 7}, [32, 32, 32]),
        (None, {"limit_train_batches": 3}, [32, 32, 32]),
    ],
)
def test_losses_of_an_epoch_are_means_over_its_cells(make_model, train, stop_after, limits, sizes):
    """Of an epoch that is cut short too, and callbacks see them at its end."""
    steps = LossesOfSteps(stop_after=stop_after)
    plain = presets.default.replace(confidence={"n_folds": 0})
    model = train(make_model(preset=plain), 2, callbacks=[steps], **limits)
    of_teacher = steps.epochs[:2]
    assert [n_obs for _, n_obs in of_teacher[1]] == sizes
    for name in of_teacher[0][0][0]:
        expected = [np.average([p[name] for p, _ in e], weights=[n for _, n in e]) for e in of_teacher]
        np.testing.assert_allclose(model.history[f"teacher_{name}_train"].iloc[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(steps.seen[:2], model.history["teacher_loss_train"].iloc[:, 0], rtol=1e-6)


@pytest.mark.parametrize(("bias", "phase"), [(50.0, "teacher"), (0.0, None)])
def test_a_network_that_calls_all_cells_by_one_label_is_told(make_model, train, caplog, bias, phase):
    class Stuck(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            if pl_module.phase == "teacher":
                pl_module.network.head.bias.data[0] += bias

    with caplog.at_level(logging.WARNING, logger="plkd"):
        train(
            make_model(),
            13,
            callbacks=[Stuck()],
            plan_kwargs={"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}},
            batch_size=16,
        )
    told = [record.getMessage() for record in caplog.records if "by one label" in record.getMessage()]
    assert [message.split()[1] for message in told][:1] == ([phase] if phase else [])
    assert all("alignment_weight" in message and "3 labels" in message for message in told)


def test_cells_of_one_label_may_all_be_called_so(caplog):
    with caplog.at_level(logging.WARNING, logger="plkd"):
        warn_of_one_answer(np.eye(3)[[1, 1]], np.array([1, 1]), "teacher")
    assert not caplog.records


@pytest.mark.parametrize(("n_genes", "expected"), [(60, [0.0, 0.0]), (600, [0.1, 0.25])])
def test_genes_are_hidden_from_training_where_there_are_many(make_adata, make_model, train, n_genes, expected):
    rates = []

    class Spy(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            rates.append(pl_module.hide_rate)

    train(make_model(make_adata(n_genes=n_genes)), 1, callbacks=[Spy()])
    assert rates == expected
