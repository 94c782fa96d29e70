"""The bundled collection."""

from __future__ import annotations

import re
from importlib.resources import files

from plkd.patterns import immune


def test_holds_fifty_sets_of_eight_to_thirty_genes():
    patterns = immune()
    assert len(patterns) == 50
    assert patterns.sizes.min() >= 8
    assert patterns.sizes.max() <= 30


def test_every_set_cites_a_paper():
    for source in immune().sources:
        assert re.fullmatch(r"immune: [\w -]+ (19|20)\d\d [A-Z][\w ]+ [\w-]+:[\w]+", source), source


def test_genes_are_upper_case_symbols():
    for gene in immune().features:
        assert re.fullmatch(r"[A-Z][A-Z0-9-]+|C\d+orf\d+", gene), gene


def test_no_gene_is_named_twice_in_a_set():
    lines = (files("plkd.patterns") / "immune.gmt").read_text(encoding="utf-8").splitlines()
    for name, _, *genes in (line.split("\t") for line in lines):
        assert len(set(genes)) == len(genes), name


def test_no_set_is_a_near_duplicate_of_another():
    patterns = immune()
    matched = patterns.for_features(patterns.features, max_overlap=0.5)
    assert matched.names == patterns.names


def test_canonical_markers_lie_where_they_belong():
    patterns = immune()
    for name, gene in {
        "T_cell": "CD3D",
        "B_cell": "MS4A1",
        "NK_cell": "KLRF1",
        "Classical_monocyte": "CD14",
        "Plasmacytoid_DC": "LILRA4",
        "Regulatory_T_cell": "FOXP3",
        "Follicular_helper_T_cell": "CXCR5",
        "Th17_cell": "RORC",
        "MAIT_cell": "SLC4A10",
        "Gamma_delta_T_cell": "TRDC",
        "Innate_lymphoid_cell": "KIT",
        "Germinal_centre_B_cell": "AICDA",
        "cDC1": "CLEC9A",
        "cDC2": "CD1C",
        "AXL_SIGLEC6_DC": "AXL",
        "Neutrophil": "FCGR3B",
        "Basophil": "CLC",
        "Mast_cell": "TPSAB1",
        "Macrophage": "C1QA",
        "T_cell_exhaustion": "PDCD1",
    }.items():
        assert gene in patterns[name]
