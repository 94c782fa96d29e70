"""Examples in docstrings run and give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import plkd

SOURCE = Path(plkd.__file__).parent
MODULES = sorted(
    ".".join(("plkd", *path.relative_to(SOURCE).with_suffix("").parts))
    for path in SOURCE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


def test_there_are_examples():
    assert {"plkd.patterns._set", "plkd.align._align", "plkd.interpret._rank"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0
