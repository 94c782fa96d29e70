"""Joining pattern sets."""

from __future__ import annotations

import numpy as np
import pytest

from plkd.patterns import PatternSet, concat


def test_sets_over_the_same_features_are_put_side_by_side():
    one = PatternSet.from_matrix([[1], [0]], ["A", "B"], ["one"])
    two = PatternSet.from_matrix([[0], [2.5]], ["A", "B"], ["two"])
    joined = concat(one, two)
    assert joined.features == ("A", "B")
    np.testing.assert_array_equal(joined.membership.toarray(), [[1, 0], [0, 2.5]])
    assert joined.report is None


def test_features_are_united_in_the_order_first_met():
    joined = concat(PatternSet.from_dict({"one": ["B", "A"]}), PatternSet.from_dict({"two": ["C", "A"]}))
    assert joined.features == ("B", "A", "C")
    assert joined.to_dict() == {"one": ["B", "A"], "two": ["A", "C"]}


def test_names_become_unique_and_kinds_and_sources_are_kept():
    rna, protein = PatternSet.from_dict({"T": ["A"]}, source="x"), PatternSet.from_dict({"T": ["A"]}, source="y")
    joined = concat(rna, rna, protein=protein)
    assert joined.names == ("T", "T (rna)", "T (protein)")
    assert joined.kinds == ("rna", "rna", "protein")
    assert joined.sources == ("x", "x", "y")
    assert concat(rna, rna, rna).names == ("T", "T (rna)", "T (rna 2)")


def test_reports_are_joined():
    curated = PatternSet.from_dict({"T": ["A", "B", "Z"], "B": ["Z"]}).for_features(list("ABCD"), min_size=2)
    learned = PatternSet.from_matrix([[0], [0], [1], [0]], list("ABCD"), ["module"])
    report = concat(curated, learned).report
    assert (report.n_features, report.n_covered, report.uncovered) == (4, 3, ("D",))
    assert report.kept.to_numpy().tolist() == [["T", 3, 2, "dict"], ["module", 1, 1, "matrix"]]
    assert report.dropped["pattern"].tolist() == ["B"]


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="found a dict"):
        concat({"T": ["A"]})
    with pytest.raises(ValueError, match="at least one PatternSet"):
        concat()
    with pytest.raises(ValueError, match="kind='adt' is not a kind"):
        concat(adt=PatternSet.from_dict({"T": ["A"]}))
