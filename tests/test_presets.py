"""Presets: the paper's numbers, and that they reach the networks, the optimisers and the mini-batches."""

from __future__ import annotations

import dataclasses
import json
import math

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import plkd
from plkd import presets
from plkd.nn import Teacher, distillation_loss, mean_entropy_loss, released_divergence_loss

# Every number that the design gives for the release.
PAPER = {
    "patterns": {"min_size": 5, "max_size": None, "max_patterns": 299, "max_set_size": 300, "learned": False},
    "scaling": {"weight_power": 0.0},
    "teacher": {
        "n_free": 1,
        "width": 48,
        "depth": 2,
        "n_heads": 4,
        "mlp_ratio": 4.0,
        "dropout": 0.5,
        "attention_dropout": 0.5,
        "pattern_dropout": 0.0,
        "drop_path": 0.5,
        "tokenizer_bound": "all",
        "init_std": 0.01,
    },
    "student": {"n_hidden": (256, 128), "dropout": 0.1},
    "teacher_training": {
        "max_epochs": 10,
        "batch_size": 8,
        "lr": 1e-3,
        "weight_decay": 5e-5,
        "optimizer": "sgd",
        "schedule": "cosine",
        "balance": 1.0,
        "hide_rate": 0.0,
        "label_smoothing": 0.0,
        "keep_best": False,
        "divergence": "released",
        "divergence_weight": 1.0,
        "alignment_weight": 0.0,
    },
    "student_training": {
        "max_epochs": 10,
        "batch_size": 8,
        "lr": 1e-3,
        "weight_decay": 0.0,
        "optimizer": "adam",
        "schedule": "constant",
        "balance": 1.0,
        "hide_rate": 0.0,
        "label_smoothing": 0.0,
        "keep_best": False,
        "kd_weight": 0.5,
        "temperature": 4.0,
        "entropy": "released",
        "entropy_weight": 1.0,
        "alignment_weight": 0.0,
        "modality_alignment_weight": 0.0,
    },
}
LEAVES = [(part, name, value) for part, values in PAPER.items() for name, value in values.items()]


@pytest.mark.parametrize(("part", "name", "value"), LEAVES, ids=[f"{part}-{name}" for part, name, _ in LEAVES])
def test_paper_has_the_releases_number(part, name, value):
    assert getattr(getattr(presets.paper, part), name) == value


class TestPreset:
    def test_replace_changes_only_what_is_named_and_returns_a_new_one(self):
        changed = presets.paper.replace(teacher={"depth": 3}, student=None)
        assert changed.teacher.depth == 3
        assert changed.replace(teacher={"depth": 2}) == presets.paper
        assert presets.paper.teacher.depth == 2

    def test_unknown_parts_and_settings_are_refused_with_those_there_are(self):
        with pytest.raises(TypeError, match="'techer' is no part of a preset; expected one of .*'teacher'"):
            presets.paper.replace(techer={})
        with pytest.raises(
            TypeError, match=r"Unknown settings \['dpeth', 'wdith'\] for teacher; expected some of .*'depth'"
        ):
            presets.paper.replace(teacher={"wdith": 3, "dpeth": 2, "n_free": 1})

    def test_cannot_be_changed_by_accident(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            presets.paper.teacher = None
        with pytest.raises(dataclasses.FrozenInstanceError):
            presets.paper.teacher.depth = 3

    def test_widths_may_be_given_as_a_list(self):
        assert presets.paper.replace(student={"n_hidden": [256, 128]}) == presets.paper

    @pytest.mark.parametrize("name", ["default", "paper"])
    def test_survives_a_round_trip_through_json(self, name):
        preset = getattr(presets, name)
        assert presets.Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset
        assert presets.Preset.from_dict(preset.to_dict()) == preset


N_GENES = 400


@pytest.fixture(scope="module")
def teacher():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    members = [rng.permutation(N_GENES)[:size] for size in rng.integers(5, 200, size=30)]
    return Teacher({"rna": members}, {"rna": N_GENES}, 20, **vars(presets.paper.teacher)).requires_grad_(False)


class TestPaperNetworks:
    def test_tokenizer_starts_uniform_within_one_over_the_square_root_of_all_genes(self, teacher):
        bound = 1 / math.sqrt(N_GENES)
        (tokenizer,), (free,) = teacher.tokenizers, teacher.free
        for values in (tokenizer.weight, tokenizer.bias, free.weight):
            assert values.abs().max() <= bound
            assert values.abs().max() > 0.98 * bound
            assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert free.bias.abs().max() <= bound

    def test_linear_layers_start_truncated_normal_with_zero_biases(self, teacher):
        linear = [layer for block in teacher.blocks for layer in block.modules() if isinstance(layer, nn.Linear)]
        assert len(linear) == 8
        for layer in [*linear, teacher.head]:
            assert float(layer.weight.std()) == pytest.approx(0.01, rel=0.1)
            assert abs(float(layer.weight.mean())) < 0.001
            assert not layer.bias.any()

    def test_sizes(self, teacher):
        assert teacher.n_tokens == 31
        assert len(teacher.blocks) == 2
        assert {block.attention.n_heads for block in teacher.blocks} == {4}
        assert teacher.head.weight.shape == (20, 48)
        assert teacher.blocks[0].mlp[0].weight.shape == (192, 48)
        assert teacher.blocks[0].attention.qkv.bias is not None
        norms = [layer.eps for layer in teacher.modules() if isinstance(layer, nn.LayerNorm)]
        assert norms == [1e-6] * 5

    def test_dropout_reaches_every_place(self, teacher):
        assert [layer.p for layer in teacher.blocks.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 6
        assert [block.attention.attention_dropout for block in teacher.blocks] == [0.5, 0.5]

    @pytest.mark.parametrize(("depth", "rates"), [(1, [0]), (2, [0, 0.5]), (3, [0, 0.25, 0.5])])
    def test_stochastic_depth_grows_linearly_from_0(self, depth, rates):
        settings = {**vars(presets.paper.teacher), "depth": depth}
        teacher = Teacher({"rna": []}, {"rna": 5}, 2, **settings)
        assert [block.drop_path.rate for block in teacher.blocks] == pytest.approx(rates)


@pytest.fixture(scope="module")
def ref(make_adata):
    adata = make_adata(n_obs=60)
    plkd.PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    return adata


class TestPaperPatterns:
    def kept(self, ref, sets):
        return plkd.PLKD(ref, patterns=sets, preset=presets.paper).patterns.to_dict()

    def test_sizes_before_and_after_matching(self, ref):
        genes, foreign = list(ref.var_names), [f"FOREIGN{i}" for i in range(300)]
        sets = {
            "300 as given": genes[:10] + foreign[:290],
            "301 as given": genes[:10] + foreign[:291],
            "5 left": genes[20:25] + foreign[:20],
            "4 left": genes[30:34] + foreign[:20],
            "all": genes,
            "all again": genes,
        }
        assert set(self.kept(ref, sets)) == {"300 as given", "5 left", "all", "all again"}

    def test_the_299_largest_and_one_free_token(self, ref):
        rng = np.random.default_rng(0)
        sizes = np.append(rng.integers(6, 50, size=299), [5] * 10)
        sets = {f"s{i}": list(rng.choice(ref.var_names, size, replace=False)) for i, size in enumerate(sizes)}
        model = plkd.PLKD(ref, patterns=sets, preset=presets.paper)
        assert set(model.patterns.names) == {f"s{i}" for i in range(299)}
        assert model.module.teacher.n_tokens == 300


class Record(pl.Callback):
    """Keep the plan and optimiser of each phase, and the learning rate and size of every mini-batch."""

    def __init__(self):
        self.phases = []

    def on_train_start(self, trainer, pl_module):
        (optimizer,) = trainer.optimizers
        self.phases.append({"plan": pl_module, "optimizer": optimizer, "lr": [], "sizes": [], "trainer": trainer})

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        phase = self.phases[-1]
        phase["lr"] += [group["lr"] for group in phase["optimizer"].param_groups]
        phase["sizes"].append(len(batch["labels"]))

    def on_train_end(self, trainer, pl_module):
        phase = self.phases[-1]
        phase["epochs"] = trainer.current_epoch
        phase["last_lr"] = phase["optimizer"].param_groups[0]["lr"]
        phase["weights"] = {name: value.clone() for name, value in pl_module.network.state_dict().items()}


@pytest.fixture(scope="module")
def paper_run(ref, marker_sets):
    """A model trained by the paper preset, and what happened in both phases."""
    torch.manual_seed(0)
    model = plkd.PLKD(ref, patterns=marker_sets, preset=presets.paper)
    record = Record()
    model.train(callbacks=[record], accelerator="cpu", enable_progress_bar=False)
    return model, record.phases


class TestPaperTraining:
    def test_settings_reach_the_model(self, paper_run):
        teacher, student = paper_run[0].module.teacher, paper_run[0].module.student
        assert [block.drop_path.rate for block in teacher.blocks] == [0, 0.5]
        assert [block.attention.attention_dropout for block in teacher.blocks] == [0.5, 0.5]
        assert {layer.p for layer in teacher.blocks.modules() if isinstance(layer, nn.Dropout)} == {0.5}
        assert teacher.width == 48
        assert [layer.p for layer in student.modules() if isinstance(layer, nn.Dropout)] == [0.1, 0.1]
        assert student.towers[0][0].out_features == 256
        assert student.head.in_features == 128

    def test_cells_are_log1p_of_counts_per_ten_thousand_and_nothing_else(self, paper_run, ref):
        model = paper_run[0]
        counts = ref.X.toarray()
        scaled = model.module.scale(model._reference_cells()[np.arange(ref.n_obs)])["rna"]
        np.testing.assert_allclose(scaled, np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)), rtol=1e-5)

    def test_ten_epochs_of_mini_batches_of_eight_with_nothing_dropped(self, paper_run):
        model, phases = paper_run
        n_train = len(model.train_indices_)
        assert n_train % 8, "the last mini-batch must be smaller for this test to mean something"
        assert [type(phase["plan"]).__name__ for phase in phases] == ["TeacherPlan", "DistillationPlan"]
        for phase in phases:
            assert phase["epochs"] == 10
            assert phase["sizes"] == ([8] * (n_train // 8) + [n_train % 8]) * 10

    def test_teacher_learns_by_sgd_with_momentum_and_decay_on_every_parameter(self, paper_run):
        optimizer = paper_run[1][0]["optimizer"]
        assert type(optimizer) is torch.optim.SGD
        n_parameters = 0
        for group in optimizer.param_groups:
            assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-5, False)
            n_parameters += len(group["params"])
        assert n_parameters == len(list(paper_run[0].module.teacher.parameters()))

    def test_teachers_rate_falls_by_a_cosine_to_one_percent(self, paper_run):
        phase = paper_run[1][0]
        n = len(phase["sizes"])
        truth = [1e-3 * (0.01 + 0.99 * (1 + math.cos(math.pi * step / n)) / 2) for step in range(n)]
        assert phase["lr"] == pytest.approx(truth)
        assert phase["last_lr"] == pytest.approx(1e-5)

    def test_student_learns_by_adam_at_a_constant_rate_without_decay(self, paper_run):
        phase = paper_run[1][1]
        assert type(phase["optimizer"]) is torch.optim.Adam
        assert {group["weight_decay"] for group in phase["optimizer"].param_groups} == {0.0}
        assert set(phase["lr"]) == {1e-3}

    def test_the_last_epoch_is_kept(self, paper_run):
        model, (teacher, student) = paper_run
        for network, phase in ((model.module.teacher, teacher), (model.module.student, student)):
            for name, value in network.state_dict().items():
                assert torch.equal(value, phase["weights"][name])

    def test_teachers_loss_is_cross_entropy_plus_released_divergence(self, paper_run):
        model, phases = paper_run
        batch = model._reference_cells()[np.arange(10)]
        with torch.no_grad():
            plan = phases[0]["plan"].eval()
            parts = plan.training_loss(batch, *plan.outputs(batch))
            out = model.module.teacher(model.module.scale(batch), batch["present"])
            truth = F.cross_entropy(out.logits, batch["labels"]) + released_divergence_loss(out.latent, out.logits)
        assert set(parts) == {"loss", "ce_loss", "divergence_loss"}
        torch.testing.assert_close(parts["loss"], truth)

    def test_students_loss_is_half_labels_half_teacher_plus_self_entropy(self, paper_run):
        model, phases = paper_run
        batch = model._reference_cells()[model.train_indices_[:10]]
        with torch.no_grad():
            plan = phases[1]["plan"].eval()
            parts = plan.training_loss(batch, *plan.outputs(batch))
            x = model.module.scale(batch)
            taught, logits = model.module.teacher(x, batch["present"]).logits, model.module.student(x)[0]
            truth = (
                0.5 * F.cross_entropy(logits, batch["labels"])
                + 0.5 * distillation_loss(logits, taught, temperature=4.0)
                + mean_entropy_loss(logits)
            )
        assert set(parts) == {"loss", "ce_loss", "kd_loss", "entropy_loss"}
        torch.testing.assert_close(parts["loss"], truth)
