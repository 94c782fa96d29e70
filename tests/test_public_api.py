from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plkd

API_PAGE = Path(__file__).parents[1] / "docs" / "api" / "index.md"


def documented() -> list[list[str]]:
    """Entries of the API page's autosummary tables, split at the dots, without the leading ``plkd``."""
    entries = re.findall(r"^ +plkd\.([\w.]+)$", API_PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [entry.split(".") for entry in entries]


SUBMODULES = sorted({entry[0] for entry in documented() if len(entry) == 2})


def test_public_names_are_those_of_the_api_page():
    assert {entry[0] for entry in documented()} == set(plkd.__all__) - {"__version__"}


@pytest.mark.parametrize("submodule", SUBMODULES)
def test_submodule_names_are_those_of_the_api_page(submodule):
    on_page = {entry[1] for entry in documented() if entry[0] == submodule and len(entry) == 2}
    public = set(importlib.import_module(f"plkd.{submodule}").__all__)
    assert on_page == public - set(plkd.__all__)  # a name that is public at the top is documented there


@pytest.mark.parametrize("name", plkd.__all__)
def test_public_name_resolves_and_is_listed_by_dir(name):
    assert getattr(plkd, name) is not None
    assert name in dir(plkd)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = plkd.no_such_name


#: Modules imported one after the other in a new process, and what none of them up to there may have loaded.
LIGHTNING = {"scvi", "lightning", "pytorch_lightning"}
KEPT_OUT = {
    "plkd.datasets": {*LIGHTNING, "torch", "scanpy", "matplotlib", "decoupler", "pooch", "requests"},
    "plkd.patterns": {*LIGHTNING, "torch", "scanpy", "matplotlib", "decoupler", "pooch", "requests"},
    "plkd.align": {*LIGHTNING, "torch", "scanpy", "matplotlib"},
    "plkd.interpret": {*LIGHTNING, "scanpy", "matplotlib"},
    "plkd.annotator": {*LIGHTNING, "scanpy", "matplotlib"},
}
OF_ARRAYS = {
    "plkd": {*LIGHTNING, "torch", "anndata", "matplotlib"},
    "plkd.metrics": {*LIGHTNING, "torch", "anndata", "matplotlib"},
    "plkd.report": {*LIGHTNING, "torch", "anndata", "matplotlib"},
    "plkd.confidence": {*LIGHTNING, "torch", "anndata", "matplotlib"},
    "plkd.nn": {*LIGHTNING, "anndata", "matplotlib"},
}


@pytest.mark.parametrize("kept_out", [OF_ARRAYS, KEPT_OUT])
def test_import_keeps_heavy_modules_out(kept_out):
    code = f"""
import importlib, sys
for module, heavy in {kept_out}.items():
    importlib.import_module(module)
    print(*(f"{{module}}: {{name}}" for name in heavy & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_api_pages_show_what_the_mixins_bring():
    template = API_PAGE.parents[1] / "_templates" / "autosummary" / "class.rst"
    (left_out,) = re.findall(r":inherited-members: (.*)", template.read_text(encoding="utf-8"))
    others = set(left_out.split(", "))
    values = [getattr(plkd, name) for name in plkd.__all__]
    for cls in filter(inspect.isclass, values):
        for base in cls.__mro__:
            if base is not object:  # autodoc always leaves out what object brings
                assert (base.__name__ in others) == (not base.__module__.startswith("plkd")), base
