"""Tables, figures, scores, simulated data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.hostile import arguments, data
from tests.hostile.judge import Outcome, judge
from tests.hostile.world import Case, World, good

N = 60


def _calling(path: str, make: Callable[[], tuple[tuple, dict[str, Any]]]):
    """Call a public function by its path within plkd; arguments stay as they were."""

    def run(world: World, folder: Path) -> Outcome:
        import plkd

        call: Any = plkd
        for name in path.split("."):
            call = getattr(call, name)
        args, kwargs = make()
        return judge(lambda: call(*args, **kwargs), None, args, kwargs)

    return run


def given(*args: Any, **kwargs: Any) -> Callable[[], tuple[tuple, dict[str, Any]]]:
    """Return a maker of these arguments."""
    return lambda: (args, kwargs)


def table() -> pd.DataFrame:
    """Return an annotation of the good cells."""
    label = pd.Categorical(["B", "NK", "T"] * (N // 3))
    return pd.DataFrame({"label": label, "confidence": np.linspace(0.1, 1, N)}, index=good().obs_names)


def probabilities() -> pd.DataFrame:
    """Return probabilities of the good cells."""
    raw = np.random.default_rng(0).random((N, 3)) + 0.1
    return pd.DataFrame(raw / raw.sum(axis=1, keepdims=True), index=good().obs_names, columns=["B", "NK", "T"])


TRUTH = ["B", "NK", "T"] * (N // 3)
THINGS = {
    **arguments.NAMES,
    "array of two dims": np.ones((4, 4)),
    "empty": [],
    "ragged": [[1], [1, 2]],
    "frame": pd.DataFrame(),
}
SERIES = {
    **THINGS, "short": TRUTH[:-1], "long": [*TRUTH, "B"], "NaN": [np.nan] * N, "numbers": list(range(N)), "lists": [["B"]] * N, "mixed": ["B", 1, None] * (N // 3),
    "unknown labels": ["X"] * N, "unicode": ["Т"] * N, "complex": [1j] * N, "fine": TRUTH, "categorical": pd.Categorical(TRUTH), "other index": pd.Series(TRUTH),
}  # fmt: skip


def frames() -> dict[str, Any]:
    """Return tables of probabilities."""
    good_one = probabilities()
    return {
        **THINGS, "negative": good_one - 1, "NaN": good_one * np.nan, "infinite": good_one * np.inf, "not summing to 1": good_one * 2, "text": good_one.astype(str),
        "no columns": good_one[[]], "one column": good_one[["B"]], "no rows": good_one[:0], "columns twice": good_one.set_axis(["B", "B", "T"], axis=1),
        "numbered columns": good_one.set_axis([0, 1, 2], axis=1), "None as a column": good_one.set_axis([None, "a", "b"], axis=1), "objects": good_one.astype(object),
        "bool": good_one > 0.5, "complex": good_one + 1j, "array": good_one.to_numpy(), "fine": good_one, "index twice": good_one.set_axis(["a"] * N),
    }  # fmt: skip


def tables() -> dict[str, Any]:
    """Return annotations."""
    fine = table()
    return {
        **THINGS, "fine": fine, "half": fine[::2], "shuffled": fine[::-1], "other cells": fine.set_axis([f"x{i}" for i in range(N)]), "index twice": fine.set_axis(["cell0"] * N),
        "no columns": fine[[]], "numbered index": fine.reset_index(drop=True), "columns twice": pd.concat([fine, fine], axis=1), "lists": fine.assign(label=[[1]] * N),
        "numbered columns": fine.set_axis([0, 1], axis=1), "series": fine["label"], "index of None": fine.set_axis([None] * N),
    }  # fmt: skip


def cases() -> Iterator[Case]:
    """Give all that is left everything."""
    for name, value in tables().items():
        yield Case("add_annotation", name, _annotating(good, value))
    for name, make in {**data.containers(good()), **data.shapes(good())}.items():
        yield Case("add_annotation", name, _annotating(make, table()))
    for name, value in arguments.NAMES.items():
        yield Case("add_annotation", f"key_added: {name}", _annotating(good, table(), key_added=value))
    for name, value in SERIES.items():
        yield Case("pl.confusion_matrix", f"truth: {name}", _calling("pl.confusion_matrix", given(value, TRUTH)))
        yield Case("pl.confusion_matrix", f"predicted: {name}", _calling("pl.confusion_matrix", given(TRUTH, value)))
        yield Case(
            "pl.confusion_matrix", f"labels: {name}", _calling("pl.confusion_matrix", given(TRUTH, TRUTH, labels=value))
        )
        for function in (
            "metrics.brier_score",
            "metrics.calibration_error",
            "metrics.reliability",
            "pl.reliability",
            "Report",
        ):
            yield Case(function, f"truth: {name}", _calling(function, given(value, probabilities())))
    for name, value in frames().items():
        for function in (
            "metrics.brier_score",
            "metrics.calibration_error",
            "metrics.reliability",
            "pl.reliability",
            "Report",
            "metrics.coverage",
        ):
            yield Case(function, f"probabilities: {name}", _calling(function, given(TRUTH, value)))
        yield Case("pl.pattern_heatmap", name, _calling("pl.pattern_heatmap", given(value)))
        yield Case("pl.confidence_histogram", name, _calling("pl.confidence_histogram", given(value)))
    for name, value in tables().items():
        yield Case("pl.confidence_histogram", f"table: {name}", _calling("pl.confidence_histogram", given(value)))
    for name, value in arguments.NUMBERS.items():
        yield Case(
            "pl.pattern_heatmap",
            f"n_patterns: {name}",
            _calling("pl.pattern_heatmap", given(probabilities()[:9], n_patterns=value)),
        )
        yield Case(
            "metrics.calibration_error",
            f"n_bins: {name}",
            _calling("metrics.calibration_error", given(TRUTH, probabilities(), n_bins=value)),
        )
    histories = {**THINGS, "no epochs": {"teacher_loss_train": pd.DataFrame()}, "text": {"teacher_loss_train": pd.DataFrame({"a": ["x"]})}, "others": {"elbo_train": pd.DataFrame({"a": [1.0]})},
                 "NaN": {"student_ce_loss_train": pd.DataFrame({"a": [np.nan]})}, "lists": {"student_ce_loss_train": [1, 2]}, "infinite": {"student_ce_loss_validation": pd.DataFrame({"a": [np.inf]})}}  # fmt: skip
    for name, value in histories.items():
        yield Case("pl.training_curves", name, _calling("pl.training_curves", given(value)))
    for function, args in {
        "pl.confusion_matrix": (TRUTH, TRUTH),
        "pl.pattern_heatmap": (probabilities()[:9],),
        "pl.training_curves": ({"teacher_ce_loss_train": pd.DataFrame({"a": [1.0]})},),
    }.items():
        for name, value in {"int": 3, "text": "x", "list": [1, 2], "empty": [], "dict": {}}.items():
            yield Case(function, f"ax: {name}", _calling(function, given(*args, ax=value)))
    yield from _maps()
    yield from _simulated()
    for name, value in {**THINGS, "none of them": {"X": "Y"}, "to one name": {"GENE1": "a", "GENE2": "a"}, "to None": {"GENE1": None}, "to numbers": {"GENE1": 3}, "to one there is": {"GENE1": "GENE2"},
                        "to NaN": {"GENE1": np.nan}, "to lists": {"GENE1": ["a"]}, "series twice": pd.Series(["a", "b"], index=["GENE1", "GENE1"]), "frame": pd.DataFrame({"a": [1]})}.items():  # fmt: skip
        yield Case("Annotator.rename_features", name, _renaming(value))
    for name, value in {**THINGS, "nested": {"a": {"b": {"c": object()}}}, "functions": {"a": {"b": len}}}.items():
        yield Case("Report", f"about: {name}", _calling("Report", given(TRUTH, probabilities(), about=value)))
        yield Case(
            "Report", f"uncalibrated: {name}", _calling("Report", given(TRUTH, probabilities(), uncalibrated=value))
        )
    for name, value in arguments.PATHS.items():
        yield Case("Report.to_html", f"path: {name}", _to_html(value))
    changes = {
        "unknown part": {"nothing": {}},
        "unknown setting": {"teacher": {"nothing": 1}},
        "int": {"teacher": 3},
        "text": {"teacher": "x"},
        "list": {"teacher": [1]},
    }
    for name, value in changes.items():
        yield Case("presets.default.replace", name, _calling("presets.default.replace", given(**value)))
    for name, value in {**changes, **THINGS}.items():
        yield Case("presets.Preset.from_dict", name, _calling("presets.Preset.from_dict", given(value)))


def _annotating(make: Callable[[], Any], annotation: Any, **kwargs: Any):
    def run(world: World, folder: Path) -> Outcome:
        import plkd

        adata = make()
        before = list(getattr(getattr(adata, "obs", None), "columns", []))

        def call() -> None:
            plkd.add_annotation(adata, annotation, **kwargs)
            # What it was asked to write is no change of anything else.
            adata.obs = adata.obs[before]

        return judge(call, None, adata, annotation)

    return run


def _renaming(mapping: Any):
    def run(world: World, folder: Path) -> Outcome:
        return judge(lambda: world.annotator.rename_features(mapping), None, mapping)

    return run


def _to_html(path: Any):
    def run(world: World, folder: Path) -> Outcome:
        import plkd

        report = plkd.Report(TRUTH, probabilities())
        return judge(lambda: report.to_html(path))

    return run


def _maps() -> Iterator[Case]:
    """UMAPs that cannot be drawn; drawing one takes long and is tested elsewhere."""
    latents = {"text": np.full((N, 2), "a"), "NaN": np.full((N, 2), np.nan), "infinite": np.full((N, 2), np.inf), "complex": np.ones((N, 2)) + 1j, "objects": np.full((N, 2), None, dtype=object),
               "three dims": np.ones((N, 2, 2)), "no columns": np.ones((N, 0)), "frame of text": pd.DataFrame({"a": ["x"] * N}, index=good().obs_names)}  # fmt: skip
    for name, values in latents.items():

        def make(values: Any = values) -> tuple[tuple, dict[str, Any]]:
            adata = good()
            adata.obsm["X_plkd"] = values
            return (adata, "cell_type"), {}

        yield Case("pl.umap", name, _calling("pl.umap", make))

    def with_latent(n: int = N, **kwargs: Any):
        def make() -> tuple[tuple, dict[str, Any]]:
            adata = good()[:n].copy()
            adata.obsm["X_plkd"] = np.arange(2.0 * n).reshape(n, 2)
            return (adata, kwargs.pop("color", "cell_type")), kwargs

        return make

    for name, value in arguments.NAMES.items():
        yield Case("pl.umap", f"color: {name}", _calling("pl.umap", with_latent(color=value)))
        yield Case("pl.umap", f"use_rep: {name}", _calling("pl.umap", with_latent(use_rep=value)))
    for name, value in {k: v for k, v in arguments.NUMBERS.items() if k not in ("2**63", "1e300")}.items():
        yield Case("pl.umap", f"n_neighbors: {name}", _calling("pl.umap", with_latent(n_neighbors=value)))
    for name, value in {"text": "a", "-1": -1, "fraction": 0.5, "list": [1], "2**63": 2**63}.items():
        yield Case("pl.umap", f"random_state: {name}", _calling("pl.umap", with_latent(random_state=value)))
    yield Case("pl.umap", "few cells", _calling("pl.umap", with_latent(3)))
    yield Case("pl.umap", "color: no columns", _calling("pl.umap", with_latent(color=[])))
    for name, value in data.containers(good()).items():
        yield Case("pl.umap", name, _calling("pl.umap", lambda v=value: ((v(), "cell_type"), {})))


def _simulated() -> Iterator[Case]:
    sizes = ("n_obs", "n_labels", "n_batches", "n_programmes", "n_genes", "n_proteins", "n_peaks")
    shares = (
        "label_strength",
        "batch_strength",
        "rna_depth",
        "protein_depth",
        "atac_depth",
        "missing",
        "unlabeled",
        "seed",
    )
    small = {
        "n_obs": 20,
        "n_labels": 2,
        "n_batches": 1,
        "n_programmes": 2,
        "n_genes": 20,
        "n_proteins": 4,
        "n_peaks": 20,
    }
    for argument in (*sizes, *shares):
        for name, value in arguments.NUMBERS.items():
            yield Case(
                "datasets.simulate",
                f"{argument}: {name}",
                _calling("datasets.simulate", given(**{**small, argument: value})),
            )
    for argument in ("modalities", "unlabeled_category"):
        for name, value in arguments.NAMES.items():
            yield Case(
                "datasets.simulate",
                f"{argument}: {name}",
                _calling("datasets.simulate", given(**{**small, argument: value})),
            )
    for name, value in {**arguments.PATHS, "ftp": "ftp://x/y.h5", "no file": "https://x.invalid/"}.items():
        yield Case(
            "datasets.fetch_10x", f"url: {name}", _calling("datasets.fetch_10x", given(value, "md5:" + "0" * 32))
        )
    for name, value in arguments.NAMES.items():
        yield Case(
            "datasets.fetch_10x",
            f"known_hash: {name}",
            _calling("datasets.fetch_10x", given("https://x.invalid/y.h5", value)),
        )
