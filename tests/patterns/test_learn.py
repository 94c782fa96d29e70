"""Patterns learned from co-variation."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.patterns import PatternSet, _loadings, concat, learn


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
    monkeypatch.setattr(_loadings, "_MAX_CELLS", 50)
    matrix = programmes(n_cells=400)
    rare = np.zeros((400, 3), dtype=np.float32)
    # Cells so chosen that none of them can be among all draws: at least one rare feature is constant in the sample.
    rare[[0, 150, 399], [0, 1, 2]] = 1
    patterns = learn(np.hstack([matrix, rare]), names(123), seed=1)
    assert patterns.covered.all()
    assert learn(np.hstack([matrix, rare]), names(123), seed=1) == patterns


def test_loadings_agree_with_a_dense_decomposition():
    matrix = programmes(n_programmes=3, size=8, n_cells=40).astype(np.float64)
    loadings = _loadings.feature_loadings(
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


def clr(n_programmes=4, size=5, n_cells=200):
    """Centred log ratios: dense, with negative values, each cell summing to 0."""
    logged = programmes(n_programmes, size, n_cells)
    return logged - logged.mean(axis=1, keepdims=True)


def test_programmes_of_proteins_are_found_in_centred_log_ratios():
    matrix = clr()
    assert matrix.min() < 0
    patterns = learn(matrix, names(20), kind="protein")
    assert sorted(sorted(int(g[1:]) // 5 for g in members) for members in patterns.to_dict().values()) == [
        [programme] * 5 for programme in range(4)
    ]
    assert patterns.kinds == ("protein",) * 4


def test_small_panels_give_small_modules():
    modules = learn(clr(5, 2), names(10), kind="protein")
    home = {gene: name for name, genes in modules.to_dict().items() for gene in genes}
    assert all(home[f"G{i}"] == home[f"G{i + 1}"] for i in range(0, 10, 2))
    assert modules.sizes.min() < 5 <= learn(clr(5, 2), names(10)).sizes.min()


def test_modules_of_each_kind_have_their_own_names():
    matrix = programmes()
    made = [learn(matrix, names(120), kind=kind) for kind in ("rna", "protein", "atac")]
    assert [patterns.names[0].split(":")[0] for patterns in made] == [
        "module_01",
        "protein_module_01",
        "peak_module_01",
    ]
    assert concat(*made).kinds == made[0].kinds + made[1].kinds + made[2].kinds
    with pytest.raises(ValueError, match="kind='peaks'"):
        learn(matrix, names(120), kind="peaks")


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_values_are_capped_alike_on_both_sides(density):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(500, 6)).astype(np.float32)
    matrix[rng.random(matrix.shape) > density] = 0
    matrix[3, 1] = 40
    up, down = (_loadings._standardised(_loadings.draw(m, rng, very_sparse=False)) for m in (matrix, -matrix))
    assert sparse.issparse(up[0]) == (density < 0.5)
    for scaled, _, centre in (up, down):
        values = scaled.toarray() if sparse.issparse(scaled) else scaled
        np.testing.assert_allclose((values - centre).mean(axis=0), 0, atol=1e-6)
        assert 9.9 < np.abs(values - centre).max() < 10.1
    np.testing.assert_array_equal((up[0] + down[0]).sum(), 0)


def test_loadings_of_negative_sparse_and_dense_values_agree_with_a_dense_decomposition():
    rng = np.random.default_rng(0)
    for density in (0.3, 1.0):
        matrix = rng.normal(size=(60, 12)).astype(np.float32)
        matrix[rng.random(matrix.shape) > density] = 0
        drawn = _loadings.draw(matrix, rng, very_sparse=False)
        assert sparse.issparse(drawn) == (density < 0.5)
        loadings = _loadings.feature_loadings(drawn, np.arange(12), rng)
        np.testing.assert_allclose(loadings @ loadings.T / 60, np.corrcoef(matrix.T), atol=1e-3)


def open_peaks(n_cells=1500, n_programmes=5, size=60, seed=0):
    """0/1 CSR of peaks: of its own programme a cell has 15 % open, of the others 1 %."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, n_programmes, n_cells)[:, None] == np.repeat(np.arange(n_programmes), size)
    return sparse.csr_matrix(rng.random(own.shape) < np.where(own, 0.15, 0.01), dtype=np.int8)


@pytest.mark.parametrize("scaled", [False, True])
def test_co_accessible_peaks_are_found_in_sparse_counts_and_in_tf_idf(scaled):
    peaks = open_peaks()
    if scaled:
        frequency = peaks.multiply(1 / np.maximum(peaks.sum(axis=1), 1)) @ sparse.diags(
            1500 / (1 + peaks.sum(axis=0).A1)
        )
        peaks = (1e4 * frequency.tocsr()).log1p()
    patterns = learn(peaks, names(300), kind="atac", n_patterns=5)
    for members in patterns.to_dict().values():
        programme = np.bincount([int(name[1:]) // 60 for name in members], minlength=5)
        assert programme.max() > 0.95 * programme.sum()


def test_sparse_peaks_are_never_made_dense(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("made dense")

    peaks = sparse.random(2000, 10_000, density=0.002, format="csr", random_state=0, dtype=np.float32)
    for matrix in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
        monkeypatch.setattr(matrix, "toarray", refuse)
        monkeypatch.setattr(matrix, "todense", refuse)
    tracemalloc.start()
    patterns = learn(peaks, names(10_000), kind="atac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert patterns.covered.sum() == np.unique(peaks.indices).size
    assert len(patterns) <= 80
    assert peak < 2000 * 10_000 * 4 / 2  # half of what one dense copy would take


def test_of_peaks_as_many_cells_are_seen_as_hold_the_values(monkeypatch):
    monkeypatch.setattr(_loadings, "_MAX_CELLS", 50)
    peaks = open_peaks(400)
    rng = np.random.default_rng(0)
    assert _loadings.draw(peaks, rng, very_sparse=True).shape[0] == 400
    assert _loadings.draw(peaks, rng, very_sparse=False).shape[0] == 50
    monkeypatch.setattr(_loadings, "_MAX_VALUES", peaks.nnz // 4)
    assert _loadings.draw(peaks, rng, very_sparse=True).shape[0] in range(98, 101)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_moments_in_blocks_are_those_of_the_whole(monkeypatch, make):
    monkeypatch.setattr(_loadings, "_BLOCK", 50)
    matrix = clr(3, 4, 30)
    matrix[:, 2] = 0.1
    mean, variance = _loadings.moments(make(matrix))
    np.testing.assert_allclose(mean, matrix.mean(axis=0, dtype=np.float64), atol=1e-7)
    np.testing.assert_allclose(variance, matrix.astype(np.float64).var(axis=0), atol=1e-7)
    assert variance[2] == 0


@pytest.mark.parametrize("kind", ["rna", "protein", "atac"])
def test_same_seed_same_patterns_for_every_kind_whatever_the_container(kind):
    matrix = programmes()
    one = learn(matrix, names(120), kind=kind, seed=2)
    for make in (sparse.csr_matrix, sparse.csc_array, lambda m: m.astype(np.float64)):
        assert learn(make(matrix), names(120), kind=kind, seed=2) == one
