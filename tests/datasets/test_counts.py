"""Counts follow the distributions that they are said to."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from plkd.datasets import _counts, simulate

N = 20_000


@pytest.fixture
def rates():
    """Two batches, four features; the first and the third belong to programmes 0 and 1."""
    constant = np.array([[0.5, 1.0, 0.2, 0.0], [0.1, 1.0, 0.6, 0.3]])
    responsive = np.array([[0.8, 0.0, 0.4, 0.0], [0.3, 0.0, 0.9, 0.0]])
    return _counts.Rates(constant, responsive, np.array([0, -1, 1, -1]))


@pytest.fixture
def cells():
    """All cells of one kind lie in one batch and have the same activity and depth."""
    kind = np.arange(N) % 2
    activity = np.array([[1.0, 0.0], [0.5, 1.5]], dtype=np.float32)[kind]
    return _counts.Cells(kind, activity, np.array([1.0, 2.0], dtype=np.float32)[kind])


#: depth * (constant + activity * responsive), by hand
MEANS = np.array([[1.3, 1.0, 0.2, 0.0], [0.5, 2.0, 3.9, 0.6]])


@pytest.fixture(params=[2_000_000, 1000], ids=["one block", "many blocks"])
def block(request, monkeypatch):
    monkeypatch.setattr(_counts, "_BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_fragments_are_poisson_cut_off_at_two(rates, cells):
    counts = _counts.fragments(rates, cells, np.random.default_rng(0)).toarray()
    assert counts.shape == (N, 4)
    for kind in range(2):
        for feature in range(4):
            found = np.bincount(counts[kind::2, feature].astype(int), minlength=3) / (N / 2)
            law = stats.poisson(MEANS[kind, feature])
            expected = [law.pmf(0), law.pmf(1), law.sf(1)]
            assert np.allclose(found, expected, atol=4 * 0.5 / np.sqrt(N / 2)), (kind, feature)


def test_fragments_fall_independently_of_each_other(rates, cells):
    counts = _counts.fragments(rates, cells, np.random.default_rng(1)).toarray()[1::2]
    assert np.abs(np.corrcoef(counts.T) - np.eye(4)).max() < 4 / np.sqrt(N / 2)


@pytest.mark.usefixtures("block")
def test_negative_binomial_has_the_stated_mean_and_variance(rates, cells):
    counts = _counts.negative_binomial(rates, cells, 0.25, np.random.default_rng(0)).toarray()
    for kind in range(2):
        found = counts[kind::2]
        mean = MEANS[kind]
        variance = mean + 0.25 * mean**2
        assert np.allclose(found.mean(axis=0), mean, atol=4 * np.sqrt(variance.max() / (N / 2)))
        assert np.allclose(found.var(axis=0), variance, rtol=0.1)


def test_negative_binomial_has_the_stated_shape(rates, cells):
    counts = _counts.negative_binomial(rates, cells, 0.25, np.random.default_rng(0)).toarray()[1::2, 2].astype(int)
    law = stats.nbinom(4, 4 / (4 + 3.9))
    found = np.bincount(counts, minlength=20)[:20] / len(counts)
    assert np.allclose(found, law.pmf(np.arange(20)), atol=0.02)


def test_nothing_but_a_block_is_dense():
    tracemalloc.start()
    adata = simulate(4000, modalities="atac", n_genes=1000, n_peaks=50_000, atac_depth=30)["atac"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert adata.shape == (4000, 50_000)
    assert peak < 120e6  # dense float32: 800 MB
