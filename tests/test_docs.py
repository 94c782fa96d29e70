"""What the pages say of the code is so: names in symbol tables exist, every argument is described."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import plkd
from tests.test_public_api import documented

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["plkd", "confidence"])
def test_names_of_the_symbol_table_exist(page):
    text = (DOCS / "user_guide" / f"{page}.md").read_text(encoding="utf-8")
    table = text.split("## Symbols and names in the code")[1].split("\n## ")[0]
    named = re.findall(r"`((?:nn|train|confidence|presets|inference)\.[\w.]+)", table)
    assert named
    for name in named:
        module, *path = name.split(".")
        thing = importlib.import_module(f"plkd.{module}")
        for i, part in enumerate(path):
            if i and not hasattr(thing, part):
                # A field, or set by __init__: a layer or a buffer.
                source = "".join(inspect.getsource(c) for c in thing.__mro__ if c.__module__.startswith("plkd"))
                assert re.search(rf'self\.{part}\b|"{part}"|^ +{part}: ', source, re.MULTILINE), name
                break
            thing = getattr(thing, part)


def public_callables() -> Iterator[tuple[str, object]]:
    """Functions, classes and the classes' own public methods on the API page, by name."""
    for entry in documented():
        thing = plkd
        for part in entry:
            thing = getattr(thing, part)
        name = ".".join(entry)
        if inspect.isclass(thing):
            # Fields of settings are described where they need it: their names say the rest.
            if not name.startswith("presets."):
                yield name, thing
            # scvi-tools' base classes describe what they bring.
            own = [base for base in thing.__mro__ if base.__module__.startswith("plkd")]
            for method in sorted({n for base in own for n in vars(base) if not n.startswith("_")}):
                if callable(getattr(thing, method)):
                    yield f"{name}.{method}", getattr(thing, method)
        elif callable(thing):
            yield name, thing


@pytest.mark.parametrize(("name", "thing"), [pytest.param(name, thing, id=name) for name, thing in public_callables()])
def test_every_argument_is_described(name, thing):
    text = inspect.getdoc(thing) or ""
    assert text, f"{name} has no docstring"
    parameters = inspect.signature(thing).parameters
    asked = [p for p in parameters if p not in ("self", "cls", "args", "kwargs")]
    section = re.split(
        r"\n(?:Returns|Raises|Notes|Examples|Yields|Attributes|See Also)\n-+\n",
        text.partition("Parameters\n----------\n")[2],
    )[0]
    attributes = re.split(
        r"\n(?:Returns|Raises|Notes|Examples|Parameters)\n-+\n", text.partition("Attributes\n----------\n")[2]
    )[0]
    heads = {
        word.strip(" *")
        for line in (section + "\n" + attributes).splitlines()
        if line and line[0] != " "
        for word in line.split(",")
    }
    assert set(asked) <= heads, f"{name} does not describe {sorted(set(asked) - heads)}"


def test_picture_of_the_architecture_is_drawn_from_its_source(tmp_path):
    spec = importlib.util.spec_from_file_location("architecture", DOCS / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.draw(tmp_path / "a.svg")
    module.draw(tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert {"Reference", "Transformer", "MLP"} <= set(re.findall(r"<text[^>]*>(\w+)</text>", text))


def test_every_term_of_the_glossary_is_said_once():
    text = (DOCS / "user_guide" / "glossary.md").read_text(encoding="utf-8")
    terms = [line for line in text.split("```{glossary}\n")[1].split("```")[0].splitlines() if line and line[0] != " "]
    assert len(terms) == len(set(terms)) > 30


@pytest.mark.parametrize(
    ("row", "module"), [("saved PLKD", "plkd.model._files"), ("Annotator", "plkd.annotator._file")]
)
def test_formats_of_files_are_those_of_the_code(row, module):
    text = (DOCS / "developer" / "compat.md").read_text(encoding="utf-8")
    number, earlier = re.search(rf"^\| {row} \| (\d+) \| .*read 1 to (\d+) \|$", text, re.MULTILINE).groups()
    code = importlib.import_module(module)
    assert int(number) == code.FORMAT
    assert int(earlier) == max(code.HOPS)
