"""What a `PatternSet` holds and refuses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.patterns import PatternSet, concat

SETS = {"T": ["CD3D", "CD3E", "CD2"], "B": ["MS4A1", "CD79A"], "pan": ["CD2", "MS4A1"]}

names = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=8)
mappings = st.dictionaries(names, st.lists(names, min_size=1, max_size=6), min_size=1, max_size=6)


def as_sets(mapping):
    return {name: set(features) for name, features in mapping.items()}


def test_membership_holds_one_entry_per_pattern_and_feature():
    patterns = PatternSet.from_dict(SETS)
    assert patterns.features == ("CD3D", "CD3E", "CD2", "MS4A1", "CD79A")
    expected = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0]], dtype=np.float32)
    np.testing.assert_array_equal(patterns.membership.toarray(), expected)
    assert isinstance(patterns.membership, sparse.csc_matrix)
    assert patterns.membership.dtype == np.float32
    assert (patterns.n_patterns, patterns.n_features, patterns.n_memberships, len(patterns)) == (3, 5, 7, 3)
    assert patterns.kinds == ("rna",) * 3


def test_behaves_like_a_mapping_of_names():
    patterns = PatternSet.from_dict(SETS)
    assert patterns["pan"] == ["CD2", "MS4A1"]
    assert list(patterns) == ["T", "B", "pan"]
    assert "B" in patterns
    assert "X" not in patterns
    with pytest.raises(KeyError, match="no pattern is named 'X'"):
        patterns["X"]


def test_repr_says_number_sizes_source_and_coverage():
    text = repr(PatternSet.from_dict(SETS).for_features(["CD2", "CD3E", "LYZ"], min_size=2))
    assert text == (
        "PatternSet: 1 patterns x 3 features, sizes 2 to 2 (median 2); source: dict; covers 2 of 3 features (66.7 %)"
    )


def test_is_immutable_and_copies_the_matrix_it_is_given():
    matrix = sparse.csc_matrix(np.ones((2, 1), dtype=np.float32))
    patterns = PatternSet(("T",), ("A", "B"), matrix)
    matrix.data[:] = 7
    assert patterns.membership.toarray().ravel().tolist() == [1, 1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        patterns.names = ("B",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": ("T", "T")}, "'T' occurs more than once"),
        ({"features": ("A", "A")}, "var_names_make_unique"),
        ({"features": ("A",)}, "does not fit 1 features"),
        ({"membership": np.array([[1.0, 0.0], [1.0, 0.0]])}, "'B' has no feature"),
        ({"membership": np.array([[1.0, np.nan], [1.0, 0.0]])}, "not finite"),
        ({"kinds": ("rna",)}, "1 kinds"),
    ],
)
def test_refuses_what_does_not_fit_together(fields, message):
    good = {"names": ("T", "B"), "features": ("A", "B"), "membership": np.eye(2)}
    with pytest.raises(ValueError, match=message):
        PatternSet(**{**good, **fields})


def test_differs_where_weights_sources_or_kinds_differ():
    patterns = PatternSet.from_dict(SETS)
    assert patterns == PatternSet.from_dict(SETS)
    assert hash(patterns) == hash(PatternSet.from_dict(SETS))
    assert patterns != PatternSet.from_dict(SETS, source="elsewhere")
    assert patterns != dataclasses.replace(patterns, kinds=("protein",) * 3)
    assert patterns != dataclasses.replace(patterns, membership=patterns.membership * 2)
    assert patterns != "T"


@given(mapping=mappings)
@settings(max_examples=50, deadline=None)
def test_state_round_trip_is_exact_also_through_json(mapping):
    patterns = PatternSet.from_dict(mapping)
    state = patterns.state()
    assert PatternSet.from_state(state) == patterns
    for value in state.values():
        assert isinstance(value, int | list) or value.dtype.kind in "if"
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in state.items()}
    assert PatternSet.from_state(json.loads(json.dumps(plain))) == patterns


def test_state_keeps_kinds_weights_and_report():
    patterns = concat(
        rna=PatternSet.from_dict(SETS).for_features(["CD2", "CD3E", "LYZ"], min_size=2),
        protein=PatternSet.from_matrix([[0.5], [-2.0], [0]], ["CD2", "CD3E", "LYZ"], ["adt"]),
    )
    back = PatternSet.from_state(patterns.state())
    assert back == patterns
    assert back.kinds == ("rna", "protein")
    assert back.report.uncovered == patterns.report.uncovered == ("LYZ",)
    assert back.report.kept.equals(patterns.report.kept)
    assert back.report.dropped.equals(patterns.report.dropped)
    assert str(back.report) == str(patterns.report)


def test_state_of_an_unknown_format_is_refused():
    state = PatternSet.from_dict(SETS).state()
    assert state["plkd_patterns"] == 1
    with pytest.raises(ValueError, match="plkd_patterns=2"):
        PatternSet.from_state({**state, "plkd_patterns": 2})
