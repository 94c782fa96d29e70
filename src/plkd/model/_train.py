"""`PLKD.train`: the Teacher's phase, then the Student's."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi.train import TrainRunner

from plkd._files import as_path, make_folder, remove_leftovers
from plkd.data import Cells
from plkd.model._device import check_device, gpu_for_counts
from plkd.model._grow import given_split, join_earlier, raise_weights, say_forgotten
from plkd.model._phases import PhasesMixin
from plkd.model._report import training_facts
from plkd.model._unlabeled import check_other, join_unlabeled
from plkd.patterns import PatternSet
from plkd.presets import Preset, StudentTraining, TeacherTraining
from plkd.train import Split, coexpression, feature_weights
from plkd.train._augment import hide_rate_for
from plkd.train._check import check_settings, check_split
from plkd.train._checkpoint import (
    Checkpoint,
    digest,
    folds_path,
    history_of,
    read_checkpoint,
    sums_of_counts,
)
from plkd.train._kept_split import choose_split
from plkd.train._runner import merge_plan_kwargs, merge_trainer_kwargs, own_callbacks
from plkd.train._split import share_of_teacher

logger = logging.getLogger("plkd")

_CHECKPOINT = "training.safetensors"


class TrainingMixin(PhasesMixin):
    """Adds :meth:`train` to the model."""

    _train_runner_cls = TrainRunner
    # What the model class provides.
    _settings: Preset
    _patterns: PatternSet
    training_: dict[str, Any] | None
    confidence_: dict[str, Any] | None
    held_out_: dict[str, np.ndarray] | None
    validation_indices_: np.ndarray
    #: Which cells trained and were held out last, of which reference, and the sizes asked for. Saved with the model.
    split_of_: dict[str, Any] | None = None
    #: Whether the model has labels of a second reference and did not train with them yet. Saved with the model.
    grown_: bool = False
    adata: AnnData | MuData | None
    registry: dict[str, Any]
    if TYPE_CHECKING:
        _reference_cells: Callable[[], Cells]
        _fit_confidence: Callable[..., None]
        _leave_out: Callable[..., Any]
        _doubtful: Callable[..., np.ndarray]
        doubtful_indices_: np.ndarray

        @property
        def labels(self) -> list[str]: ...

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float = 0.9,
        validation_size: float | None = None,
        batch_size: int | None = None,
        early_stopping: bool = True,
        datasplitter_kwargs: Mapping[str, Any] | None = None,
        plan_config: Any = None,
        plan_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        trainer_config: Any = None,
        checkpoint_dir: str | Path | None = None,
        unlabeled: AnnData | MuData | None = None,
        earlier: AnnData | MuData | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the Teacher on the labels, distil the Student from it, and calibrate its confidence on cells kept from training.

        Parameters
        ----------
        max_epochs
            Most epochs of each phase; None chooses by the number of cells.
        accelerator, devices
            As in scvi-tools. On a GPU that knows it, mixed precision (bfloat16) is used unless ``precision`` is given.
        train_size, validation_size
            Shares of the labelled cells to train on and to hold out; what is left over is not used. Whole batches are
            held out where every label can spare them, otherwise a part of every label; the log says which. A model that
            trains on holds out the same cells again.
        batch_size
            Cells per training mini-batch of both phases; None takes the preset's, or chooses by the number of cells.
        early_stopping
            Stop a phase when the macro-F1 of the held-out cells, averaged over ten epochs, no longer rises for ``patience``
            epochs. By default these are as many as the longest run has, since the learning rate comes down over the whole
            run: it acts with more ``max_epochs`` or less patience.
        datasplitter_kwargs
            ``{"external_indexing": [train, validation, test]}``: arrays of cell numbers, e.g. to hold out donors. Cells of
            ``earlier`` then all train.
        plan_config, plan_kwargs
            Settings of the phases, ``{"teacher": {...}, "student": {...}}``: see
            :class:`~plkd.presets.TeacherTraining` and :class:`~plkd.presets.StudentTraining`. ``plan_kwargs`` wins.
        trainer_config, **trainer_kwargs
            Passed to :class:`scvi.train.Trainer`, e.g. ``callbacks``, ``early_stopping_patience``,
            ``enable_progress_bar``. ``trainer_kwargs`` wins.
        checkpoint_dir
            Folder for one file that is renewed after each epoch and each fold of the calibration. If it holds the file of an
            interrupted run of the same settings, that run goes on from there: at most one epoch, or one fold, is done
            again. The file is removed at the end. None writes none.
        unlabeled
            The query, or other cells whose labels are not known: they teach the Student alone, as unlabelled cells of the
            reference do where their batch has no label. In memory, a view or backed; features are matched by name, as in
            :meth:`predict`. No label of it is read, it is neither changed nor stored. If it has the reference's ``batch_key``, its batches are told
            apart by it; otherwise it is one batch. None: the reference alone.
        earlier
            Another labelled data set, with the reference's columns, that trains beside it: for a model that learns on
            (:meth:`load_query_data`), the reference it was trained on before. Cells whose labels the model does not know count as
            unlabelled. Neither changed nor stored. In the first training some may be held out that the model knows from before;
            scores of them look too good. None: the reference alone.

        Raises
        ------
        TypeError
            If an argument or a setting does not exist; raised before any work.
        RuntimeError
            If a phase diverged; the model then counts as not trained. If a Student of the folds did, it is as it was.
        ValueError
            If the sizes do not fit, the model has no reference, or ``unlabeled`` or ``earlier`` cannot be aligned, as in
            :meth:`predict`.

        Notes
        -----
        Scores per epoch are in ``history``: ``teacher_*`` and ``student_*``, ending in ``_train`` or ``_validation``.

        Examples
        --------
        >>> plkd.PLKD.setup_anndata(ref, labels_key="cell_type", batch_key="batch")
        >>> model = plkd.PLKD(ref)
        >>> model.train(max_epochs=2, plan_kwargs={"teacher": {"lr": 1e-2}}, enable_progress_bar=False)
        >>> "student_loss_train" in model.history
        True
        """
        check_device(accelerator, devices)
        if not isinstance(early_stopping, bool):
            raise TypeError(f"early_stopping={early_stopping!r}; expected True or False.")
        trainer_kwargs = merge_trainer_kwargs(trainer_config, trainer_kwargs)
        # Arguments of train() itself can only come from the config here; those given to train() win.
        own = {
            name: trainer_kwargs.pop(name, None) for name in ("max_epochs", "accelerator", "devices", "early_stopping")
        }
        max_epochs = own["max_epochs"] if max_epochs is None else max_epochs
        accelerator = own["accelerator"] or accelerator if accelerator == "auto" else accelerator
        devices = own["devices"] or devices if devices == "auto" else devices
        early_stopping = early_stopping and own["early_stopping"] is not False
        teacher, student = self._phases(merge_plan_kwargs(plan_config, plan_kwargs), max_epochs, batch_size)
        device = check_device(accelerator, devices)
        check_split(train_size, validation_size, datasplitter_kwargs)
        folder = None if checkpoint_dir is None else as_path(checkpoint_dir, "checkpoint_dir")
        attached = reference = self._reference_cells()
        keys = self.registry["setup_args"]
        if earlier is not None:
            check_other(earlier, self.adata, "earlier")
            reference = join_earlier(attached, earlier, self._specs, self.labels, keys["labels_key"], keys["batch_key"])
        say_forgotten(self.labels, reference.labels)
        cells = reference
        if unlabeled is not None:
            check_other(unlabeled, self.adata, "unlabeled")
            cells = join_unlabeled(reference, unlabeled, self._specs, keys["batch_key"])
        asked = (datasplitter_kwargs or {}).get("external_indexing")
        sizes = (train_size, 1 - train_size if validation_size is None else validation_size)
        names = [data.obs_names for data in (self.adata, earlier) if data is not None]
        known = digest(*(np.asarray(own, dtype=object) for own in names), reference.labels, reference.batch)
        given = asked if asked is None or cells is attached else given_split(attached, reference, asked)
        cells = cells.spooled()
        split = choose_split(cells, self.split_of_, known, sizes, was_trained=self.is_trained_, external_indexing=given)
        run = {
            "max_epochs": max_epochs,
            "teacher": dataclasses.asdict(teacher),
            "student": dataclasses.asdict(student),
            "reference": digest(
                *(np.asarray(spec.features, dtype=object) for spec in self._specs),
                self.labels,
                cells.labels,
                cells.batch,
                *([] if folder is None else sums_of_counts(cells)),
            ),
            "patterns": digest(self._patterns.membership.indptr, self._patterns.membership.indices),
            "preset": self._settings.to_dict(),
            "early_stopping": early_stopping,
            "train_size": train_size,
            "validation_size": validation_size,
            "external_indexing": digest(*(asked or ())),
            **{
                name: None if other is None else digest(np.asarray(other.obs_names, dtype=object))
                for name, other in (("unlabeled", unlabeled), ("earlier", earlier))
            },
        }
        checkpoint, resumed = self._checkpoint(folder, run, split)
        if resumed is not None:
            split = resumed["split"]
        seconds: dict[str, float] = {}
        # Lightning moves the networks to their device only later.
        self.module.to(device)
        progress = bool(trainer_kwargs.get("enable_progress_bar", True))
        with _timed(seconds, "confidence"):
            left_out = self._leave_out(student, cells, split, progress=progress, checkpoint=checkpoint)
        if resumed is None:
            split = split.without(self._doubtful(left_out, cells, split))
            if checkpoint is not None:
                checkpoint.split = split
        without = f", {len(split.unlabeled)} cells without a label" if len(split.unlabeled) else ""
        logger.info("Training on %d cells%s; %s", len(split.train), without, split.note)
        # Of the weights that change from here on; a run that is cut off must not leave them to others.
        trained = np.union1d(split.train, split.doubtful)
        self.split_of_ = {"cells": known, "sizes": sizes, "parts": [trained, split.validation, split.test]}
        of_teacher = (self.confidence_ or {}).get("teacher")
        self.confidence_ = self.held_out_ = None
        if resumed is None and self.grown_:
            self._raise_weights(cells, split)
        elif resumed is None and not self.is_trained_:
            self._weigh_features(cells, split)
            self._learn_coexpression(cells, split, attached.n_obs)
            self._start_bias(self.module.student, student, cells, split.train)
        common = {
            "early_stopping": early_stopping,
            "accelerator": accelerator,
            "devices": devices,
            "counts_on": gpu_for_counts(device, accelerator, devices),
            "trainer_kwargs": trainer_kwargs,
            "checkpoint": checkpoint,
        }
        # Asked for 0, there is no Teacher; where labels have few cells it is there to be asked, but does not teach.
        share, has_teacher = student.kd_weight, student.kd_weight != 0
        if share is None:
            # Who asks for self-training asks for the Teacher.
            called = student.self_training is not None and student.unlabeled_ratio > 0 and len(split.unlabeled) > 0
            share = 1.0 if called else share_of_teacher(cells.labels[split.train])
        student = dataclasses.replace(student, kd_weight=share)
        if has_teacher and (resumed is None or resumed["phase"] == "teacher"):
            with_copies = {**common, "trainer_kwargs": own_callbacks(trainer_kwargs)}
            with _timed(seconds, "teacher"):
                self._train_teacher(teacher, cells, split, with_copies, resumed)
            resumed = None
        with _timed(seconds, "student"):
            self._train_student(student, cells, split, common, resumed)
        self._fit_confidence(left_out, cells, split, teacher=has_teacher, distilled=share > 0)
        if not has_teacher and self.confidence_ is not None:
            self.confidence_["teacher"] = of_teacher  # it is as it was
        self.training_ = training_facts(
            reference,
            self.labels,
            split,
            seconds=seconds,
            device=self.module.student.head.weight.device,
            kd_weight=share,
        )
        self.is_trained_, self.grown_ = True, False
        # Cells of other data sets are numbered behind the reference's, and none of its.
        self.train_indices_, self.validation_indices_, self.test_indices_, self.doubtful_indices_ = (
            part[part < attached.n_obs] for part in (split.train, split.validation, split.test, split.doubtful)
        )
        if checkpoint is not None:
            checkpoint.remove()

    def _phases(
        self, asked: Mapping[str, Any], max_epochs: int | None, batch_size: int | None
    ) -> tuple[TeacherTraining, StudentTraining]:
        """Return the settings of both phases: the preset's, changed as asked."""
        given = {k: v for k, v in {"max_epochs": max_epochs, "batch_size": batch_size}.items() if v is not None}
        preset = self._settings.replace(
            teacher_training={**given, **asked["teacher"]}, student_training={**given, **asked["student"]}
        )
        check_settings("teacher", preset.teacher_training)
        check_settings("student", preset.student_training)
        n_features = {spec.kind: len(spec.features) for spec in self._specs}
        teacher, student = preset.teacher_training, preset.student_training
        return (
            dataclasses.replace(teacher, hide_rate=hide_rate_for(teacher.hide_rate, "teacher", n_features)),
            dataclasses.replace(student, hide_rate=hide_rate_for(student.hide_rate, "student", n_features)),
        )

    def _checkpoint(
        self, folder: Path | None, run: dict[str, Any], split: Split
    ) -> tuple[Checkpoint | None, dict[str, Any] | None]:
        """Return the checkpoint writer and the state of an interrupted run, each None where there is none."""
        if folder is None:
            return None, None
        path = folder / _CHECKPOINT
        make_folder(folder)
        # Of runs that were killed while they wrote; a folder serves one run at a time.
        for file in (path, folds_path(path)):
            remove_leftovers(file)
        resumed = read_checkpoint(path, run)
        writer = Checkpoint(path, run, split if resumed is None else resumed["split"])
        writer.before = {key: frame.iloc[:, 0].tolist() for key, frame in (self.history_ or {}).items()}
        if resumed is not None:
            logger.info("Going on with the %s after epoch %d of %s", resumed["phase"], resumed["epochs"], path)
            state = {k[7:]: v for k, v in resumed["tensors"].items() if k.startswith("module.")}
            self.module.load_state_dict(state)
            writer.history, writer.before = resumed["history"], resumed["before"]
            self.history_ = history_of(resumed)
        return writer, resumed

    def _weigh_features(self, cells: Cells, split: Split) -> None:
        """Set the feature weights from the training cells; a model trained before keeps those it learned with."""
        power, scaling = self._settings.scaling.weight_power, self._scaling()
        if power > 0 and all(bool((layer.weight == 1).all()) for layer in scaling.values()):
            for kind, weights in feature_weights(cells, split.train, scaling, power=power).items():
                scaling[kind].weight.copy_(torch.from_numpy(weights))

    def _learn_coexpression(self, cells: Cells, split: Split, n_own: int) -> None:
        """Learn from the reference's own cells, held-out ones aside, what genes that queries lack are to be expected from."""
        seen = np.union1d(split.train, split.unlabeled).astype(np.int64)
        for kind, found in coexpression(cells, seen[seen < n_own], self._scaling()).items():
            for name, values in vars(found).items():
                getattr(self._scaling()[kind], name).copy_(torch.from_numpy(values))

    def _raise_weights(self, cells: Cells, split: Split) -> None:
        """Weigh the features for the labels that a model that learns on has come to know."""
        power = self._settings.scaling.weight_power
        if power > 0 and len(np.unique(cells.labels[split.train])) > 1:
            raise_weights(self.module, feature_weights(cells, split.train, self._scaling(), power=power))


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
