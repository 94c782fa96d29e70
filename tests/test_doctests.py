"""Examples in docstrings run and give what they show."""

from __future__ import annotations

import doctest
import importlib
import inspect
import logging
from collections.abc import Iterator
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


@pytest.fixture
def quiet_scvi() -> Iterator[None]:
    """Keep scvi-tools, which logs to stdout, from what examples show."""
    logger = logging.getLogger("scvi")
    before = logger.level
    # Not the attribute alone: loggers below remember whether they speak.
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.fixture
def names(trained, joint, make_adata, make_mdata, ref_query, tmp_path, monkeypatch, quiet_scvi) -> dict[str, object]:
    """Give what examples take for granted (docs/api/index.md), in a folder with the files that they name."""
    monkeypatch.chdir(tmp_path)
    ref, query = ref_query
    query.write_h5ad("query.h5ad")
    trained.save("model/", save_anndata=True)
    trained.export_student("annotator/")
    second = make_adata(n_labels=4, seed=1)
    mdata = make_mdata()
    mdata.write_h5mu("reference.h5mu")
    return {
        "ref": trained.adata.copy(),
        "query": query,
        "model": trained,
        "second": second,
        "mdata": mdata,
        "joint": joint,
    }


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module, names):
    assert doctest.testmod(importlib.import_module(module), extraglobs={"plkd": plkd, **names}).failed == 0


def test_every_public_function_and_method_has_an_example():
    values = [getattr(plkd, name) for name in plkd.__all__]
    values += [getattr(module, name) for module in filter(inspect.ismodule, values) for name in module.__all__]
    for cls in filter(inspect.isclass, values):
        values += [
            getattr(cls, name) for base in cls.__mro__ if base.__module__.startswith("plkd") for name in vars(base)
        ]
    own = [
        v for v in values if inspect.isroutine(v) and v.__module__.startswith("plkd") and not v.__name__.startswith("_")
    ]
    assert [v.__qualname__ for v in own if ">>>" not in (v.__doc__ or "")] == []
