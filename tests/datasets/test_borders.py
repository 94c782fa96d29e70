"""What importing the datasets costs, and that their examples run."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

from plkd import datasets


def test_import_loads_neither_scvi_nor_torch_nor_pooch():
    heavy = {"scvi", "lightning", "torch", "pooch", "requests", "scanpy"}
    code = f"import sys, plkd.datasets; print(*sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("module", ["_public", "_simulate"])
def test_examples_run(module):
    found = doctest.testmod(importlib.import_module(f"plkd.datasets.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", datasets.__all__)
def test_public_functions_are_documented_with_an_example(name):
    assert ">>>" in getattr(datasets, name).__doc__
