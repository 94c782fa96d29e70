"""Making and training a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.hostile import arguments
from tests.hostile.judge import Outcome, judge
from tests.hostile.world import Case, World, good

SMALL = {"teacher_kwargs": {"width": 4, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (4,)}}


def _model(**kwargs: Any) -> Any:
    from plkd import PLKD

    adata = good()
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    return PLKD(adata, **{**SMALL, **kwargs})


def making(**kwargs: Any):
    """Make a model; arguments stay as they were."""

    def run(world: World, folder: Path) -> Outcome:
        return judge(lambda: _model(**kwargs), None, kwargs)

    return run


def patterns() -> dict[str, Any]:
    """Sources of patterns."""
    genes = list(good().var_names)
    return {
        "int": 3, "float": 0.5, "empty text": "", "no such file": "nowhere.gmt", "list": genes, "empty dict": {}, "NaN": float("nan"),
        "unknown genes": {"a": ["X1", "X2", "X3", "X4", "X5"]}, "text for a list": {"a": "GENE1"}, "number for a list": {"a": 3},
        "None in it": {"a": [None, *genes[:6]]}, "empty lists": {"a": []}, "None as name": {None: genes[:6]}, "bytes": b"immune",
        "one gene": {"a": genes[:1]}, "all genes": {"a": genes}, "lower case": {"a": [g.lower() for g in genes]},
        "unicode": {"набор": genes[:6]}, "frame without columns": pd.DataFrame(), "frame of others": pd.DataFrame({"x": [1]}),
        "frame with NaN": pd.DataFrame({"source": ["a", None], "target": ["GENE1", "GENE2"]}), "state of another format": {"plkd_patterns": 99},
        "broken state": {"plkd_patterns": 1}, "state with text": {"plkd_patterns": "one"}, "array": np.eye(3), "immune": "immune",
        "Path": Path("nowhere.gmt"), "NUL": "a\0.gmt", "folder": ".", "set": {"a"}, "nested": {"a": [["GENE1", "GENE2"]]},
    }  # fmt: skip


SETTINGS = {
    "pattern_kwargs": ("min_size", "max_size", "max_patterns", "max_overlap", "n_learned", "max_learned_size", "max_set_size", "learned"),
    "teacher_kwargs": ("n_free", "width", "depth", "n_heads", "mlp_ratio", "dropout", "attention_dropout", "pattern_dropout", "drop_path",
                       "tokenizer_bound", "init_std"),
    "student_kwargs": ("n_hidden", "dropout"),
}  # fmt: skip
#: Fine, and too large to make.
_LARGE = {"2**63", "1e300"}


def cases() -> Iterator[Case]:
    """Give PLKD() every value of its arguments."""
    for name, value in patterns().items():
        yield Case("PLKD()", f"patterns: {name}", making(patterns=value))
    for name, value in arguments.NAMES.items():
        yield Case("PLKD()", f"gene_symbols: {name}", making(gene_symbols=value))
        yield Case("PLKD()", f"preset: {name}", making(preset=value))
        yield Case("PLKD()", f"peak_genes: {name}", making(peak_genes=value))
        for argument in SETTINGS:
            yield Case("PLKD()", f"{argument}: {name}", making(**{argument: value}))
    for argument, settings in SETTINGS.items():
        for setting in settings:
            for name, value in arguments.NUMBERS.items():
                yield Case(
                    "PLKD()",
                    f"{argument}, {setting}: {name}",
                    making(**{argument: {**SMALL.get(argument, {}), setting: value}}),
                )
    yield Case("PLKD()", "not set up", lambda world, folder: judge(_not_set_up))
    yield Case("PLKD()", "nothing", lambda world, folder: judge(_of(None)))
    for name, thing in {"int": 3, "text": "ref", "array": np.eye(3), "frame": pd.DataFrame()}.items():
        yield Case("PLKD()", f"container: {name}", lambda world, folder, thing=thing: judge(_of(thing), None, thing))
    yield from _training()


def _not_set_up() -> None:
    from plkd import PLKD

    PLKD(good())


def _of(thing: Any):
    def call() -> None:
        from plkd import PLKD

        PLKD(thing)

    return call


TRAINING = {
    "max_epochs": arguments.NUMBERS, "batch_size": arguments.NUMBERS, "train_size": arguments.NUMBERS, "validation_size": arguments.NUMBERS,
    "accelerator": arguments.NAMES, "devices": {**arguments.NAMES, **arguments.NUMBERS}, "early_stopping": {"text": "yes", "None": None, "list": [1]},
    "checkpoint_dir": arguments.PATHS, "plan_kwargs": arguments.NAMES, "plan_config": arguments.NAMES, "trainer_config": arguments.NAMES,
    "datasplitter_kwargs": {**arguments.NAMES, "unknown": {"shuffle": True}},
    "callbacks": {"int": [3], "text": "x", "class": [dict]}, "gradient_clip_val": {"text": "x", "negative": -1.0, "NaN": float("nan")},
    "precision": {"unknown": "8-bit", "int": 3}, "check_val_every_n_epoch": {"text": "x", "-1": -1, "0": 0}, "no_such_argument": {"any": 1},
    "enable_progress_bar": {"text": "no"}, "max_steps": {"text": "x", "-7": -7}, "logger": {"int": 3, "text": "x"},
}  # fmt: skip
PHASES = {
    "lr": arguments.NUMBERS, "weight_decay": arguments.NUMBERS, "patience": arguments.NUMBERS, "hide_rate": arguments.NUMBERS, "balance": arguments.NUMBERS,
    "clip_norm": arguments.NUMBERS, "label_smoothing": arguments.NUMBERS, "optimizer": arguments.NAMES, "schedule": arguments.NAMES,
    "keep_best": {"text": "yes", "None": None}, "temperature": arguments.NUMBERS, "kd_weight": arguments.NUMBERS, "no_such": {"any": 1},
}  # fmt: skip


def external() -> dict[str, Any]:
    """Splits by cell numbers."""
    a = np.arange(40)
    return {
        "overlapping": [a, a], "outside": [a, [60]], "negative": [a, [-1]], "text": [["0"], ["1"]], "empty": [[], []], "one": [a], "none": [],
        "four": [a, [41], [42], [43]], "floats": [a / 1, [41.0]], "masks": [np.ones(60, bool), np.zeros(60, bool)], "int": 3, "NaN": [[np.nan], [1]],
        "None": [None, None, None], "two dims": [a.reshape(4, 10), [41]], "dict": {"train": a}, "repeats": [[1, 1, 2, 2], [3]],
    }  # fmt: skip


def _training() -> Iterator[Case]:
    for argument, values in TRAINING.items():
        for name, value in values.items():
            yield Case("PLKD.train", f"{argument}: {name}", training(**{argument: value}))
    for name, value in external().items():
        yield Case(
            "PLKD.train", f"external_indexing: {name}", training(datasplitter_kwargs={"external_indexing": value})
        )
    for setting, values in PHASES.items():
        phase = "student" if setting in ("temperature", "kd_weight") else "teacher"
        for name, value in values.items():
            yield Case("PLKD.train", f"{phase}, {setting}: {name}", training(plan_kwargs={phase: {setting: value}}))
    yield Case("PLKD.train", "plan_kwargs: unknown phase", training(plan_kwargs={"third": {}}))
    yield Case("PLKD.train", "plan_kwargs: a phase that is no dict", training(plan_kwargs={"teacher": 3}))


def training(**kwargs: Any):
    """Ask for a training; what is accepted is stopped before its first epoch, which takes long and is tested elsewhere."""
    from unittest import mock

    def run(world: World, folder: Path) -> Outcome:
        model = world.fresh
        given = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "logger": False, **kwargs}
        before = {name: value.clone() for name, value in model.module.state_dict().items()}
        with mock.patch("plkd.train._runner.TrainRunner.__call__", side_effect=Begun):

            def call() -> None:
                with suppress(Begun):
                    model.train(**given)

            outcome = judge(call, None, kwargs)
        model.module.load_state_dict(before)
        return outcome

    return run


class Begun(BaseException):
    """Training has begun."""
