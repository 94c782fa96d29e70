"""The functions that make and fetch data have examples."""

from __future__ import annotations

import pytest

from plkd import datasets


@pytest.mark.parametrize("name", datasets.__all__)
def test_public_functions_are_documented_with_an_example(name):
    assert ">>>" in getattr(datasets, name).__doc__
