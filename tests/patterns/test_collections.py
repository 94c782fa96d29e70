"""Collections by name: what decoupler gives, kept; errors in our words."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from plkd.patterns import PatternSet, collection, immune, read, translate

HALLMARK = pd.DataFrame(
    {"source": ["HYPOXIA", "HYPOXIA", "APOPTOSIS"], "target": ["VEGFA", "LDHA", "CASP3"]},
)
PROGENY = pd.DataFrame(
    {"source": ["NFkB", "NFkB"], "target": ["NFKBIA", "NAN"], "weight": [6.25, -1.1], "padj": [0.0, 0.01]},
)
PANGLAO = pd.DataFrame(
    {
        "genesymbol": ["CD3D", "CD3E", "MS4A1", "LYZ", "Q"],
        "cell_type": ["T cells", "T cells", "B cells", "Monocytes", "T cells"],
        "canonical_marker": [True, "True", "True", "False", None],
        "human": ["True", "False", True, True, True],
        "mouse": ["True", "True", False, True, True],
    }
)
MSIGDB = pd.DataFrame(
    {
        "genesymbol": ["CD3D", "CD3D", "CD3E"],
        "collection": ["reactome_pathways", "go_biological_process", "reactome_pathways"],
        "geneset": ["REACTOME_TCR", "GOBP_T_CELL_ACTIVATION", "REACTOME_TCR"],
    }
)
MOUSE = {"CD3D": ["Cd3d"], "CD3E": ["Cd3e"], "HLA-DQA1": ["H2-Aa"], "HLA-DQA2": ["H2-Aa"], "LYZ": ["Lyz1", "Lyz2", "-"]}


def _translate(net, columns, target_organism):
    column = columns[0]
    return net.assign(**{column: net[column].map(MOUSE)}).explode(column).dropna().reset_index(drop=True)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Put a decoupler with small tables in the place of the real one; give what it was asked for."""
    calls = []

    def giving(name, table):
        def give(*args, **kwargs):
            calls.append((name, args, kwargs))
            return table.copy()

        return give

    def resource(name, **kwargs):
        calls.append((name, (), kwargs))
        return {"PanglaoDB": PANGLAO, "MSigDB": MSIGDB}[name].copy()

    op = SimpleNamespace(
        hallmark=giving("hallmark", HALLMARK),
        progeny=giving("progeny", PROGENY),
        resource=resource,
        translate=_translate,
    )
    monkeypatch.setitem(sys.modules, "decoupler", SimpleNamespace(op=op))
    monkeypatch.setattr("plkd.patterns._decoupler.version", lambda name: "2.2.0")
    monkeypatch.setenv("PLKD_CACHE", str(tmp_path / "cache"))
    return calls


def test_hallmarks_come_whole_with_their_paper(asked):
    sets = collection("hallmark")
    assert sets.to_dict() == {"HYPOXIA": ["VEGFA", "LDHA"], "APOPTOSIS": ["CASP3"]}
    assert set(sets.sources) == {"hallmark: Liberzon 2015 Cell Syst 1:417"}
    assert set(sets.kinds) == {"rna"}
    assert asked == [("hallmark", (), {"organism": "human"})]


def test_second_call_reads_what_was_kept_bit_for_bit_and_without_decoupler(asked, monkeypatch):
    first = collection("progeny")
    monkeypatch.setitem(sys.modules, "decoupler", None)
    again = collection("progeny")
    assert again == first
    assert len(asked) == 1
    # A gene named like a missing value stays a gene.
    assert again.to_dict() == {"NFkB": ["NFKBIA", "NAN"]}
    np.testing.assert_array_equal(again.membership.toarray().ravel(), np.float32([6.25, -1.1]))


def test_progeny_is_asked_for_a_hundred_genes(asked):
    collection("progeny")
    assert asked[0][2]["top"] == 100


def test_cache_folder_is_the_callers_and_holds_one_file(asked, tmp_path):
    collection("hallmark", cache_dir=tmp_path / "mine" / "own")
    assert len(list((tmp_path / "mine" / "own").iterdir())) == 1
    assert not (tmp_path / "cache").exists()


def test_species_are_kept_apart(asked):
    collection("hallmark")
    mouse = collection("hallmark", "mouse")
    assert [kwargs["organism"] for _, _, kwargs in asked] == ["human", "mouse"]
    assert mouse.sources[0] == "hallmark: Liberzon 2015 Cell Syst 1:417; orthologues in mouse"


def test_panglao_keeps_canonical_markers_of_the_species(asked):
    assert collection("panglao").to_dict() == {"T cells": ["CD3D"], "B cells": ["MS4A1"]}
    assert collection("panglao", "mouse").to_dict() == {"T cells": ["CD3D", "CD3E"]}


def test_parts_of_msigdb_are_told_apart(asked):
    assert collection("reactome").to_dict() == {"REACTOME_TCR": ["CD3D", "CD3E"]}
    assert collection("go_bp").to_dict() == {"GOBP_T_CELL_ACTIVATION": ["CD3D"]}


def test_read_takes_the_name(asked):
    assert read("hallmark") == collection("hallmark")
    assert collection("immune") == immune()


def test_immune_sets_of_another_species_keep_each_paper(asked):
    mouse = collection("immune", "mouse")
    assert {"Cd3d", "Cd3e"} <= set(mouse["T_cell"])
    paper = immune().sources[immune().names.index("T_cell")]
    assert mouse.sources[mouse.names.index("T_cell")] == f"{paper}; orthologues in mouse"
    assert collection("immune", "mouse") == mouse


def test_translation_means_weights_and_drops_what_has_no_orthologue(asked, caplog):
    frame = pd.DataFrame(
        {
            "source": ["MHC", "MHC", "M", "none"],
            "target": ["HLA-DQA1", "HLA-DQA2", "LYZ", "XIST"],
            "weight": [1.0, 0.5, 2.0, 1.0],
        }
    )
    made = translate(PatternSet.from_frame(frame), "mouse")
    assert made.to_dict() == {"MHC": ["H2-Aa"], "M": ["Lyz1", "Lyz2"]}
    assert made.membership.toarray()[0, 0] == 0.75
    assert made.sources == ("frame; orthologues in mouse",) * 2
    assert "1 set(s) have no gene in mouse: none" in caplog.text


def test_translation_refuses_what_it_cannot_do(asked):
    with pytest.raises(ValueError, match="hold human genes already"):
        translate(immune(), "human")
    with pytest.raises(ValueError, match=r"kinds \['protein'\]"):
        translate(immune().for_features(["CD4", "CD3D", "CD28", "CD5"], kind="protein"), "mouse")
    with pytest.raises(ValueError, match=r"none of 1 genes \(Zzz\)"):
        translate(PatternSet.from_dict({"T": ["Zzz"]}), "mouse")
    with pytest.raises(TypeError, match="expected a PatternSet"):
        translate({"T": ["CD3D"]}, "mouse")


@pytest.mark.parametrize("name", ["halmark", "HALLMARK", "", "../hallmark"])
def test_unknown_name_lists_those_there_are(name, asked):
    with pytest.raises(ValueError, match="pass one of 'immune', 'hallmark', 'reactome', 'go_bp', 'progeny'"):
        collection(name)
    assert asked == []


def test_unknown_species_lists_those_there_are(asked):
    with pytest.raises(ValueError, match="organism='mice' is unknown.*'human', 'mouse', 'rat'"):
        collection("hallmark", "mice")
    with pytest.raises(TypeError, match="organism is a int"):
        collection("hallmark", 10090)
    assert asked == []


def test_without_decoupler_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "decoupler", None)
    with pytest.raises(ImportError, match=r'pip install "plkd\[decoupler\]"'):
        collection("hallmark", cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def _failing(error):
    def fail(**kwargs):
        raise error

    return fail


def test_without_network_the_way_out_is_said_and_nothing_is_kept(asked, tmp_path):
    sys.modules["decoupler"].op.hallmark = _failing(socket.gaierror("Name or service not known"))
    with pytest.raises(OSError, match=r"hallmark could not be downloaded.*not known.*read\('hallmark.gmt'\)"):
        collection("hallmark")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "error", [AssertionError("name must be one of"), KeyError("p_value"), ValueError("no columns")]
)
def test_what_decoupler_cannot_read_is_said(asked, error):
    sys.modules["decoupler"].op.hallmark = _failing(error)
    with pytest.raises(RuntimeError, match=r"decoupler 2\.2\.0 could not make sense of what came for hallmark"):
        collection("hallmark")


def test_empty_answer_is_not_kept(asked, tmp_path):
    sys.modules["decoupler"].op.hallmark = lambda organism: HALLMARK.iloc[:0]
    with pytest.raises(RuntimeError, match="holds no pattern"):
        collection("hallmark")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b\x08\x00\x00"])
def test_damaged_file_is_named_with_the_fix(asked, tmp_path, content):
    collection("hallmark")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file.name} is damaged.*delete it"):
        collection("hallmark")


def test_decoupler_is_not_imported_with_the_package():
    code = (
        "import sys, plkd.patterns as p; p.read('immune'); print({'decoupler', 'requests', 'pooch'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
