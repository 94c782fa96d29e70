"""Patterns learned from co-variation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.patterns import PatternSet, _learn, learn


def names(n):
    return [f"G{i}" for i in range(n)]


def programmes(n_programmes=4, size=30, n_cells=200, seed=0):
    """Cells x features where features of a programme rise and fall together."""
    rng = np.random.default_rng(seed)
    activity = np.repeat(rng.gamma(1.0, size=(n_cells, n_programmes)), size, axis=1)
    return np.log1p(rng.poisson(3 * activity)).astype(np.float32)


@given(
    n_cells=st.integers(2, 30),
    n_features=st.integers(1, 60),
    min_size=st.integers(1, 6),
    room=st.integers(0, 10),
    n_patterns=st.none() | st.integers(1, 12),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_every_varying_feature_lies_in_one_pattern_of_allowed_size(
    n_cells, n_features, min_size, room, n_patterns, seed
):
    counts = np.random.default_rng(seed).poisson(0.3, size=(n_cells, n_features))
    varying = counts.min(axis=0) != counts.max(axis=0)
    arguments = {"n_patterns": n_patterns, "min_size": min_size, "max_size": 2 * min_size + room}
    if not varying.any():
        with pytest.raises(ValueError, match="varies"):
            learn(counts, names(n_features), **arguments)
        return
    patterns = learn(counts, names(n_features), **arguments)
    assert patterns.features == tuple(names(n_features))
    np.testing.assert_array_equal(patterns.membership.sum(axis=1).A1, varying)
    assert patterns.sizes.max() <= 2 * min_size + room
    assert patterns.sizes.min() >= min(min_size, varying.sum())
    assert set(patterns.sources) == {"learned"}


def test_programmes_are_found():
    patterns = learn(programmes(), names(120), n_patterns=4)
    assert sorted(sorted(int(g[1:]) // 30 for g in members) for members in patterns.to_dict().values()) == [
        [programme] * 30 for programme in range(4)
    ]


def test_names_number_the_modules_and_lead_with_three_of_their_features():
    patterns = learn(programmes(), names(120), n_patterns=4)
    for number, name in enumerate(patterns.names, start=1):
        prefix, leading = name.split(":")
        assert prefix == f"module_{number:02d}"
        assert len(leading.split("+")) == 3
        assert set(leading.split("+")) <= set(patterns[name])


def test_same_seed_gives_the_same_patterns_whatever_the_container():
    matrix = programmes()
    one = learn(matrix, names(120), seed=3)
    assert learn(matrix, names(120), seed=3) == one
    for make in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array):
        assert learn(make(matrix), names(120), seed=3) == one


def test_input_is_left_as_it_was():
    matrix = sparse.csr_matrix(programmes())
    before = matrix.copy()
    learn(matrix, names(120))
    assert (matrix != before).nnz == 0


def test_many_cells_are_drawn_by_seed_and_rare_features_still_placed(monkeypatch):
    monkeypatch.setattr(_learn, "_MAX_CELLS", 50)
    matrix = programmes(n_cells=400)
    rare = np.zeros((400, 3), dtype=np.float32)
    # Cells so chosen that none of them can be among all draws: at least one rare feature is constant in the sample.
    rare[[0, 150, 399], [0, 1, 2]] = 1
    patterns = learn(np.hstack([matrix, rare]), names(123), seed=1)
    assert patterns.covered.all()
    assert learn(np.hstack([matrix, rare]), names(123), seed=1) == patterns


def test_loadings_agree_with_a_dense_decomposition():
    matrix = programmes(n_programmes=3, size=8, n_cells=40).astype(np.float64)
    loadings = _learn.feature_loadings(
        sparse.csr_matrix(matrix.astype(np.float32)), np.arange(24), np.random.default_rng(0)
    )
    # With every component kept, inner products of loadings are n_cells times the correlations.
    np.testing.assert_allclose(loadings @ loadings.T / 40, np.corrcoef(matrix.T), atol=1e-3)


def test_excluded_features_are_left_out():
    matrix = programmes()
    curated = PatternSet.from_dict({"known": names(30)}).for_features(names(120))
    by_set = learn(matrix, names(120), exclude=curated)
    assert by_set == learn(matrix, names(120), exclude=names(30))
    np.testing.assert_array_equal(by_set.covered, np.arange(120) >= 30)
    assert len(learn(matrix, names(120), exclude=names(120))) == 0


def test_too_few_features_for_a_pattern_stay_together():
    assert learn(programmes(1, 3), names(3)).sizes.tolist() == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": np.zeros((5, 3))}, "varies"),
        ({"matrix": np.ones((3, 5))}, "looks transposed"),
        ({"matrix": np.full((5, 3), np.nan)}, "NaN"),
        ({"max_size": 9}, "max_size >= 2"),
        ({"n_patterns": 0}, "at least 1"),
        ({"features": ["A", "A", "B"]}, "unique"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"matrix": np.eye(5, 3), "features": ["A", "B", "C"], **change}
    with pytest.raises(ValueError, match=message):
        learn(arguments.pop("matrix"), arguments.pop("features"), **arguments)
