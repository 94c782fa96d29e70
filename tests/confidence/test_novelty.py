"""Distances against scipy, and shares of held-out cells against counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from plkd.confidence import fit_centres, fit_novelty


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Latents of three labels with a spread of their own in each direction; label 1 has no cell."""
    rng = np.random.default_rng(0)
    codes = rng.choice([0, 2, 3], size=300)
    mixing = rng.normal(size=(4, 4))
    return (rng.normal(size=(300, 4)) @ mixing + 5 * codes[:, None]).astype(np.float32), codes


def test_distance_is_scipys_mahalanobis_to_the_nearest_label(cells):
    latent, codes = cells
    means = np.array([latent[codes == code].mean(axis=0, dtype=float) for code in (0, 2, 3)])
    around = np.concatenate([latent[codes == code] - mean for code, mean in zip((0, 2, 3), means, strict=True)])
    inverse = np.linalg.inv(around.T.astype(float) @ around / 300)
    expected = [min(mahalanobis(x, mean, inverse) for mean in means) for x in latent[:20].astype(float)]
    # All but the thousandth part of the spread that keeps the inverse finite.
    np.testing.assert_allclose(fit_centres(latent, codes).distance(latent[:20]), expected, rtol=0.02)


def test_float32_products_give_the_distances_of_float64_differences():
    """Latents far from the origin, with directions of little spread, as those of a trained Student."""
    rng = np.random.default_rng(0)
    spread = np.geomspace(1e-3, 3, 128)
    codes = rng.integers(20, size=3000)
    latent = (5 + 2 * rng.normal(size=(20, 128))[codes] + spread * rng.normal(size=(3000, 128))).astype(np.float32)
    found = fit_centres(latent, codes)
    scaled = latent.astype(np.float64) @ found.whitening
    expected = np.linalg.norm(scaled[:, None] - found.centres, axis=2).min(axis=1)
    np.testing.assert_allclose(found.distance(latent), expected, rtol=2e-5)


def test_labels_without_cells_have_no_centre(cells):
    assert len(fit_centres(*cells).centres) == 3


def test_directions_without_spread_stay_finite():
    latent = np.zeros((40, 3))
    latent[:, 0] = np.random.default_rng(0).normal(size=40)
    found = fit_centres(latent, np.zeros(40, dtype=int)).distance(latent + [0, 0.1, 0])
    assert np.isfinite(found).all()
    assert (found > fit_centres(latent, np.zeros(40, dtype=int)).distance(latent)).all()
    assert np.isfinite(fit_centres(np.ones((3, 2)), np.arange(3)).distance(np.ones((1, 2)))).all()


def novelty(distances):
    return fit_novelty(distances)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5])
def test_share_of_held_out_cells_beyond_a_cut_is_as_stated(rate):
    distances = np.random.default_rng(0).gamma(5, size=5000)
    beyond = (novelty(distances).score(distances) > 1 - rate).mean()
    assert beyond == pytest.approx(rate, abs=0.1 * rate + 0.001)
    if rate == 0.05:
        assert beyond == pytest.approx(0.05, abs=5e-4)


def test_score_below_the_tail_is_the_share_of_nearer_cells():
    distances = np.random.default_rng(0).gamma(5, size=2000)
    chosen = np.quantile(distances, [0.1, 0.5, 0.9])
    expected = [(distances < d).mean() for d in chosen]
    np.testing.assert_allclose(novelty(distances).score(chosen), expected, atol=2e-3)


@given(seed=st.integers(0, 100), n_held=st.integers(1, 200), far=st.lists(st.floats(0, 60), min_size=2, max_size=10))
@settings(max_examples=50, deadline=None)
def test_scores_are_shares_and_further_cells_never_score_less(seed, n_held, far):
    distances = np.random.default_rng(seed).gamma(5, size=n_held)
    found = novelty(distances).score(np.sort(far))
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= -1e-12).all()


def test_order_is_kept_beyond_the_farthest_held_out_cell():
    distances = np.random.default_rng(0).gamma(5, size=1000)
    found = novelty(distances).score(distances.max() * np.array([1.0, 1.1, 1.3, 1.6]))
    assert (np.diff(found) > 0).all()
    assert found[-1] < 1


def test_equal_distances_and_a_single_cell_have_a_scale_too():
    for distances in (np.full(10, 2.0), np.array([2.0]), np.zeros(5)):
        found = novelty(distances).score(np.array([0.0, 2.0, 50.0]))
        assert np.isfinite(found).all()
        assert found[-1] > 0.99


def test_shift_is_the_ratio_of_the_medians_between_1_and_2():
    distances = np.random.default_rng(0).gamma(5, size=4000)
    known = novelty(distances)
    middle = np.median(distances)
    for factor, expected in ((0.5, 1.0), (1.0, 1.0), (1.5, 1.5), (4.0, 2.0)):
        query = np.random.default_rng(1).gamma(5, size=300)
        query *= factor * middle / np.median(query)
        assert known.shift(query) == pytest.approx(expected, rel=1e-2)


def test_a_nearer_query_has_a_shift_below_1_only_where_that_is_allowed():
    known = novelty(np.random.default_rng(0).gamma(5, size=4000))
    query = np.random.default_rng(1).gamma(5, size=4000)
    assert known.shift(0.7 * query) == 1.0
    assert known.shift(0.7 * query, least=0.5) == pytest.approx(0.7, rel=0.05)
    assert known.shift(0.1 * query, least=0.5) == 0.5


def test_shift_of_few_cells_is_not_judged():
    known = novelty(np.random.default_rng(0).gamma(5, size=100))
    assert known.shift(np.full(49, 1e3)) == 1.0
    assert known.shift(np.full(50, 1e3)) == 2.0
    assert known.shift(np.empty(0)) == 1.0


def test_a_shifted_query_scores_as_if_it_were_not_shifted():
    distances = np.random.default_rng(0).gamma(5, size=1000)
    known = novelty(distances)
    shifted = 1.4 * distances
    np.testing.assert_allclose(known.score(shifted, known.shift(shifted)), known.score(distances), atol=2e-3)
