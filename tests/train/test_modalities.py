"""Several modalities in one Student: each learns as if it were the only one, and a run can be interrupted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mudata import MuData
from scipy.special import log_softmax, softmax

from plkd.train import DistillationPlan

STILL = {"lr": 1e-12, "schedule": "constant"}


@pytest.fixture
def plan(make_joint_model, make_mdata):
    """A plan that only counts, on a mosaic: nothing hidden, no smoothing, no Teacher, dropout off."""
    model = make_joint_model(make_mdata(60, mosaic=True), student_kwargs={"n_hidden": (16, 8), "dropout": 0.0})
    shares = torch.full((model.module.n_labels,), 1 / model.module.n_labels)
    plan = DistillationPlan(
        model.module,
        None,
        shares,
        kd_weight=0.0,
        temperature=1.0,
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
        hide_rate=0.0,
    )
    return plan, model


def test_the_loss_is_the_mean_over_cells_and_the_modalities_they_have(plan):
    plan, model = plan
    cells = model._reference_cells()
    batch = cells[np.arange(cells.n_obs)]
    batch["index"] = torch.arange(cells.n_obs)
    loss = plan.training_loss(batch, *plan.outputs(batch))["loss"].item()
    student, labels = model.module.student, cells.labels
    weight, bias = student.head.weight.detach().numpy(), student.head.bias.detach().numpy()
    each = []
    for name, latent in zip(student.modalities, student.alone(model.module.scale(batch)), strict=True):
        here = cells.modalities[name].measured(cells.n_obs)
        assert 0 < here.sum() < cells.n_obs
        logits = latent.detach().numpy()[here] @ weight.T + bias
        each.append(-log_softmax(logits, axis=1)[np.arange(here.sum()), labels[here]])
    assert loss == pytest.approx(np.concatenate(each).mean(), rel=1e-5)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_the_bias_starts_at_the_label_shares_that_are_drawn(make_joint_model, make_mdata, train, balance):
    mdata = make_mdata(120)
    labels = mdata.obs["cell_type"].astype(str).to_numpy()
    common = np.flatnonzero(labels == labels[0])
    rare = np.flatnonzero(labels != labels[0])[::4]
    uneven = MuData({name: adata.copy() for name, adata in mdata[np.r_[common, rare]].mod.items()})
    uneven.obs["cell_type"] = mdata.obs["cell_type"].loc[uneven.obs_names].astype(str)
    uneven.obs["batch"] = mdata.obs["batch"].loc[uneven.obs_names]
    plans = {"student": {**STILL, "balance": balance, "kd_weight": 0.0}}
    model = train(make_joint_model(uneven), 1, plan_kwargs=plans)
    trained_on = uneven.obs["cell_type"].to_numpy()[model.train_indices]
    drawn = np.array([(trained_on == label).sum() for label in model.labels]) ** (1 - balance)
    bias = model.module.student.head.bias.detach().numpy()
    np.testing.assert_allclose(softmax(bias), drawn / drawn.sum(), rtol=1e-4)


def test_an_interrupted_run_of_several_modalities_ends_as_an_uninterrupted_one(
    make_joint_model, make_mdata, train, tmp_path
):
    import lightning.pytorch as pl

    class PowerCut(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if pl_module.phase == "student" and trainer.current_epoch == 1:
                raise RuntimeError("power cut")

    def model():
        return make_joint_model(make_mdata(60, mosaic=True))

    whole = train(model(), 3)
    with pytest.raises(RuntimeError, match="power cut"):
        train(model(), 3, checkpoint_dir=tmp_path, callbacks=[PowerCut()])
    resumed = train(model(), 3, checkpoint_dir=tmp_path)
    state = resumed.module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.module.state_dict().items())


def test_training_again_keeps_the_bias_that_was_learned(make_joint_model, make_mdata, train):
    model = train(make_joint_model(make_mdata(60)), 3)
    learned = model.module.student.head.bias.detach().clone()
    train(model, 1, plan_kwargs={"student": STILL})
    torch.testing.assert_close(model.module.student.head.bias.detach(), learned)
