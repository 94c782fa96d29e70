"""Names that do not meet are refused with the kind of mismatch and the line that fixes it."""

from __future__ import annotations

import pytest

from plkd.patterns import PatternSet

SYMBOLS = ["CD3D", "CD3E", "CD3G", "CD2", "CD5", "CD247"]
TITLE = [name.capitalize() for name in SYMBOLS]
ENSEMBL = [f"ENSG{i:011d}" for i in range(6)]
MOUSE = [f"ENSMUSG{i:011d}" for i in range(6)]


def versioned(names):
    return [f"{name}.3" for name in names]


@pytest.mark.parametrize(
    ("in_sets", "in_data", "parts"),
    [
        (SYMBOLS, ENSEMBL, ["Ensembl and symbols", "CD3D", "ENSG00000000000", 'genes=adata.var["gene_symbols"]']),
        (ENSEMBL, SYMBOLS, ["Ensembl and symbols", "CD3D", "ENSG00000000000", 'genes=adata.var["gene_ids"]']),
        (ENSEMBL, MOUSE, ["two species", "ENSG in the patterns", "ENSMUSG in feature names"]),
        (ENSEMBL, versioned(ENSEMBL), ["version suffix", 'genes=adata.var_names.str.split(".").str[0]']),
        (versioned(ENSEMBL), ENSEMBL, ["version suffix", "g.split('.')[0]"]),
        (SYMBOLS, TITLE, ["letter case", "CD3D in the patterns, Cd3d in the feature", "mouse data?", "str.upper()"]),
        (TITLE, SYMBOLS, ["letter case", "Cd3d in the patterns, CD3D in the feature", "Mouse sets", "g.upper()"]),
        (SYMBOLS, ["X", "Y", "Z"], ["no pattern is left", "CD3D", "X, Y, Z", "gene_symbols"]),
    ],
)
def test_mismatch_is_named_with_examples_and_fix(in_sets, in_data, parts):
    patterns = PatternSet.from_dict({"T": in_sets})
    with pytest.raises(ValueError, match="pattern features are among") as caught:
        patterns.for_features(in_data)
    for part in parts:
        assert part in str(caught.value)


def test_offered_fixes_work():
    human, mouse = PatternSet.from_dict({"T": SYMBOLS}), PatternSet.from_dict({"T": TITLE})
    assert human.for_features(TITLE, genes=[name.upper() for name in TITLE])["T"] == TITLE
    upper = {name: [g.upper() for g in genes] for name, genes in mouse.to_dict().items()}
    assert PatternSet.from_dict(upper).for_features(SYMBOLS)["T"] == SYMBOLS
    assert human.for_features(ENSEMBL, genes=SYMBOLS)["T"] == ENSEMBL


def test_a_pattern_that_survives_by_chance_does_not_hide_the_mismatch():
    human = [f"GENE{i}" for i in range(200)]
    patterns = PatternSet.from_dict({"all": human, "chance": human[:5]})
    data = [*human[:5], *(name.capitalize() for name in human[5:])]
    with pytest.raises(ValueError, match="only 5 of 200 .* letter case"):
        patterns.for_features(data)


def test_mismatch_of_genes_is_told_as_such():
    with pytest.raises(ValueError, match="Cd3d in the genes"):
        PatternSet.from_dict({"T": SYMBOLS}).for_features(ENSEMBL, genes=TITLE)


def test_a_small_panel_is_no_mismatch():
    collection = {f"set {i}": [f"GENE{5 * i + j}" for j in range(5)] for i in range(400)}
    matched = PatternSet.from_dict(collection).for_features([f"GENE{j}" for j in range(10)])
    assert matched.names == ("set 0", "set 1")
