from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import plkd

LABELS = [
    "<script>alert(1)</script>",
    'T & B "$x_$"',
    "NK'",
    "\N{GREEK SMALL LETTER GAMMA}\N{GREEK SMALL LETTER DELTA} T",
    "\ud800",
]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page and fails where an element is not closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


@pytest.fixture(scope="module")
def report() -> plkd.Report:
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.full(5, 0.4), 60)
    frame = pd.DataFrame(values, columns=LABELS)
    truth = np.array(LABELS, dtype=object)[(values.cumsum(axis=1) > rng.random((60, 1))).argmax(axis=1)]
    about = {"dropped": {"<b>labels</b>": ["<i>few</i>"]}, "<u>note</u>": "a < b"}
    return plkd.Report(truth, frame, uncalibrated=frame, about=about)


@pytest.fixture(scope="module")
def written(report, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.to_html(path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed_and_loads_nothing(written):
    page = Page(written)
    tags = [tag for tag, _ in page.seen]
    assert not {"script", "link", "iframe", "object", "i", "b", "u"} & set(tags)
    assert "http:" not in written
    assert "https:" not in written
    assert not re.search(r"url\(|@import", written)
    for _, attributes in page.seen:
        assert "href" not in attributes
        assert (attributes.get("src") or "data:").startswith("data:")


def test_names_are_shown_as_they_are(written, report):
    page = Page(written)
    text = "".join(page.text)
    for name in (*LABELS[:4], "<b>labels</b>", "<i>few</i>", "a < b"):
        assert name in text
    assert f"{report.overall['accuracy']:.3f}" in page.text


def test_table_holds_the_scores_of_every_label(written, report):
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", written)
    assert len(rows) == 5
    cells = re.findall(r"<td[^>]*>(.*?)</td>", rows[0])
    row = report.labels.iloc[0]
    assert cells[:5] == [
        str(row["n_cells"]),
        str(row["n_called"]),
        *(f"{row[k]:.2f}" for k in ("precision", "recall", "f1")),
    ]


def test_figures_are_pictures_without_scripts_or_links(written):
    sources = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', written)
    assert len(sources) == 3
    for source in sources:
        root = ElementTree.fromstring(base64.b64decode(source))
        assert root.tag.endswith("svg")
        for element in root.iter():
            assert not element.tag.endswith("script")
            for name, value in element.attrib.items():
                assert not name.endswith("href") or value.startswith(("#", "data:"))


def test_same_report_gives_the_same_page_whatever_the_users_style(written, report, tmp_path):
    before = dict(mpl.rcParams)
    with mpl.style.context("dark_background"):
        report.to_html(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == written
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


@pytest.fixture
def undrawn(monkeypatch) -> None:
    names = ("reliability", "confidence", "confusion")
    monkeypatch.setattr("plkd.report._html.figures", lambda report: dict.fromkeys(names, "data:,"))


@pytest.mark.usefixtures("undrawn")
def test_file_is_not_replaced_unless_asked(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(ValueError, match="overwrite=True"):
        report.to_html(path)
    assert path.read_text() == "mine"
    report.to_html(str(path), overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_places_that_cannot_be_written_are_refused(report, tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        report.to_html(tmp_path)
    with pytest.raises(ValueError, match="is no path"):
        report.to_html("")
    with pytest.raises(TypeError, match="expected a path"):
        report.to_html(None)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        report.to_html(tmp_path / "no" / "report.html")


@pytest.mark.usefixtures("undrawn")
def test_old_page_stays_if_writing_fails(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(self, *args, **kwargs):
        self.touch()
        raise OSError("No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space"):
        report.to_html(path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"
