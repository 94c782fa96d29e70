"""Methods that are fitted once and then asked with fewer and fewer genes."""

from __future__ import annotations

from collections.abc import Callable

import anndata as ad
import numpy as np
import scipy.sparse as sp

from benchmarks.annotation import ours, peers
from benchmarks.annotation.tasks import Task

#: Labels of a query's cells by method: Student and Teacher, or the ways in which a linear model does without genes.
Ask = Callable[[ad.AnnData], dict[str, np.ndarray]]


def without_genes(query: ad.AnnData, rate: float, seed: int) -> ad.AnnData:
    """Take random genes out of a query; with the same seed a higher rate takes the same ones and more."""
    order = np.random.default_rng(seed).permutation(query.n_vars)
    return query[:, np.sort(order[round(rate * query.n_vars) :])].copy()


def plkd(task: Task, seed: int) -> Ask:
    """Student and Teacher; missing genes are plkd's own business."""
    model = ours.fit(task, seed)
    networks = {"plkd": "student", "plkd-teacher": "teacher"}
    return lambda query: {name: model.predict(query, model=network) for name, network in networks.items()}


def without_distillation(task: Task, seed: int) -> Ask:
    """The same Student without a Teacher."""
    model = ours.fit(task, seed, plan_kwargs=ours.NO_TEACHER)
    return lambda query: {"plkd-no-kd": model.predict(query)}


def linear_svm(task: Task, seed: int) -> Ask:
    """Linear support vector machine on all genes."""
    return _linear(task, seed, "SVM", *peers.svm(seed))


def logistic(task: Task, seed: int) -> Ask:
    """Logistic regression on 2,000 variable genes."""
    return _linear(task, seed, "LR-hvg2000", *peers.logistic())


def _linear(task: Task, seed: int, name: str, features, classifier) -> Ask:
    """Answer in four ways where genes are missing.

    The name alone: counts per 10,000 of the genes there are, 0 for the others. ``+library``: the library size divided by
    the share of the reference's counts that these genes have, as plkd does. ``+mean``: so too, and the reference's mean
    log value for the others. ``+refit``: fitted anew on the genes there are, for which the reference must be at hand.
    """
    x = peers.log_normalise(task.reference)
    represent = features(x, seed)
    classifier.fit(represent(x), task.labels)
    mean = np.asarray(x.mean(axis=0)).ravel()
    counts = np.asarray(task.reference.X.sum(axis=0)).ravel()

    def ask(query: ad.AnnData) -> dict[str, np.ndarray]:
        columns = task.reference.var_names.get_indexer(query.var_names)
        measured = np.zeros(task.reference.n_vars, dtype=bool)
        measured[columns] = True
        # Places the query's genes among the reference's; 0 where there is none.
        place = sp.csr_matrix(
            (np.ones(len(columns)), (np.arange(len(columns)), columns)), (len(columns), len(measured))
        )
        zeros = peers.log_normalise(query) @ place
        answers = {name: classifier.predict(represent(zeros.tocsr()))}
        if measured.all():
            return answers
        library = peers.log_normalise(query, 1e4 * counts[measured].sum() / counts.sum()) @ place
        answers[f"{name}+library"] = classifier.predict(represent(library.tocsr()))
        filled = sp.csr_matrix(library.toarray() + np.where(measured, 0, mean))
        answers[f"{name}+mean"] = classifier.predict(represent(filled))
        left = peers.log_normalise(task.reference[:, measured])
        anew = features(left, seed)
        again = type(classifier)(**classifier.get_params()).fit(anew(left), task.labels)
        answers[f"{name}+refit"] = again.predict(anew(peers.log_normalise(query)))
        return answers

    return ask


METHODS: dict[str, Callable[[Task, int], Ask]] = {
    "plkd": plkd,
    "plkd-no-kd": without_distillation,
    "SVM": linear_svm,
    "LR-hvg2000": logistic,
}
