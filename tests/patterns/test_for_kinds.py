"""Sets of genes matched to proteins and peaks, and features with several genes."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from plkd.patterns import PatternSet, concat, immune

SETS = {"T": ["CD3D", "CD3E", "CD3G", "IL7R"], "B": ["MS4A1", "CD19"], "pan": ["PTPRC", "CD3E", "MS4A1"]}
PANEL = ["CD3_TotalSeqB", "CD127", "CD20", "CD19", "CD45RA", "CD45RO", "Mouse-IgG1"]


def test_proteins_join_the_sets_of_their_genes():
    matched = PatternSet.from_dict(SETS).for_features(PANEL, kind="protein")
    assert matched.features == tuple(PANEL)
    assert matched.to_dict() == {
        "T": ["CD3_TotalSeqB", "CD127"],
        "B": ["CD20", "CD19"],
        "pan": ["CD3_TotalSeqB", "CD20", "CD45RA", "CD45RO"],
    }
    assert matched.kinds == ("protein",) * 3
    assert matched.report.uncovered == ("Mouse-IgG1",)
    assert matched.report.kept["n_found"].tolist() == [4, 2, 3]


def test_a_protein_of_several_genes_counts_once_with_their_mean_weight():
    weighted = PatternSet.from_matrix([[1.0], [2.0], [6.0], [-4.0]], ["CD3D", "CD3E", "CD3G", "MS4A1"], ["T"])
    matched = weighted.for_features(["CD3", "CD20"], kind="protein")
    np.testing.assert_array_equal(matched.membership.toarray().ravel(), [3, -4])
    assert PatternSet.from_dict(SETS).for_features(PANEL, kind="protein").membership.max() == 1


def test_patterns_that_name_the_proteins_themselves_are_met_too():
    matched = PatternSet.from_dict({"T": ["CD3", "CD127"], "B": ["CD19", "MS4A1"]}).for_features(
        ["CD3", "CD127", "CD19", "CD20"], kind="protein"
    )
    assert matched.to_dict() == {"T": ["CD3", "CD127"], "B": ["CD19", "CD20"]}


def test_number_of_mapped_proteins_is_logged(caplog):
    with caplog.at_level(logging.INFO, "plkd"):
        PatternSet.from_dict(SETS).for_features(PANEL, kind="protein")
    assert "proteins: 6 of 7 are looked up by their genes; without one: Mouse-IgG1" in caplog.text


def test_capitals_of_the_sets_choose_mouse_genes():
    mouse = {name: [gene.capitalize() for gene in genes] for name, genes in SETS.items()}
    matched = PatternSet.from_dict(mouse).for_features(["CD3", "CD127", "CD19", "CD20"], kind="protein")
    assert matched.to_dict() == {"T": ["CD3", "CD127"], "B": ["CD19", "CD20"], "pan": ["CD3", "CD20"]}


def test_small_panels_have_a_smaller_least_size():
    pairs = PatternSet.from_dict({"pair": ["CD19", "MS4A1"], "one": ["CD3E"]})
    matched = pairs.for_features(["CD19", "CD20", "CD3"], kind="protein")
    assert matched.names == ("pair",)
    assert matched.report.dropped["reason"].tolist() == ["too small: 1 found, min_size=2"]
    for kind in ("rna", "atac"):
        with pytest.raises(ValueError, match="min_size=5"):
            pairs.for_features(["CD19", "MS4A1", "CD3E"], kind=kind)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind='adt' is not a kind of features; pass one of 'rna', 'protein', 'atac'"):
        PatternSet.from_dict(SETS).for_features(PANEL, kind="adt")


@pytest.mark.parametrize(
    "genes",
    [
        [["CD3E", "MS4A1"], None, "CD3D", [], np.nan, ("CD3G", "CD3G")],
        {"f0": ["CD3E", "MS4A1"], "f2": "CD3D", "CD19": [], "f5": {"CD3G"}},
        pd.Series([["CD3E", "MS4A1"], "", "CD3D", [], None, np.asarray(["CD3G", None, ""], dtype=object)]),
    ],
)
def test_a_feature_may_have_several_genes_one_or_none(genes):
    features = ["f0", "IL7R", "f2", "CD19", "PTPRC", "f5"]
    matched = PatternSet.from_dict(SETS).for_features(features, genes=genes, min_size=1)
    # CD19 has an empty list of genes: it is not looked up, not even under its own name.
    assert matched.to_dict() == {"T": ["f0", "IL7R", "f2", "f5"], "B": ["f0"], "pan": ["f0", "PTPRC"]}
    assert matched.membership.max() == 1


def test_one_gene_per_feature_is_matched_as_ever():
    sets = PatternSet.from_dict(SETS)
    genes = ["CD3D", "IL7R", "CD3E"]
    as_texts = sets.for_features(["a", "b", "c"], genes=genes, min_size=1)
    as_lists = sets.for_features(["a", "b", "c"], genes=[[gene] for gene in genes], min_size=1)
    assert as_texts == as_lists
    assert as_texts.to_dict() == {"T": ["a", "b", "c"], "pan": ["c"]}


def test_genes_by_name_must_know_some_feature():
    with pytest.raises(ValueError, match=r"genes has no entry for any of the 2 features \(a, b\); its keys are 'x'"):
        PatternSet.from_dict(SETS).for_features(["a", "b"], genes={"x": ["CD3E"]})


def test_sizes_of_peak_patterns_are_counted_in_genes():
    peaks = [f"chr1:{i}00-{i}50" for i in range(1, 13)]
    near = {peak: ["CD3D", "CD3E"] if i < 6 else ["CD3G"] for i, peak in enumerate(peaks)}
    sets = PatternSet.from_dict({"T": ["CD3D", "CD3E", "CD3G", "ELSE"], "one": ["CD3G"]})
    matched = sets.for_features(peaks, kind="atac", genes=near, min_size=2, max_size=3)
    assert matched.names == ("T",)
    assert matched.sizes.tolist() == [12]
    assert matched.report.dropped["reason"].tolist() == ["too small: 1 found, min_size=2"]


def test_peaks_without_genes_are_told_where_to_get_them():
    with pytest.raises(ValueError, match=r"'chr1:1-2' are in none of the patterns.*plkd.patterns.from_peaks\("):
        PatternSet.from_dict(SETS).for_features(["chr1:1-2", "chr1:5-9"], kind="atac")


def test_patterns_made_for_the_kind_are_used_otherwise_sets_of_genes():
    source = concat(
        rna=PatternSet.from_dict(SETS),
        protein=PatternSet.from_dict({"adt": ["CD19", "CD20"]}),
        atac=PatternSet.from_dict({"peaks": ["chr1:1-2", "chr1:5-9"]}),
    )
    assert source.for_features(["CD3D", "CD3E", "CD20"], min_size=2).names == ("T",)
    assert source.for_features(["CD19", "CD20", "CD3"], kind="protein").to_dict() == {"adt": ["CD19", "CD20"]}
    assert source.for_features(["chr1:1-2", "chr1:5-9"], kind="atac", min_size=2).names == ("peaks",)
    genes_and_peaks = concat(rna=PatternSet.from_dict(SETS), atac=PatternSet.from_dict({"peaks": ["chr1:1-2"]}))
    assert genes_and_peaks.for_features(["CD19", "CD20"], kind="protein").names == ("B",)
    only_proteins = concat(protein=PatternSet.from_dict({"adt": ["CD19", "CD20"]}))
    assert only_proteins.for_features(["CD19", "CD20"], min_size=2).kinds == ("rna",)


def test_one_source_serves_all_kinds_and_tokens_keep_theirs():
    sets = immune()
    genes = list(sets.features)
    near = {f"chr1:{i}00-{i}50": [gene] for i, gene in enumerate(genes, start=1)}
    panel = ["CD3", "CD4", "CD8", "CD19", "CD20", "CD14", "CD16", "CD56", "CD79b", "CD22"]
    parts = [
        sets.for_features(genes),
        sets.for_features(panel, kind="protein"),
        sets.for_features(list(near), kind="atac", genes=near),
    ]
    joined = concat(*parts)
    assert joined.kinds == sum((part.kinds for part in parts), ())
    assert set(joined.kinds) == {"rna", "protein", "atac"}
    assert joined.names[: len(sets)] == sets.names
    for kind, part in zip(("rna", "protein", "atac"), parts, strict=True):
        own = [name for name, of in zip(joined.names, joined.kinds, strict=True) if of == kind]
        assert [set(joined[name]) for name in own] == [set(part[name]) for name in part]
    assert PatternSet.from_state(joined.state()) == joined
