"""The real decoupler, on small tables in the form that its servers send."""

from __future__ import annotations

import gzip
import io
import urllib.request
from email.message import Message
from urllib.response import addinfourl

import pytest

from plkd.patterns import collection
from plkd.patterns._decoupler import ORGANISMS

dc = pytest.importorskip("decoupler", reason="decoupler is not installed")
requests = pytest.importorskip("requests")


def _table(*rows: str) -> bytes:
    return "\n".join(row.replace("|", "\t") for row in rows).encode()


def _annotations(*records: tuple[str, dict[str, str]]) -> bytes:
    """Write OmniPath's long form: a row for each gene, record and property."""
    rows = ["uniprot|genesymbol|entity_type|source|label|value|record_id"]
    for i, (gene, properties) in enumerate(records):
        rows += [f"P{i}|{gene}|protein|X|{label}|{value}|{i}" for label, value in properties.items()]
    return _table(*rows)


def _marker(cell_type: str, canonical: str, human: str = "True", mouse: str = "True") -> dict[str, str]:
    return {"cell_type": cell_type, "canonical_marker": canonical, "human": human, "mouse": mouse}


ANSWERS = {
    "queries/annotations": _table("argument|values", "databases|MSigDB;PROGENy;PanglaoDB"),
    "omnipathdb.org/resources": b"{}",
    "msigdb-hallmark": gzip.compress(
        _table(
            "uniprot|genesymbol|geneset",
            "P1|LDHA|HALLMARK_HYPOXIA",
            "P2|COMPLEX:VEGFA_SLC2A1|HALLMARK_HYPOXIA",
            "P3|CASP3|HALLMARK_APOPTOSIS",
        )
    ),
    "databases=PROGENy": _annotations(
        ("NFKBIA", {"pathway": "NFkB", "weight": "6.5", "p_value": "1e-9"}),
        ("LDHA", {"pathway": "NFkB", "weight": "-2.5", "p_value": "1e-3"}),
        ("CASP3", {"pathway": "NFkB", "weight": "0.5", "p_value": "0.7"}),
        ("VEGFA", {"pathway": "Hypoxia", "weight": "3.0", "p_value": "1e-5"}),
    ),
    "databases=PanglaoDB": _annotations(
        ("CD3D", _marker("T cells", "True")),
        ("LDHA", _marker("T cells", "False")),
        ("CASP3", _marker("B cells", "True", human="False")),
    ),
    "databases=MSigDB": _annotations(
        ("CD3D", {"collection": "reactome_pathways", "geneset": "REACTOME_TCR"}),
        ("CD3D", {"collection": "hallmark", "geneset": "HALLMARK_X"}),
    ),
    "CollecTRI_regulons": (
        b"source,target,weight,resources,references,sign.decision\n"
        b"MYC,LDHA,1,CollecTRI;X,CollecTRI:1,PMID\nMYC,CASP3,-1,CollecTRI;X,CollecTRI:2,PMID\n"
    ),
    "hcop": gzip.compress(
        _table(
            "human_symbol|mouse_symbol|support",
            "LDHA|Ldha|a,b,c",
            "CASP3|Casp3|a,b,c,d",
            "VEGFA|Vegfa|a,b",
            "NFKBIA|-|a,b,c",
            "CD3D|Cd3d|a,b,c",
            "MYC|Myc|a,b,c",
        )
    ),
}


def _answer(url: str) -> bytes:
    return next(content for part, content in ANSWERS.items() if part in url)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    def send(self, request, **kwargs):
        response = requests.Response()
        response.status_code, response.raw, response.url = 200, io.BytesIO(_answer(request.url)), request.url
        response.request = request
        return response

    def urlopen(request, *args, **kwargs):
        url = getattr(request, "full_url", request)
        return addinfourl(io.BytesIO(_answer(url)), Message(), url, 200)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("PLKD_CACHE", str(tmp_path))
    pytest.importorskip("pooch")


def weighted(sets):
    """Return ``{pattern: {gene: weight}}``."""
    frame = sets.to_frame()
    return {name: dict(zip(rows["target"], rows["weight"], strict=True)) for name, rows in frame.groupby("source")}


def test_hallmark():
    assert collection("hallmark").to_dict() == {"HYPOXIA": ["LDHA", "VEGFA", "SLC2A1"], "APOPTOSIS": ["CASP3"]}
    # Two resources name Vegfa, fewer than three.
    assert collection("hallmark", "mouse").to_dict() == {"HYPOXIA": ["Ldha"], "APOPTOSIS": ["Casp3"]}


def test_progeny_has_the_genes_that_surely_respond_with_their_weights():
    assert weighted(collection("progeny")) == {"Hypoxia": {"VEGFA": 3.0}, "NFkB": {"NFKBIA": 6.5, "LDHA": -2.5}}
    # A gene whose orthologue has no symbol is no gene named "-".
    assert weighted(collection("progeny", "mouse")) == {"NFkB": {"Ldha": -2.5}}


def test_collectri_has_signs():
    assert weighted(collection("collectri")) == {"MYC": {"LDHA": 1.0, "CASP3": -1.0}}
    assert weighted(collection("collectri", "mouse")) == {"Myc": {"Ldha": 1.0, "Casp3": -1.0}}


def test_panglao_and_reactome():
    assert collection("panglao").to_dict() == {"T cells": ["CD3D"]}
    assert collection("panglao", "mouse").to_dict() == {"T cells": ["Cd3d"], "B cells": ["Casp3"]}
    assert collection("reactome").to_dict() == {"REACTOME_TCR": ["CD3D"]}


def test_immune_sets_are_translated():
    assert collection("immune", "mouse")["T_cell"] == ["Cd3d"]


def test_species_are_those_of_decoupler():
    assert set(ORGANISMS) == {"human", *dc.op.show_organisms()}


def test_failing_server_ends_in_our_words(monkeypatch):
    def send(self, request, **kwargs):
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(OSError, match="hallmark could not be downloaded through decoupler.*no route to host.*Fix"):
        collection("hallmark")


def test_page_of_text_instead_of_a_table_ends_in_our_words(monkeypatch):
    monkeypatch.setitem(ANSWERS, "databases=PanglaoDB", b"<html>busy</html>")
    with pytest.raises(RuntimeError, match="could not make sense of what came for panglao"):
        collection("panglao")
