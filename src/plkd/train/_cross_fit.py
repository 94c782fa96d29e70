"""Students that did not see some cells, to tell how far their answers on new cells can be trusted."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from plkd.data import Cells, lying_on
from plkd.inference import to_device
from plkd.module import PLKDModule
from plkd.nn import InputScaling, Student
from plkd.presets import StudentSettings, StudentTraining
from plkd.train._distillation_plan import DistillationPlan
from plkd.train._folds import Folds
from plkd.train._plan import mini_batch_size, phase_length, plan_arguments
from plkd.train._sampler import BalancedSampler, label_prior
from plkd.train._weights import feature_weights


def cross_fit(
    module: PLKDModule,
    cells: Cells,
    folds: Folds,
    *,
    student: StudentSettings,
    training: StudentTraining,
    weight_power: float,
    start_bias: Callable[[Student, np.ndarray], None],
    numbers: Iterable[int] | None = None,
) -> Iterator[tuple[int, Student, Mapping[str, InputScaling]]]:
    """Train a Student without each fold, on the labels alone, and yield it with its input scaling.

    The Teacher saw the cells left out, so it teaches none of these Students. They learn by the settings of the model's own
    Student and keep their last weights. Nothing of the model is changed, and the global random state is left as it was: the
    draws follow from the folds, so that a run that was cut off gives the same ones again.

    Parameters
    ----------
    module
        The model's module; its constants of the input scaling are taken over.
    cells
        The reference.
    folds
        Which cells are left out together.
    student, training
        Settings of the network and of its training, ``hide_rate`` a number.
    weight_power
        As of :func:`plkd.train.feature_weights`; 0 leaves the features unweighted.
    start_bias
        Sets a Student's bias before it learns, given its training cells.
    numbers
        The folds to leave out; each Student is the same whichever they are. None: all.

    Yields
    ------
    Number of the fold, the Student in evaluation mode, and its input scaling by kind.
    """
    # Cells in no fold, such as a query's, must not change what the others' Students draw.
    seed = zlib.crc32(folds.fold[folds.fold >= 0].tobytes())
    device = module.student.head.weight.device
    constants: dict[str, InputScaling] = dict(module.scaling.items())  # type: ignore[arg-type]
    for number in range(len(folds)) if numbers is None else numbers:
        train, _ = folds.split(number)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed + number)
            scaling = copy.deepcopy(constants)
            network = Student({k: len(v.weight) for k, v in scaling.items()}, module.n_labels, **vars(student)).to(
                device
            )
            if weight_power > 0:
                for kind, weights in feature_weights(cells, train, scaling, power=weight_power).items():
                    scaling[kind].weight.copy_(torch.from_numpy(weights))
            start_bias(network, train)
            # The module around another Student: all else is shared.
            own = copy.copy(module)
            own._modules = {**module._modules, "student": network, "scaling": nn.ModuleDict(scaling)}
            prior = label_prior(cells.labels[train], module.n_labels, training.balance)
            plan = DistillationPlan(
                own,
                None,
                torch.as_tensor(prior, dtype=torch.float32),
                **plan_arguments(
                    DistillationPlan,
                    training,
                    kd_weight=0.0,
                    temperature=1.0,
                    mixup=0.0,
                    alignment_weight=0.0,
                    modality_alignment_weight=training.modality_alignment_weight if len(module.modalities) > 1 else 0.0,
                    n_steps=0,
                ),
            ).to(device)
            with lying_on(cells, device if device.type == "cuda" else None) as near:
                _train(plan, near, train, training, device)
        yield number, network, scaling


def _train(
    plan: DistillationPlan, cells: Cells, train: np.ndarray, training: StudentTraining, device: torch.device
) -> None:
    """Train without validation, history or callbacks: what is left of a phase of training then is this loop."""
    size = mini_batch_size(training.batch_size, len(train))
    sampler = BalancedSampler(train, cells.labels[train], batch_size=size, balance=training.balance)
    n_epochs, plan.n_steps = phase_length(training.max_epochs, "student", len(sampler))
    optimizer = plan.make_optimizer(fused=True)
    plan.network.train()
    step = 0
    for _ in range(n_epochs):
        for index in sampler:
            for group in optimizer.param_groups:
                group["lr"] = plan.lr * plan.lr_share(step)
            optimizer.zero_grad()
            plan.losses(to_device(cells[index], device))["loss"].backward()
            if training.clip_norm:
                torch.nn.utils.clip_grad_norm_(plan.network.parameters(), training.clip_norm)
            optimizer.step()
            step += 1
    plan.network.eval()
