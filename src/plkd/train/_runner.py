"""Run one phase of training on scvi-tools' runner and keep its history."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scvi.train import Trainer, TrainRunner

from plkd._compat import merge_kwargs
from plkd.train._best import KeepBest
from plkd.train._checkpoint import Checkpoint, history_frame
from plkd.train._data import ReferenceData
from plkd.train._plan import SCORE, PhasePlan

logger = logging.getLogger("plkd")

#: In the names of Lightning's strategies that start processes for one phase.
_FORKING = ("spawn", "fork", "notebook")


def merge_trainer_kwargs(config: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user asked of the trainer; ``kwargs`` wins over ``config``.

    A config object of scvi-tools carries a value for every field (``early_stopping_monitor="elbo_validation"``, for
    one): only what differs from its own defaults was asked for.

    Raises
    ------
    TypeError
        If ``config`` is neither a mapping nor a config object, or no trainer knows an argument.
    """
    check_config(config, "trainer_config")
    given = merge_kwargs(config, None, name="trainer")
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        untouched = merge_kwargs(type(config)(), None, name="trainer")
        given = {key: value for key, value in given.items() if key not in untouched or value != untouched[key]}
    given = {**given, **kwargs}
    check_trainer_kwargs(given)
    return given


def merge_plan_kwargs(config: Any, kwargs: Any) -> dict[str, dict[str, Any]]:
    """Return the settings asked for by phase, those of ``plan_kwargs`` over those of ``plan_config``.

    Raises
    ------
    TypeError
        If they are no settings, or of no phase.
    """
    check_config(config, "plan_config")
    check_config(kwargs, "plan_kwargs")
    asked: dict[str, dict[str, Any]] = {"teacher": {}, "student": {}}
    for given in (merge_kwargs(config, None, name="plan"), merge_kwargs(None, kwargs, name="plan")):
        if unknown := sorted(map(str, set(given) - set(asked))):
            raise TypeError(
                f'plan_kwargs holds {unknown}; expected settings by phase, e.g. {{"teacher": {{"lr": 1e-3}}, '
                '"student": {"kd_weight": 0.5}}.'
            )
        for phase, settings in given.items():
            if not isinstance(settings, Mapping):
                raise TypeError(f"plan_kwargs[{phase!r}] is {settings!r}; expected a dict of settings.")
            asked[phase] |= settings
    return asked


def check_config(config: Any, argument: str) -> None:
    """Refuse what holds no settings.

    Raises
    ------
    TypeError
        Naming the argument.
    """
    if config is not None and not isinstance(config, Mapping) and not hasattr(config, "to_kwargs"):
        raise TypeError(f"{argument} is a {type(config).__name__}; expected a dict, a config of scvi-tools, or None.")


def own_callbacks(trainer_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with copies of the callbacks that remember a best score.

    The Teacher's and the Student's losses cannot be compared: a best score of the first phase would stop the second
    at once, or put an untrained Student back at its end.
    """
    callbacks = trainer_kwargs.get("callbacks") or []
    callbacks = [callbacks] if isinstance(callbacks, pl.Callback) else callbacks
    own = [
        copy.deepcopy(c) if isinstance(c, pl.callbacks.EarlyStopping | pl.callbacks.ModelCheckpoint) else c
        for c in callbacks
    ]
    return {**trainer_kwargs, "callbacks": own}


def check_trainer_kwargs(kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that no trainer knows, before any work.

    Raises
    ------
    TypeError
        Naming them.
    ValueError
        If processes are to be started for each phase alone.
    """
    known = set(inspect.signature(Trainer.__init__).parameters) | set(inspect.signature(pl.Trainer.__init__).parameters)
    unknown = sorted(set(kwargs) - (known - {"self", "kwargs"}))
    if unknown:
        raise TypeError(
            f"train() got unknown arguments {unknown}; expected its own, or those of scvi.train.Trainer. Settings of a "
            'phase go into plan_kwargs, e.g. plan_kwargs={"teacher": {"lr": 1e-3}}.'
        )
    strategy = kwargs.get("strategy")
    if isinstance(strategy, str) and any(way in strategy for way in _FORKING):
        raise ValueError(
            f"strategy={strategy!r} trains in processes that end with each phase, and history with them; expected one whose "
            "processes run the whole script. Fix: `strategy='ddp'` in a script."
        )


def run_phase(
    model: Any,
    plan: PhasePlan,
    data: ReferenceData,
    *,
    max_epochs: int,
    keep_best: bool,
    patience: int,
    clip_norm: float | None,
    early_stopping: bool,
    accelerator: str,
    devices: Any,
    trainer_kwargs: Mapping[str, Any],
    checkpoint: Checkpoint | None = None,
    counts_on: torch.device | None = None,
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
    clip_norm
        Largest norm of the gradient; None sets no limit.
    early_stopping, accelerator, devices, trainer_kwargs
        As in ``PLKD.train``; what the user gave in ``trainer_kwargs`` wins.
    checkpoint
        Writes the run's file after each epoch; None writes nothing.
    counts_on
        Device that the counts are brought to for this phase, where they fit; None leaves them where they are.
    """
    validates = data.n_val > 0
    monitor = f"{plan.phase}_{SCORE}"
    best = KeepBest(monitor, n_obs=data.n_val)
    callbacks: list[pl.Callback] = [best] if keep_best and validates else []
    given = trainer_kwargs.get("callbacks") or []
    callbacks += [given] if isinstance(given, pl.Callback) else list(given)
    if checkpoint is not None:
        callbacks.append(checkpoint)
    defaults: dict[str, Any] = {
        "early_stopping": early_stopping and validates,
        "early_stopping_monitor": monitor,
        "early_stopping_mode": "max",
        "early_stopping_patience": patience,
        "gradient_clip_val": clip_norm,
        "log_every_n_steps": 1,
        # Our loader divides its mini-batches itself.
        "use_distributed_sampler": False,
        "precision": _precision(accelerator),
    }
    if validates:
        defaults["check_val_every_n_epoch"] = 1
    kwargs = {**defaults, **trainer_kwargs, "callbacks": callbacks}
    if not validates:
        kwargs["early_stopping"] = False
    if kwargs["early_stopping"] and "ddp" in str(kwargs.get("strategy")):
        # scvi-tools switches its own off there; every process scores all held-out cells, so that all stop together.
        kwargs["early_stopping"] = False
        callbacks.append(
            pl.callbacks.EarlyStopping(
                kwargs["early_stopping_monitor"],
                min_delta=kwargs.get("early_stopping_min_delta", 0.0),
                patience=kwargs["early_stopping_patience"],
                mode=kwargs["early_stopping_mode"],
            )
        )
    earlier, was_trained = model.history_, model.is_trained_
    model.history_, model.is_trained_ = None, False
    start = time.perf_counter()
    frozen = [p for p in model.module.parameters() if p.requires_grad]
    learning = {id(p) for p in plan.network.parameters()}
    for parameter in frozen:
        parameter.requires_grad_(id(parameter) in learning)
    # Lightning trains in the mode it finds: without this, dropout would never act.
    model.module.train()
    try:
        with _refusing_arguments(given_by_user=trainer_kwargs):
            runner = TrainRunner(
                model, plan, data, max_epochs=max_epochs, accelerator=accelerator, devices=devices, **kwargs
            )
        with data.lying_on(counts_on), _keyboard_interrupts():
            runner()
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        model.module.eval()
        fresh = {
            k: history_frame(k, v.iloc[:, 0])
            for k, v in (model.history_ or {}).items()
            if k.startswith(f"{plan.phase}_")
        }
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


@contextmanager
def _refusing_arguments(given_by_user: Mapping[str, Any]) -> Iterator[None]:
    """Say which arguments the trainer was given, where it cannot be made with them."""
    try:
        yield
    except (MisconfigurationException, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"The trainer cannot be made with {sorted(given_by_user)} ({error}). Fix: see scvi.train.Trainer for what each expects."
        ) from error


@contextmanager
def _keyboard_interrupts() -> Iterator[None]:
    """Let Ctrl-C be what it is: Lightning turns it into an exit and leaves the signal ignored."""
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if in_main and handler is not None:
            signal.signal(signal.SIGINT, handler)


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
