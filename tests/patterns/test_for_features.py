"""Matching patterns to the features of a data set, and the report on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.patterns import PatternSet

letters = st.sampled_from([f"G{i}" for i in range(12)])
mappings = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.sets(letters, min_size=1), min_size=1, max_size=6
)


@given(mapping=mappings, features=st.lists(letters, unique=True, min_size=1))
@settings(max_examples=100, deadline=None)
def test_keeps_the_order_of_features_and_the_intersections(mapping, features):
    expected = {name: [f for f in features if f in members] for name, members in mapping.items()}
    expected = {name: members for name, members in expected.items() if 2 <= len(members) <= 4}
    patterns = PatternSet.from_dict(mapping)
    if not expected:
        with pytest.raises(ValueError, match="no pattern is left"):
            patterns.for_features(features, min_size=2, max_size=4, max_overlap=1)
        return
    matched = patterns.for_features(features, min_size=2, max_size=4, max_overlap=1)
    assert matched.features == tuple(features)
    assert matched.to_dict() == expected
    in_any = {feature for members in expected.values() for feature in members}
    assert matched.report.n_covered == len(in_any)
    assert matched.report.uncovered == tuple(f for f in features if f not in in_any)
    assert len(matched.report.kept) + len(matched.report.dropped) == len(patterns)


@given(mapping=mappings)
@settings(max_examples=50, deadline=None)
def test_no_two_kept_patterns_overlap_too_much(mapping):
    features = [f"G{i}" for i in range(12)]
    matched = PatternSet.from_dict(mapping).for_features(features, min_size=1, max_overlap=0.5)
    kept = [set(members) for members in matched.to_dict().values()]
    for i, one in enumerate(kept):
        assert all(len(one & other) / len(one | other) <= 0.5 for other in kept[:i])
    for reason in matched.report.dropped["reason"]:
        assert reason.startswith("near-duplicate")


def test_report_numbers_by_hand():
    sets = {
        "T": ["CD3D", "CD3E", "CD2", "CD5"],
        "T again": ["CD3D", "CD3E", "CD2", "CD6"],
        "B": ["MS4A1", "CD79A", "CD79B"],
        "all": ["CD3D", "CD3E", "CD2", "MS4A1", "CD79A", "LYZ"],
        "NK": ["NKG7"],
    }
    features = ["CD79A", "CD3D", "CD3E", "CD2", "MS4A1", "LYZ", "CD4", "PPBP"]
    report = PatternSet.from_dict(sets).for_features(features, min_size=2, max_size=5).report
    assert (report.n_features, report.n_covered, report.fraction) == (8, 5, 0.625)
    assert report.uncovered == ("LYZ", "CD4", "PPBP")
    assert report.kept.to_numpy().tolist() == [["T", 4, 3, "dict"], ["B", 3, 2, "dict"]]
    assert report.dropped.to_numpy().tolist() == [
        ["T again", 4, 3, "near-duplicate: of 'T', Jaccard 1.00, max_overlap=0.8"],
        ["all", 6, 6, "too large: 6 found, max_size=5"],
        ["NK", 1, 0, "too small: 0 found, min_size=2"],
    ]
    assert report.to_frame()["pattern"].tolist() == ["T", "B", "T again", "all", "NK"]
    assert report.to_frame()["kept"].tolist() == [True, True, False, False, False]
    assert str(report) == (
        "5 of 8 features (62.5 %) lie in 2 patterns; 3 of 5 sets dropped (1 near-duplicate, 1 too large, 1 too small). "
        "In no pattern: LYZ, CD4, PPBP."
    )


def test_most_patterns_keeps_the_largest_and_breaks_ties_by_name():
    sets = {"z": ["A", "B"], "b": ["C", "D"], "a": ["E", "F"], "big": ["G", "H", "I"]}
    matched = PatternSet.from_dict(sets).for_features(list("ABCDEFGHI"), min_size=1, max_patterns=2)
    assert matched.names == ("a", "big")
    assert "max_patterns=2" in matched.report.dropped["reason"][0]


def test_larger_near_duplicate_stays_even_when_it_comes_later():
    sets = {"small": ["A", "B", "C", "D"], "large": ["A", "B", "C", "D", "E"]}
    assert PatternSet.from_dict(sets).for_features(list("ABCDE"), max_overlap=0.7, min_size=1).names == ("large",)
    assert PatternSet.from_dict(sets).for_features(list("ABCDE"), max_overlap=0.8, min_size=1).names == (
        "small",
        "large",
    )


def test_genes_match_features_under_other_names():
    sets = {"T": ["CD3D", "CD3E", "CD2"]}
    features = ["ENSG00000167286", "ENSG00000198851", "peak_1", "peak_2"]
    genes = ["CD3D", "CD3E", "CD3E", None]
    matched = PatternSet.from_dict(sets).for_features(features, genes=genes, kind="atac", min_size=2)
    assert matched["T"] == ["ENSG00000167286", "ENSG00000198851", "peak_1"]
    assert matched.kinds == ("atac",)
    assert matched.report.kept["n_found"].tolist() == [2]
    with pytest.raises(ValueError, match="genes holds 1 entries for 4 features"):
        PatternSet.from_dict(sets).for_features(features, genes=["CD3D"])


def test_weights_survive_matching():
    patterns = PatternSet.from_matrix([[2.0], [0.0], [-1.0]], ["A", "B", "C"]).for_features(list("CXA"), min_size=1)
    np.testing.assert_array_equal(patterns.membership.toarray().ravel(), np.float32([-1, 0, 2]))


def test_repeated_feature_names_are_refused():
    with pytest.raises(ValueError, match="var_names_make_unique"):
        PatternSet.from_dict({"T": ["A"]}).for_features(["A", "A"])


def test_filters_that_drop_everything_say_how_to_widen_them():
    with pytest.raises(ValueError, match="2 of 3 pattern features.*min_size=2"):
        PatternSet.from_dict({"T": ["A", "B", "C"]}).for_features(["A", "B"])
