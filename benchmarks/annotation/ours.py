"""plkd as a user would run it: package defaults, nothing chosen per task."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import scvi

from benchmarks.annotation.prediction import Prediction
from benchmarks.annotation.tasks import Task
from plkd import PLKD, Annotator, presets

NETWORKS = {"": "student", "-teacher": "teacher"}
#: Training settings of a Student on the labels alone.
NO_TEACHER = {"student": {"kd_weight": 0.0}}


def fit(
    task: Task,
    seed: int,
    *,
    plan_kwargs: Mapping[str, Any] | None = None,
    transductive: bool = False,
    **model_kwargs: Any,
) -> PLKD:
    """Set up and train a model on the reference; if ``transductive`` the query, which has no labels, takes part."""
    scvi.settings.seed = seed
    reference = task.reference.copy()
    keys = {"labels_key": task.spec.labels_key, "batch_key": task.spec.batch_key}
    if task.spec.modalities:
        PLKD.setup_mudata(reference, modalities=task.spec.modalities, **keys)
    else:
        PLKD.setup_anndata(reference, **keys)
    model = PLKD(reference, **model_kwargs)
    unlabeled = task.query if transductive else None
    model.train(plan_kwargs=plan_kwargs, unlabeled=unlabeled, enable_progress_bar=False, enable_model_summary=False)
    return model


def answers(
    task: Task, seed: int, name: str, *, teacher: bool = True, adapted: bool = False, **kwargs: Any
) -> dict[str, Prediction]:
    """Fit once and ask the Student and, where it was trained, the Teacher; if ``adapted`` the Student adapted to the query too.

    References of too few cells are not calibrated, and cannot be adapted.

    All count the seconds of the whole fit.
    """
    start = perf_counter()
    model = fit(task, seed, **kwargs)
    fit_s = perf_counter() - start
    answers = {}
    for suffix, network in NETWORKS.items():
        if suffix and not teacher:
            continue
        answers[name + suffix] = _ask(model, task, fit_s, model=network)
    if adapted and model.confidence_ is not None:
        start = perf_counter()
        annotator = model.adapt(task.query)
        answers[f"{name}-adapted"] = _ask(annotator, task, fit_s + perf_counter() - start)
    for argument, modality in task.spec.modalities.items():
        answers[f"{name}-{argument.removesuffix('_layer')}-query"] = _ask(model, task, fit_s, modality=modality)
    return answers


def _ask(fitted: PLKD | Annotator, task: Task, fit_s: float, **kwargs: Any) -> Prediction:
    start = perf_counter()
    probabilities = fitted.predict(task.query, soft=True, **kwargs)
    labels = probabilities.columns.to_numpy().astype(str)[probabilities.to_numpy().argmax(axis=1)]
    return Prediction(labels, probabilities, fit_s, perf_counter() - start)


def default(task: Task, seed: int) -> dict[str, Prediction]:
    """Patterns learned from the reference; nothing is told but the columns."""
    return answers(task, seed, "plkd", adapted=True)


def transductive(task: Task, seed: int) -> dict[str, Prediction]:
    """The query takes part in training, without labels."""
    return answers(task, seed, "plkd-transductive", transductive=True)


def with_gene_sets(task: Task, seed: int) -> dict[str, Prediction]:
    """Curated gene sets of the task's species, completed by learned patterns."""
    return answers(task, seed, "plkd-genesets", patterns=task.gene_sets)


def without_distillation(task: Task, seed: int) -> dict[str, Prediction]:
    """The same Student on the labels alone; no Teacher is trained."""
    return answers(task, seed, "plkd-no-kd", teacher=False, plan_kwargs=NO_TEACHER)


def paper(task: Task, seed: int) -> dict[str, Prediction]:
    """The released mathematics and hyper-parameters on the task's gene sets."""
    return answers(task, seed, "plkd-paper", patterns=task.gene_sets, preset=presets.paper)
