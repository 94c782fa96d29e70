"""From an Annotator's parts to what its file holds, and back."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from scipy.sparse import csc_matrix

from plkd.annotator._file import FORMAT
from plkd.confidence import Confidence
from plkd.data import ModalitySpec
from plkd.nn import InputScaling, Student, make_scaling
from plkd.patterns import PatternSet

_MATRIX = ("data", "indices", "indptr")


def to_state(
    *,
    student: Student,
    scaling: Mapping[str, InputScaling],
    labels: Sequence[str],
    patterns: PatternSet,
    specs: Sequence[ModalitySpec],
    confidence: Confidence | None,
    card: str | None,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return tensors and a JSON-able description of the arguments of :class:`plkd.Annotator`."""
    tensors = {f"student.{name}": value for name, value in student.state_dict().items()}
    for kind, layer in scaling.items():
        tensors |= {f"{kind}.{name}": value for name, value in layer.state_dict().items()}
    tensors |= {f"patterns.{name}": _tensor(getattr(patterns.membership, name)) for name in _MATRIX}
    if confidence is not None:
        tensors |= {f"confidence.{name}": _tensor(value) for name, value in confidence.to_arrays().items()}
    return tensors, {
        "format": FORMAT,
        "versions": {"plkd": version("plkd"), "torch": torch.__version__, "python": platform.python_version()},
        "labels": list(labels),
        "modalities": [spec.to_dict() for spec in specs],
        "student": {"n_hidden": list(student.n_hidden)},
        "patterns": {
            "names": list(patterns.names),
            "sources": list(patterns.sources),
            "kinds": list(patterns.kinds),
            # Without those of a single modality, which are its own.
            "features": list(patterns.features) if len(specs) > 1 else None,
        },
        # None: not calibrated.
        "confidence": None if confidence is None else {"note": confidence.note},
        "card": card,
    }


def from_state(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :class:`plkd.Annotator` that :func:`to_state` was given."""
    specs = [ModalitySpec.from_dict(spec) for spec in about["modalities"]]
    n_features = {spec.kind: len(spec.features) for spec in specs}
    student = Student(n_features, len(about["labels"]), n_hidden=about["student"]["n_hidden"])
    student.load_state_dict(_part(tensors, "student"))
    scaling = {kind: make_scaling(kind, n) for kind, n in n_features.items()}
    for kind, layer in scaling.items():
        layer.load_state_dict(_part(tensors, kind))
    named = about["patterns"]
    features = named["features"] or specs[0].features
    membership = csc_matrix(
        tuple(tensors[f"patterns.{name}"].numpy() for name in _MATRIX), shape=(len(features), len(named["names"]))
    )
    confidence = None
    if about.get("confidence") is not None:
        arrays = {name: value.numpy() for name, value in _part(tensors, "confidence").items()}
        confidence = Confidence.from_arrays(list(n_features), arrays, about["confidence"]["note"])
    return {
        "student": student,
        "scaling": scaling,
        "labels": about["labels"],
        "patterns": PatternSet(
            tuple(named["names"]), tuple(features), membership, tuple(named["sources"]), tuple(named["kinds"])
        ),
        "specs": specs,
        "confidence": confidence,
        "card": about.get("card"),  # files of plkd's first days have none
    }


def _tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values))


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    own = f"{name}."
    return {key.removeprefix(own): value for key, value in tensors.items() if key.startswith(own)}
