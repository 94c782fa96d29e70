"""Run one phase of training on scvi-tools' runner and keep its history."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from scvi.train import Trainer, TrainRunner

from plkd.train._best import KeepBest
from plkd.train._checkpoint import Checkpoint
from plkd.train._data import ReferenceData
from plkd.train._plan import PhasePlan

logger = logging.getLogger("plkd")


def check_trainer_kwargs(kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that no trainer knows, before any work.

    Raises
    ------
    TypeError
        Naming them.
    """
    known = set(inspect.signature(Trainer.__init__).parameters) | set(inspect.signature(pl.Trainer.__init__).parameters)
    unknown = sorted(set(kwargs) - known)
    if unknown:
        raise TypeError(
            f"train() got unknown arguments {unknown}; expected its own, or those of scvi.train.Trainer. Settings of a "
            'phase go into plan_kwargs, e.g. plan_kwargs={"teacher": {"lr": 1e-3}}.'
        )


def run_phase(
    model: Any,
    plan: PhasePlan,
    data: ReferenceData,
    *,
    max_epochs: int,
    keep_best: bool,
    patience: int,
    early_stopping: bool,
    accelerator: str,
    devices: Any,
    trainer_kwargs: Mapping[str, Any],
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train one network, keep its best weights and add the phase to ``model.history``.

    Parameters
    ----------
    model
        The model whose module the plan trains.
    plan, data
        What to do, on which cells.
    max_epochs
        Epochs still to run.
    keep_best
        Put the weights of the best validation epoch back at the end.
    patience
        Validation epochs without improvement after which training stops, if ``early_stopping``.
    early_stopping, accelerator, devices, trainer_kwargs
        As in ``PLKD.train``; what the user gave in ``trainer_kwargs`` wins.
    checkpoint
        Writes the run's file after each epoch; None writes nothing.
    """
    validates = data.n_val > 0
    monitor = f"{plan.phase}_ce_loss_validation"
    callbacks: list[pl.Callback] = [KeepBest(monitor)] if keep_best and validates else []
    callbacks += list(trainer_kwargs.get("callbacks") or [])
    if checkpoint is not None:
        callbacks.append(checkpoint)
    defaults: dict[str, Any] = {
        "early_stopping": early_stopping and validates,
        "early_stopping_monitor": monitor,
        "early_stopping_patience": patience,
        "log_every_n_steps": 1,
        "precision": _precision(accelerator),
    }
    if validates:
        defaults["check_val_every_n_epoch"] = 1
    kwargs = {**defaults, **trainer_kwargs, "callbacks": callbacks}
    if not validates:
        kwargs["early_stopping"] = False
    earlier, was_trained = model.history_, model.is_trained_
    model.history_, model.is_trained_ = None, False
    start = time.perf_counter()
    frozen = [p for p in model.module.parameters() if p.requires_grad]
    learning = {id(p) for p in plan.network.parameters()}
    for parameter in frozen:
        parameter.requires_grad_(id(parameter) in learning)
    try:
        runner = TrainRunner(
            model, plan, data, max_epochs=max_epochs, accelerator=accelerator, devices=devices, **kwargs
        )
        runner()
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        fresh = {k: v for k, v in (model.history_ or {}).items() if k.startswith(f"{plan.phase}_")}
        model.history_ = _joined(earlier, fresh)
        model.is_trained_ = was_trained
    n_epochs = runner.trainer.current_epoch
    logger.info(
        "%s: %d epochs on %d cells in %.1f s (%.0f cells/s)",
        plan.phase.capitalize(),
        n_epochs,
        data.n_train,
        time.perf_counter() - start,
        n_epochs * data.n_train / max(time.perf_counter() - start, 1e-9),
    )


def _precision(accelerator: str) -> str:
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def _joined(earlier: dict[str, pd.DataFrame] | None, fresh: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Append a run's history to that of earlier ones, epochs numbered on."""
    joined = dict(earlier or {})
    for key, frame in fresh.items():
        if key in joined:
            before = joined[key]
            frame = frame.copy()
            frame.index = pd.Index(np.arange(len(before), len(before) + len(frame)), name=before.index.name)
            frame = pd.concat([before, frame])
        joined[key] = frame
    return joined
