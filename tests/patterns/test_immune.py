"""The bundled collection."""

from __future__ import annotations

import re

from plkd.patterns import immune


def test_holds_two_dozen_sets_of_eight_to_thirty_genes():
    patterns = immune()
    assert 16 <= len(patterns) <= 24
    assert patterns.sizes.min() >= 8
    assert patterns.sizes.max() <= 30


def test_every_set_cites_a_paper():
    for source in immune().sources:
        assert re.fullmatch(r"immune: [\w -]+ (19|20)\d\d [A-Z][\w ]+ [\w-]+:[\w]+", source), source


def test_genes_are_upper_case_symbols():
    for gene in immune().features:
        assert re.fullmatch(r"[A-Z][A-Z0-9-]+|C\d+orf\d+", gene), gene


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
    }.items():
        assert gene in patterns[name]
