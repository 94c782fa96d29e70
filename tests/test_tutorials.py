"""The tutorials as they are stored: run from top to bottom, clean, described for scverse-tutorials, and listed in the docs.

That they run is checked by executing them (`.ci/run`).
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "tutorials").glob("*.ipynb"))
MAX_BYTES = 1_000_000

#: What scverse-tutorials' registry allows (tutorial-registry/schema.json).
CATEGORIES = {
    "Data structures",
    "scRNA-seq",
    "Spatial",
    "Adaptive immune cell receptor",
    "Surface proteins",
    "ATAC-seq",
    "Multimodal",
    "Tips & Tricks",
}
MODALITIES = {"DNA", "RNA", "protein", "ATAC", "AIRR", "spatial"}
TAGS = {
    "data structures",
    "differential expression",
    "functional analysis",
    "concatenation",
    "preprocessing",
    "cell-type annotation",
    "quality control",
    "visualization",
    "multimodal",
    "data integration",
    "perturbation",
    "compositional analysis",
    "RNA velocity",
    "pseudotime",
    "interoperability",
}

#: A path from the root, from home, or of Windows (as JSON writes it).
MACHINE_PATH = r"[A-Z]:\\\\|(?<![\w./:])[~/](?:[\w.-]+/)+[\w.-]"

each_tutorial = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def outputs(path: Path) -> list[dict]:
    return [output for cell in code_cells(path) for output in cell["outputs"]]


def shown(output: dict) -> str:
    """Text that a reader of an output sees; not the bytes of a picture."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    return json.dumps([output.get("text", ""), data])


def test_there_are_tutorials_numbered_in_reading_order():
    numbers = [path.stem.partition("_")[0] for path in PATHS]
    assert numbers == [f"{i + 1:02d}" for i in range(len(PATHS))]
    assert len(PATHS) >= 8


@each_tutorial
def test_every_code_cell_ran_once_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each_tutorial
def test_outputs_are_stored_with_a_figure(path):
    kinds = {kind for output in outputs(path) for kind in output.get("data", {})}
    assert "image/png" in kinds
    assert "text/plain" in kinds


@each_tutorial
def test_no_output_is_an_error_or_a_warning(path):
    bad = [shown(o) for o in outputs(path) if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert not bad
    assert not [shown(o) for o in outputs(path) if re.search(r"\w+Warning\b", shown(o))]


@each_tutorial
def test_no_output_shows_a_path_of_the_machine(path):
    found = [re.search(MACHINE_PATH, shown(output)) for output in outputs(path)]
    assert not [match.group() for match in found if match]


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("File /tmp/x/model.pt", True),
        ("in ~/data/query.h5ad", True),
        ("C:\\\\Users\\\\me", True),
        ("model/model.pt", False),
        ("https://scverse.org/learn/page", False),
        ("CD4+/CD45RA+/CD25- Naive T <td>1</td>", False),
    ],
)
def test_paths_of_machines_are_recognised(text, is_path):
    assert bool(re.search(MACHINE_PATH, text)) is is_path


@each_tutorial
def test_the_last_code_cell_checks_the_claim(path):
    last = ast.parse(source(code_cells(path)[-1]))
    assert any(isinstance(node, ast.Assert) for node in ast.walk(last))


@each_tutorial
def test_runs_offline_and_has_one_switch_to_the_public_set(path):
    code = "\n".join(map(source, code_cells(path)))
    switches = re.findall(r"^PUBLIC = (\w+)  # True: .+", code, flags=re.MULTILINE)
    assert switches == ["False"]
    assert "if PUBLIC:" in code


@each_tutorial
def test_is_small(path):
    assert path.stat().st_size < MAX_BYTES


@each_tutorial
def test_says_what_scverse_tutorials_asks(path):
    notebook = read(path)
    about, first = notebook["metadata"]["scverse"], source(notebook["cells"][0])
    assert notebook["metadata"]["title"] == about["name"]
    assert notebook["metadata"]["authors"] == [{"name": "plkd developers"}]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert first.startswith(f"# {about['name']}\n")
    assert "(https://scverse.org/learn)" in first
    assert "**Data.**" in first
    assert "**Needs.**" in first
    assert 20 < len(about["description"]) < 300
    assert about["primary_category"] in CATEGORIES
    assert set(about["modality"]) <= MODALITIES
    assert set(about["tags"]) <= TAGS
    assert "plkd" in about["packages"]


@each_tutorial
def test_links_to_other_pages_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+?)(?:#[\w-]+)?\)", "\n".join(map(source, read(path)["cells"])))
    local = [link for link in links if link.endswith((".ipynb", ".md"))]
    assert local
    # They stand below docs/tutorials/notebooks when the docs are built.
    built = ROOT / "docs" / "tutorials" / "notebooks"
    for link in local:
        target = path.parent / link if link.endswith(".ipynb") else built / link
        assert target.resolve().is_file(), link


def test_names_are_unique():
    names = [read(path)["metadata"]["scverse"]["name"] for path in PATHS]
    assert len(set(names)) == len(names)


@each_tutorial
def test_is_listed_in_the_docs_with_a_line(path):
    page = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert re.search(rf"\(notebooks/{path.name}\): \w.{{20,}}", page)
