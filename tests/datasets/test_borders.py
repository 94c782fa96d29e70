"""What importing the datasets costs, and that their functions have examples."""

from __future__ import annotations

import subprocess
import sys

import pytest

from plkd import datasets


def test_import_loads_neither_scvi_nor_torch_nor_pooch():
    heavy = {"scvi", "lightning", "torch", "pooch", "requests", "scanpy"}
    code = f"import sys, plkd.datasets; print(*sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("name", datasets.__all__)
def test_public_functions_are_documented_with_an_example(name):
    assert ">>>" in getattr(datasets, name).__doc__
