"""Pattern learning and knowledge distillation for annotating and integrating single-cell data."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plkd import datasets, interpret, metrics, patterns, pl, presets
    from plkd.align import AlignmentReport
    from plkd.annotator import Annotator
    from plkd.inference import add_annotation
    from plkd.model import PLKD
    from plkd.patterns import PatternSet
    from plkd.report import Report

__version__ = version("plkd")

#: Public name -> module it lives in; loaded when first used, so that importing plkd stays light.
_HOME = {
    "AlignmentReport": "plkd.align",
    "Annotator": "plkd.annotator",
    "PLKD": "plkd.model",
    "PatternSet": "plkd.patterns",
    "Report": "plkd.report",
    "add_annotation": "plkd.inference",
    "datasets": "plkd.datasets",
    "interpret": "plkd.interpret",
    "metrics": "plkd.metrics",
    "patterns": "plkd.patterns",
    "pl": "plkd.pl",
    "presets": "plkd.presets",
}

__all__ = [
    "PLKD",
    "AlignmentReport",
    "Annotator",
    "PatternSet",
    "Report",
    "add_annotation",
    "datasets",
    "interpret",
    "metrics",
    "patterns",
    "pl",
    "presets",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'plkd' has no attribute {name!r}; public names are {__all__}.")
    module = import_module(_HOME[name])
    return module if _HOME[name] == f"plkd.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
