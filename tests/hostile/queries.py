"""Everything that takes a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tests.hostile import arguments, data
from tests.hostile.judge import judge
from tests.hostile.world import Case, World, good, good_mudata

#: Entry to whose, method and keyword arguments.
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PLKD.predict": ("model", "predict", {"soft": True}),
    "PLKD.predict, Teacher": ("model", "predict", {"soft": True, "model": "teacher"}),
    "PLKD.annotate": ("calibrated", "annotate", {"unknown": 0.1}),
    "PLKD.predict_sets": ("calibrated", "predict_sets", {}),
    "PLKD.get_latent_representation": ("model", "get_latent_representation", {}),
    "PLKD.get_pattern_attention": ("model", "get_pattern_attention", {}),
    "PLKD.get_pattern_attribution": ("model", "get_pattern_attribution", {}),
    "PLKD.get_modality_weights": ("model", "get_modality_weights", {}),
    "Annotator.predict": ("annotator", "predict", {"soft": True}),
    "Annotator.annotate": ("calibrated_annotator", "annotate", {"unknown": "auto"}),
    "Annotator.predict_sets": ("calibrated_annotator", "predict_sets", {}),
    "Annotator.alignment_report": ("annotator", "alignment_report", {}),
    "PLKD.alignment_report": ("model", "alignment_report", {}),
    "Annotator.get_latent_representation": ("annotator", "get_latent_representation", {}),
    "Annotator.get_pattern_attribution": ("annotator", "get_pattern_attribution", {}),
    "joint PLKD.predict": ("joint", "predict", {"soft": True}),
    "joint PLKD.get_pattern_attention": ("joint", "get_pattern_attention", {}),
    "joint PLKD.get_modality_weights": ("joint", "get_modality_weights", {}),
    "joint Annotator.predict": ("joint_annotator", "predict", {"soft": True}),
}
SUMS_TO_ONE = ("predict", "get_pattern_attention", "get_modality_weights")


def check(method: str, n_obs: int | None):
    """Return a function that says what is wrong with an answer."""

    def wrong(answer: Any) -> str | None:
        if method == "alignment_report":
            return None if 0 <= answer.fraction <= 1 else "a share outside of [0, 1]"
        if n_obs is not None and len(answer) != n_obs:
            return f"{len(answer)} rows for {n_obs} cells"
        frame = answer if isinstance(answer, pd.DataFrame) else pd.DataFrame(np.asarray(answer))
        # The share of a vote that a cell took no part in is NaN, as the docs say.
        numbers = frame.select_dtypes("number").drop(columns="vote_share", errors="ignore").to_numpy(dtype=float)
        if not np.isfinite(numbers).all():
            return "numbers that are not finite"
        if method in SUMS_TO_ONE and numbers.size and not np.allclose(numbers.sum(axis=1), 1, atol=1e-4):
            return "rows that do not sum to 1"
        return None

    return wrong


def cases() -> Iterator[Case]:
    """Give every method every data set, and every value of its other arguments."""
    adata, mdata = good(), good_mudata()
    families = {
        **data.matrices(adata), **data.shapes(adata), **data.names(adata), **data.containers(adata), **data.mudatas(mdata),
    }  # fmt: skip
    for entry, (whose, method, kwargs) in METHODS.items():
        for name, make in families.items():
            yield Case(entry, name, _with_data(whose, method, kwargs, make))
        for argument, values in _arguments(whose, method).items():
            for name, value in values.items():
                yield Case(entry, f"{argument}: {name}", _with_argument(whose, method, {**kwargs, argument: value}))


def _arguments(whose: str, method: str) -> dict[str, dict[str, Any]]:
    if method == "alignment_report":
        return {}
    found = {"indices": arguments.indices(60), "batch_size": arguments.BATCH_SIZES}
    if method == "annotate":
        labels = {
            "a label of the model": "B",
            "list": ["x"],
            "int": 3,
            "empty text": "",
            "None": None,
            "NaN": float("nan"),
        }
        found |= {"unknown": arguments.NUMBERS, "unknown_label": labels, "over_clustering": arguments.groups(60)}
    if method == "predict_sets":
        found["coverage"] = arguments.NUMBERS
    if whose in ("annotator", "calibrated_annotator") and method in ("predict", "annotate"):
        found["client"] = {"text": "tcp://localhost", "int": 3, "a list": []}
    if whose in ("model", "joint", "calibrated"):
        if method in ("predict", "annotate", "get_latent_representation"):
            found["modality"] = arguments.NAMES
        if method in ("predict", "get_latent_representation"):
            found["model"] = arguments.NAMES
        if method.startswith(("get_pattern", "get_modality")):
            found["groupby"] = arguments.groups(60)
    found["no_such_argument"] = {"any": 1}
    return found


def _with_data(whose: str, method: str, kwargs: dict[str, Any], make: data.Make):
    def run(world: World, folder):
        query = make()
        call = getattr(getattr(world, whose), method)
        return judge(lambda: call(query, **kwargs), check(method, getattr(query, "n_obs", None)), query)

    return run


def _with_argument(whose: str, method: str, kwargs: dict[str, Any]):
    def run(world: World, folder):
        query = good_mudata() if whose.startswith("joint") else good()
        call = getattr(getattr(world, whose), method)
        return judge(lambda: call(query, **kwargs), check(method, None), query)

    return run
