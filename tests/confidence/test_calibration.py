"""Calibrated probabilities against numpy, scikit-learn and a simulation whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from plkd.confidence import Calibration, fit_calibration, fit_temperature, matched_temperature


def simulated(n_obs: int, n_labels: int = 5, *, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits, and labels from the softmax of the logits; return the logits times ``sharpness``, and the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(n_obs, n_labels))
    codes = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # a draw from the softmax
    return (sharpness * logits).astype(np.float32), codes


def error(confidence: np.ndarray, right: np.ndarray, n_bins: int = 15) -> float:
    """Return the calibration error of the top label over bins of equally many cells."""
    bins = np.array_split(np.argsort(confidence), n_bins)
    return sum(len(b) / len(right) * abs(confidence[b].mean() - right[b].mean()) for b in bins)


def top(calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    return calibration.probabilities(logits).max(axis=1)


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 3.0, 10.0])
def test_over_and_underconfident_logits_are_mended(sharpness):
    calibration = fit_calibration(*simulated(4000, sharpness=sharpness), allowance=0.0)
    logits, codes = simulated(4000, sharpness=sharpness, seed=1)
    right = logits.argmax(axis=1) == codes
    assert error(top(calibration, logits), right) < 0.03
    if sharpness in (3.0, 10.0):
        assert error(softmax(logits, axis=1).max(axis=1), right) > 0.1
    assert calibration.temperature == pytest.approx(sharpness, rel=0.1)


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 2.5])
def test_temperature_is_that_of_the_least_log_loss(sharpness):
    logits, codes = simulated(500, sharpness=sharpness)
    found = fit_temperature(logits, codes)
    losses = {t: log_loss(codes, softmax(logits / t, axis=1), labels=range(5)) for t in np.geomspace(0.5, 20, 300)}
    assert found == pytest.approx(min(losses, key=losses.get), rel=0.02)


def test_temperature_is_1_without_cells_and_stays_within_its_bounds():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int)) == 1.0
    logits = np.random.default_rng(0).normal(size=(200, 3))
    assert fit_temperature(logits, logits.argmax(axis=1)) == pytest.approx(0.5, rel=1e-3)
    assert fit_temperature(logits, logits.argmin(axis=1)) == pytest.approx(20, rel=1e-3)


def test_level_of_each_confidence_is_sklearns_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    logits, codes = simulated(300)
    calibration = fit_calibration(logits, codes, allowance=0.0)
    confidence = softmax(logits.astype(np.float64) / calibration.temperature, axis=1).max(axis=1)
    right = logits.argmax(axis=1) == codes
    # One cell called wrongly at chance and one at the largest confidence.
    x, y = np.r_[confidence, 1 / 5, confidence.max()], np.r_[right, 0, 0]
    expected = IsotonicRegression().fit(x, y).predict(confidence)
    found = np.interp(confidence, calibration.knots, calibration.accuracy)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (np.diff(calibration.knots) > 0).all()


@given(
    seed=st.integers(0, 1000),
    n_labels=st.integers(1, 6),
    n_fitted=st.integers(0, 30),
    spread=st.sampled_from([0.0, 1e-3, 1, 50, 1e4]),
    allowance=st.sampled_from([0.0, 0.04, 0.9]),
)
@settings(max_examples=80, deadline=None)
def test_rows_sum_to_1_and_the_called_label_stays(seed, n_labels, n_fitted, spread, allowance):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, size=(n_fitted, n_labels)).astype(np.float32)
    calibration = fit_calibration(logits, rng.integers(n_labels, size=n_fitted), allowance=allowance)
    query = rng.normal(0, spread, size=(20, n_labels)).astype(np.float32)
    found = calibration.probabilities(query)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(found.argmax(axis=1), query.argmax(axis=1))


def test_order_and_ratios_of_the_other_labels_stay():
    logits, codes = simulated(200)
    calibration = fit_calibration(logits, codes, allowance=0.0)
    found, plain = calibration.probabilities(logits), softmax(logits / calibration.temperature, axis=1)
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(plain, axis=1))
    others = np.argsort(-plain, axis=1)[:, 1:]
    ratio = np.take_along_axis(found / plain, others, axis=1)
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones((1, 4)), rtol=1e-5)


def test_networks_too_sure_for_a_float_are_calibrated_too():
    logits, codes = simulated(500, sharpness=1.0)
    calibration = fit_calibration(logits * 1000, codes, allowance=0.0)  # a temperature of 1,000 is not looked for
    found = top(calibration, logits * 1000)
    right = logits.argmax(axis=1) == codes
    assert abs(found.mean() - right.mean()) < 0.05
    assert found.max() < 1


def test_allowance_lowers_the_confidence_by_its_share():
    logits, codes = simulated(500)
    plain = top(fit_calibration(logits, codes, allowance=0.0), logits)
    lowered = top(fit_calibration(logits, codes, allowance=0.04), logits)
    sure = plain > 0.6  # below, a label keeps being the most probable one
    np.testing.assert_allclose(lowered[sure], 0.96 * plain[sure], rtol=1e-12)
    assert (lowered <= plain).all()


def test_cells_that_are_all_right_do_not_make_sure():
    """Laplace: of n right cells and one wrong one that is added."""
    logits = np.tile([[3.0, 0.0, 0.0]], (9, 1))
    assert top(fit_calibration(logits, np.zeros(9, dtype=int), allowance=0.0), logits) == pytest.approx(9 / 10)


def test_cells_that_are_all_wrong_leave_hardly_a_lead():
    logits = np.tile([[3.0, 1.0, 0.0]], (9, 1))
    found = fit_calibration(logits, np.ones(9, dtype=int), allowance=0.0).probabilities(logits)[0]
    assert found[0] > found[1]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_without_cells_nothing_is_sure():
    calibration = fit_calibration(np.empty((0, 3)), np.empty(0, dtype=int), allowance=0.0)
    found = calibration.probabilities(np.array([[5.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, 1 / 3, atol=1e-5)


def test_no_cells_to_calibrate_and_a_single_label():
    calibration = fit_calibration(*simulated(50), allowance=0.0)
    assert calibration.probabilities(np.empty((0, 5))).shape == (0, 5)
    one = fit_calibration(np.ones((4, 1)), np.zeros(4, dtype=int), allowance=0.0)
    np.testing.assert_array_equal(one.probabilities(np.array([[2.0], [-1.0]])), [[1.0], [1.0]])


def test_arrays_bring_it_back_bit_for_bit():
    logits, codes = simulated(100)
    calibration = fit_calibration(logits, codes, allowance=0.04)
    again = Calibration.from_arrays(calibration.to_arrays())
    np.testing.assert_array_equal(again.probabilities(logits), calibration.probabilities(logits))


AS_IT_IS = Calibration(1.7, np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0)
STEEP = Calibration(1.7, np.array([0.2, 0.9, 1.0]), np.array([0.21, 0.3, 0.99]), 0.0)


def before_the_curve(calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    return softmax(logits / calibration.temperature, axis=1).max(axis=1)


@pytest.mark.parametrize("calibration", [AS_IT_IS, STEEP])
@pytest.mark.parametrize("n_obs", [30, 3000])
def test_a_matched_temperature_takes_out_the_difference_as_far_as_it_is_known(calibration, n_obs):
    rng = np.random.default_rng(0)
    others = rng.normal(0, 3, size=(n_obs, 5))
    logits = others / 1.5 + rng.normal(0, 1, size=(n_obs, 5))
    found = replace(calibration, temperature=matched_temperature(logits, others, calibration))
    assert found.temperature < 1.7
    off = []
    for confidence in (before_the_curve, top):
        at_first = confidence(calibration, logits) - confidence(calibration, others)
        error_of_mean = at_first.std() / np.sqrt(n_obs)
        left = 1 - at_first.mean() ** 2 / (at_first.mean() ** 2 + error_of_mean**2)
        assert left < (0.1 if n_obs == 3000 else 0.6)
        now = confidence(found, logits).mean() - confidence(calibration, others).mean()
        off.append(now - left * at_first.mean())
    # One difference is as wanted, and the other not yet.
    assert max(off) == pytest.approx(0, abs=1e-9)
    assert min(off) <= 1e-9


def test_the_same_network_with_logits_a_third_as_far_apart_needs_a_third_of_the_temperature():
    others = np.random.default_rng(0).normal(0, 3, size=(100_000, 5))
    assert matched_temperature(others / 3, others, AS_IT_IS) == pytest.approx(1.7 / 3, rel=1e-3)
    assert matched_temperature(others, others, AS_IT_IS) == 1.7


def test_where_the_curve_is_level_the_temperature_stays():
    rng = np.random.default_rng(0)
    level = Calibration(1.7, np.array([0.2, 1.0]), np.array([0.9, 0.9]), 0.0)
    assert matched_temperature(rng.normal(size=(50, 3)), rng.normal(0, 9, size=(50, 3)), level) == 1.7
    nearly = Calibration(1.7, np.array([0.2, 0.9, 1.0]), np.array([0.9, 0.9001, 0.9002]), 0.0)
    others = rng.normal(0, 9, size=(500, 3))
    # What little the curve tells would ask for a fifth.
    assert 1.4 < matched_temperature(others / 1.1, others, nearly) < 1.7


def test_temperatures_of_two_networks_differ_by_a_factor_of_five_at_most():
    """No network is less sure than by chance, or surer than sure."""
    logits = np.random.default_rng(0).normal(size=(12, 3))
    as_it_is = replace(AS_IT_IS, temperature=2.0)
    assert matched_temperature(logits, np.zeros((12, 3)), as_it_is) == pytest.approx(10.0)
    assert matched_temperature(logits, np.eye(3)[[0, 1, 2] * 4] * 1e4, as_it_is) == pytest.approx(0.4)
