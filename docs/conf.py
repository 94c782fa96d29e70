from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path

here = Path(__file__).parent
metadata = tomllib.loads((here.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = metadata["name"]
author = metadata["authors"][0]["name"]
copyright = f"2026, {author}"
release = version = metadata["version"]

extensions = [
    "myst_nb",  # brings myst_parser
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints"]

# Markdown and notebooks; the tutorials are executed by .ci/run, not by the docs build.
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# API pages: types and defaults stand in the signature only.
autosummary_generate = True
autosummary_imported_members = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # as in the source: presets.default, not what it holds
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_attr_annotations = False
default_role = "literal"

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

# A link to a name of ours that has no page is an error. Other projects' names are links where their pages can be fetched
# and words where not; private ones stand in signatures; what napoleon takes for a class in a "Returns" is prose.
nitpicky = True
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(anndata|collections|lightning|matplotlib|mudata|numpy|pandas|pathlib|scanpy|scipy|scvi|torch|typing)\..*",
    ),
    (r"py:.*", r"plkd\.(\w+\.)*_\w+(\.\w+)*"),
    (r"py:class", r"(AnnData|AnnOrMuData|Groups|MuData|Path|np\.ndarray|pd\.\w+)"),
]

# Links to other projects' pages are fetched at build time: on where a network is promised (.readthedocs.yaml).
if os.environ.get("PLKD_DOCS_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "lightning": ("https://lightning.ai/docs/pytorch/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "mudata": ("https://mudata.readthedocs.io/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/pandas-docs/stable/", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "scvi-tools": ("https://docs.scvi-tools.org/en/stable/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "torch": ("https://pytorch.org/docs/stable/", None),
    }

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["plkd.css"]
html_title = project
html_theme_options = {
    "show_navbar_depth": 2,
    "navbar_persistent": [],  # the side bar has the search
}


def copy_tutorials(app):
    """Bring the notebooks below the source root: sphinx reads nothing outside it, and links to folders break elsewhere."""
    target = here / "tutorials" / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(here.parent / "tutorials", target, ignore=shutil.ignore_patterns(".*", "*.h5ad"))


def draw_architecture(app):
    """Make the picture of the parts from its source."""
    sys.path.insert(0, str(here))
    try:
        from architecture import draw
    finally:
        sys.path.remove(str(here))
    draw(here / "_static" / "architecture.svg")


def write_llms_txt(app, exception):
    """Write llms.txt (https://llmstxt.org): every page with its title, in reading order, for programs that read."""
    if exception is not None or app.builder.name != "html":
        return
    env, lines, done = app.env, [f"# {project}", "", f"> {metadata['description']}.", ""], set()

    def add(page, depth):
        if page in done or page not in env.titles:
            return
        done.add(page)
        title = env.titles[page].astext()
        entry = f"- [{title}]({app.builder.get_target_uri(page)})"
        lines.extend(["", f"## {title}", "", entry] if depth == 1 else [entry] if depth else [])
        for below in env.toctree_includes.get(page, []):
            add(below, depth + 1)

    add(app.config.root_doc, 0)
    (Path(app.outdir) / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app):
    app.connect("builder-inited", copy_tutorials)
    app.connect("builder-inited", draw_architecture)
    app.connect("build-finished", write_llms_txt)
