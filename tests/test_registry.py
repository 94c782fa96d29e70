"""The entry for the scverse registry says what the package says of itself, in the words that the registry has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
#: Closed lists of scverse/ecosystem-packages' schema.json, those of its words that fit plkd.
TAGS = {
    "scRNA-seq", "multimodal", "proteomics", "ATAC-seq", "cell-type annotation", "data integration", "functional analysis",
    "deep learning", "GPU acceleration",
}  # fmt: skip
REQUIRED = {
    "name", "description", "project_home", "documentation_home", "license", "primary_category", "tags", "language",
    "category", "install",
}  # fmt: skip
OPTIONAL = {"tutorials_home", "publications", "contact", "logo", "test_command"}


@pytest.fixture(scope="module")
def entry() -> dict:
    return yaml.safe_load((ROOT / "docs" / "developer" / "meta.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_fields_are_those_of_the_schema(entry):
    assert REQUIRED <= set(entry) <= REQUIRED | OPTIONAL
    assert entry["category"] == "ecosystem"
    assert entry["language"] == "Python"
    assert entry["primary_category"] in {"scRNA-seq", "Multimodal"}
    assert set(entry["tags"]) <= TAGS
    assert len(entry["tags"]) == len(set(entry["tags"])) <= 10


def test_agrees_with_the_package(entry, project):
    assert entry["name"] == entry["install"]["pypi"] == project["name"]
    assert entry["license"] == project["license"]
    assert [f"https://doi.org/{doi}" for doi in entry["publications"]] == [project["urls"]["Paper"]]


def test_links_have_the_form_that_the_registry_asks_for(entry):
    links = [entry[name] for name in ("project_home", "documentation_home", "tutorials_home")]
    assert len(set(links)) == 3
    assert all(re.fullmatch(r"https://[\w.-]+/[\w./-]*", link) for link in links)
    assert not any("/en/" in link for link in links)


def test_tests_are_run_as_the_entry_says(entry, project):
    extra = re.search(r'"\.\[(\w+)\]"', entry["test_command"])[1]
    assert any(requirement.startswith("pytest>=") for requirement in project["optional-dependencies"][extra])
