from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import metrics


def predictions(n: int, n_labels: int = 6, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Return probabilities and labels drawn from them."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.full(n_labels, 0.3), n)
    frame = pd.DataFrame(values, columns=[f"type {i}" for i in range(n_labels)])
    drawn = (values.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return frame.columns.to_numpy()[drawn], frame


def derived(truth: np.ndarray, frame: pd.DataFrame, n_bins: int) -> float:
    """Return the error of bins cut from the sorted cells: another road to the same number."""
    values = frame.to_numpy()
    order = np.argsort(values.max(axis=1))
    total = 0.0
    for cells in np.array_split(order, n_bins):
        confidence = np.mean([values[i].max() for i in cells])
        accuracy = np.mean([frame.columns[values[i].argmax()] == truth[i] for i in cells])
        total += len(cells) / len(values) * abs(confidence - accuracy)
    return total


def test_hand_numbers():
    # Confidence .6, .6 | .9, .9: one of two right in the first bin, both in the second.
    frame = pd.DataFrame({"B": [0.6, 0.4, 0.9, 0.1], "T": [0.4, 0.6, 0.1, 0.9]})
    error = metrics.calibration_error(["B", "B", "B", "T"], frame, n_bins=2, n_resamples=0)
    assert error == pytest.approx((0.1 + 0.1) / 2)


@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_without_resampling_equals_an_independent_derivation(n_bins):
    truth, frame = predictions(15 * 40)
    wrong = np.roll(truth, 100)
    error = metrics.calibration_error(wrong, frame, n_bins=n_bins, n_resamples=0)
    assert error == pytest.approx(derived(wrong, frame, n_bins))


def test_what_is_taken_off_is_the_mean_error_of_labels_drawn_from_the_probabilities():
    truth, frame = predictions(300)
    taken = metrics.calibration_error(truth, frame, n_resamples=0) - metrics.calibration_error(
        truth, frame, n_resamples=400
    )
    rng = np.random.default_rng(1)
    drawn = [
        frame.columns.to_numpy()[[rng.choice(6, p=row / row.sum()) for row in frame.to_numpy()]] for _ in range(60)
    ]
    errors = [derived(labels, frame, 15) for labels in drawn]
    assert taken == pytest.approx(np.mean(errors), abs=4 * np.std(errors) / np.sqrt(60))


def test_calibrated_probabilities_score_0_on_average_though_the_plain_error_does_not():
    sets = [predictions(200, seed=seed) for seed in range(60)]
    corrected = np.array([metrics.calibration_error(*each) for each in sets])
    plain = np.array([metrics.calibration_error(*each, n_resamples=0) for each in sets])
    assert abs(corrected.mean()) < 4 * corrected.std() / np.sqrt(60)
    assert (corrected < 0).any()
    assert plain.mean() > 0.05


def test_overconfidence_is_found():
    truth, frame = predictions(4000)
    sharper = frame**3
    sharper = sharper.div(sharper.sum(axis=1), axis=0)
    expected = sharper.max(axis=1).mean() - frame.max(axis=1).mean()
    assert metrics.calibration_error(truth, sharper) == pytest.approx(expected, abs=0.03)


def test_label_without_a_column_is_called_wrong():
    frame = pd.DataFrame({"B": [0.9, 0.9], "T": [0.1, 0.1]})
    assert metrics.calibration_error(["B", "new"], frame, n_resamples=0) == pytest.approx(0.4)


def test_order_of_the_cells_does_not_matter_where_confidences_are_equal():
    frame = pd.DataFrame({"B": [0.8] * 90, "T": [0.2] * 90})
    truth = np.array(["B"] * 72 + ["T"] * 18)
    for labels in (truth, np.random.default_rng(0).permutation(truth)):
        assert metrics.calibration_error(labels, frame, n_resamples=0) == pytest.approx(0, abs=1e-12)


def test_seed_decides_the_draws_and_leaves_the_global_generator_alone():
    truth, frame = predictions(100)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, same, other = (metrics.calibration_error(truth, frame, seed=seed) for seed in (0, 0, 1))
    assert first == same != other
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_fewer_cells_than_bins_and_one_cell():
    frame = pd.DataFrame({"B": [0.7], "T": [0.3]})
    assert metrics.calibration_error(["B"], frame, n_resamples=0) == pytest.approx(0.3)


def test_negative_number_of_resamples_is_refused():
    with pytest.raises(ValueError, match="n_resamples=-1"):
        metrics.calibration_error(["B"], pd.DataFrame({"B": [1.0]}), n_resamples=-1)
