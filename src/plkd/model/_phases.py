"""The two phases of training: the Teacher on the labels, the Student on what the Teacher says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from plkd.data import Cells, ModalitySpec
from plkd.inference import run_student, run_teacher
from plkd.model._unlabeled import sure_calls
from plkd.module import PLKDModule
from plkd.nn import Student
from plkd.presets import StudentTraining, TeacherTraining
from plkd.train import (
    DistillationPlan,
    ReferenceData,
    Split,
    TeacherPlan,
    check_converged,
    run_phase,
    warn_of_one_answer,
)
from plkd.train._checkpoint import best_weights
from plkd.train._gains import set_gains
from plkd.train._plan import phase_length, plan_arguments
from plkd.train._sampler import label_prior
from plkd.train._seeded import new_seed

#: Cells that are looked at where all would say no more.
_SOME = 256


class PhasesMixin:
    """Adds the phases to the model; :meth:`~plkd.PLKD.train` says which run, and on which cells."""

    # What the model class provides.
    module: PLKDModule
    _specs: Sequence[ModalitySpec]
    is_trained_: bool
    history_: dict[str, pd.DataFrame] | None
    if TYPE_CHECKING:
        _scaling: Callable[[], dict[str, Any]]

        @property
        def registry(self) -> dict[str, Any]: ...

    def _start_bias(self, network: Student, settings: StudentTraining, cells: Cells, train: np.ndarray) -> None:
        """Start a Student's bias at the label shares that it will see, where several modalities share it.

        As the bias, which counts once, no modality needs to learn them; what it says beside them adds up.
        """
        if len(self._specs) > 1:
            shares = label_prior(cells.labels[train], self.module.n_labels, settings.balance)
            network.head.bias.data.copy_(torch.as_tensor(np.log(shares.clip(min=1e-6))))

    def _train_teacher(
        self,
        settings: TeacherTraining,
        cells: Cells,
        split: Split,
        common: dict[str, Any],
        resumed: dict[str, Any] | None,
    ) -> None:
        # What it would make of a batch without any label is a guess, which alignment and divergence would drive home.
        known = split.unlabeled[np.isin(cells.batch[split.unlabeled], cells.batch[split.train])]
        data = ReferenceData.of(settings, cells, dataclasses.replace(split, unlabeled=known))
        epochs, n_steps = phase_length(settings.max_epochs, "teacher", len(data.sampler))
        plan = TeacherPlan(
            self.module,
            **plan_arguments(
                TeacherPlan,
                settings,
                alignment_weight=settings.alignment_weight if len(np.unique(cells.batch[split.train])) > 1 else 0.0,
                n_steps=n_steps,
                **_done(resumed),
            ),
        )
        module = self.module
        module.teacher.gain.fill_(1)
        self._run(plan, data, settings, epochs, common, resumed)
        module.eval()
        scaling = self._scaling()
        self._set_gains(
            module.teacher, cells, split, lambda some: run_teacher(scaling, module.teacher, cells, some).logits
        )

    def _set_gains(
        self, network: Any, cells: Cells, split: Split, logits_of: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        names = [spec.called for spec in self._specs]
        try:
            phase = "teacher" if network is self.module.teacher else "student"
            # Spread over all: cells of one label may lie together.
            some = split.train[:: -(-len(split.train) // _SOME)]
            logits = logits_of(some)
            check_converged(network, logits, phase)
        except RuntimeError:
            self.is_trained_ = False  # nor is a model that was trained before any more
            raise
        warn_of_one_answer(logits, cells.labels[some], phase)
        set_gains(network.gain, logits_of, cells.labels, cells.measured(), split.validation, names)

    def _train_student(
        self,
        settings: StudentTraining,
        cells: Cells,
        split: Split,
        common: dict[str, Any],
        resumed: dict[str, Any] | None,
    ) -> None:
        distilled = settings.kd_weight != 0
        mixed = distilled and settings.mixup > 0
        module = self.module
        unlabeled = settings.unlabeled_ratio > 0 and len(split.unlabeled) > 0
        # Without labels the latent space is what the model is for; clusters take their place in it.
        integrates = unlabeled or self.registry["setup_args"]["labels_key"] is None
        between_batches = settings.alignment_weight if integrates and len(np.unique(cells.batch)) > 1 else 0.0
        between_modalities = settings.modality_alignment_weight if len(self._specs) > 1 else 0.0
        if unlabeled and distilled and settings.self_training is not None:
            asked = np.union1d(split.validation, split.unlabeled)
            called = sure_calls(self._teacher_logits(cells, asked), cells.labels, split, settings.self_training)
            cells = cells.relabelled(np.where(called >= 0, called, cells.labels))
        data = ReferenceData.of(settings, cells, split)
        length = "distillation" if mixed else "student"
        epochs, n_steps = phase_length(settings.max_epochs, length, len(data.sampler))
        # Mixtures are read as they are made; of the cells themselves the Teacher is asked once, where that is of use.
        guessed = unlabeled and (not mixed or between_batches > 0 or between_modalities > 0)
        pupils = np.union1d(split.unlabeled if guessed else [], [] if mixed else split.train).astype(np.int64)
        logits = None
        if distilled and len(pupils):
            logits = torch.from_numpy(self._teacher_logits(cells, pupils))
        prior = label_prior(cells.labels[split.train], module.n_labels, settings.balance)
        plan = DistillationPlan(
            module,
            logits,
            torch.as_tensor(prior, dtype=torch.float32),
            **plan_arguments(
                DistillationPlan,
                settings,
                mixup=settings.mixup if mixed else 0.0,
                alignment_weight=between_batches,
                modality_alignment_weight=between_modalities,
                n_steps=n_steps,
                seed=new_seed() if resumed is None else resumed["seed"],
                **_done(resumed),
            ),
        )
        if mixed:
            data.repeat(plan.seed, plan.first_epoch)
        module.student.gain.fill_(1)
        try:
            self._run(plan, data, settings, epochs, common, resumed)
        finally:
            plan.forget()  # the trainer keeps the plan
        module.eval()
        scaling = self._scaling()
        self._set_gains(
            module.student, cells, split, lambda some: run_student(scaling, module.student, cells, some).logits
        )

    def _teacher_logits(self, cells: Cells, asked: np.ndarray) -> np.ndarray:
        """Return the Teacher's logits by cell number, shape ``(n_obs, n_labels)``; 0 for cells that it is not asked of."""
        self.module.eval()
        logits = np.zeros((cells.n_obs, self.module.n_labels), dtype=np.float32)
        logits[asked] = run_teacher(self._scaling(), self.module.teacher, cells, asked).logits
        return logits

    def _run(
        self,
        plan: TeacherPlan | DistillationPlan,
        data: ReferenceData,
        settings: TeacherTraining | StudentTraining,
        epochs: int,
        common: dict[str, Any],
        resumed: dict[str, Any] | None,
    ) -> None:
        left, checkpoint = epochs, common["checkpoint"]
        if resumed is not None:
            left = 0 if resumed["finished"] else epochs - resumed["epochs"]
            if left > 0:
                checkpoint.resumed = resumed
            else:
                torch.set_rng_state(resumed["tensors"]["rng"])
                if not resumed["finished"] and resumed["fallen"] and (best := best_weights(resumed)) is not None:
                    plan.network.load_state_dict(best)
        if left > 0:
            run_phase(
                self,
                plan,
                data,
                max_epochs=left,
                keep_best=settings.keep_best,
                patience=settings.patience,
                clip_norm=settings.clip_norm,
                **common,
            )


def _done(resumed: dict[str, Any] | None) -> dict[str, Any]:
    return {} if resumed is None else {"first_epoch": resumed["epochs"], "first_step": resumed["steps"]}
