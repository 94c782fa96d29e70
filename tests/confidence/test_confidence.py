"""The parts for each set of modalities, and how they become arrays and come back."""

from __future__ import annotations

import numpy as np
import pytest

from plkd.confidence import SIZES, Confidence, Part, Places, fit_centres

KINDS = ("rna", "protein")


def part(seed: int, *, allowance: float = 0.0, surrounded: tuple[float, ...] = ()) -> Part:
    """Held-out cells of three labels, with neighbours so many times as far as alone in queries of 64, 128, ... cells."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=80)
    logits = rng.normal(size=(80, 3)) + 2 * np.eye(3)[codes]
    latent = (rng.normal(size=(80, 4)) + codes[:, None]).astype(np.float32)
    centres = fit_centres(latent, codes)
    distance = centres.distance(latent)
    times = np.full(len(SIZES), np.nan)
    times[: len(surrounded)] = surrounded
    return Part.fit(logits, codes, distance, np.outer(distance, times), centres, allowance=allowance)


@pytest.fixture
def confidence() -> Confidence:
    parts = {
        ("rna",): part(0, surrounded=(0.1, 0.05)),
        ("protein",): part(1),
        ("rna", "protein"): part(2, allowance=0.1, surrounded=(0.5,)),
    }
    profiles = {"rna": np.ones((3, 5), dtype=np.float32), "protein": np.zeros((3, 2), dtype=np.float32)}
    return Confidence(KINDS, parts, profiles, "as the test wants it")


@pytest.fixture
def query() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    measured = np.array([[True, True], [True, False], [False, True]] * 20)
    return rng.normal(0, 2, size=(60, 3)), rng.normal(size=(60, 4)).astype(np.float32), measured


def test_each_cell_goes_by_the_part_of_what_it_was_measured_in(confidence, query):
    logits, latent, measured = query
    found = confidence.probabilities(logits, measured)
    novelty, shift = confidence.novelty(latent, logits, measured)
    assert shift == 1.0  # twenty cells of each: too few to judge
    for i, subset in enumerate([("rna", "protein"), ("rna",), ("protein",)]):
        own, rows = confidence.parts[subset], slice(i, None, 3)
        np.testing.assert_array_equal(found[rows], own.calibration.probabilities(logits[rows]))
        distance = own.centres.distance(latent[rows])
        np.testing.assert_array_equal(novelty[rows], own.alone.score(distance))


def test_cells_with_neighbours_go_by_the_scale_of_such_and_only_where_there_is_one(confidence):
    rng = np.random.default_rng(5)
    latent, logits = rng.normal(size=(180, 4)).astype(np.float32), rng.normal(size=(180, 3))
    measured = np.repeat([[True, True], [True, False], [False, True]], 60, axis=0)
    cells = {"rna": rng.normal(size=(180, 3)), "protein": rng.normal(size=(180, 2))}
    places = Places(cells, {"rna": np.eye(3), "protein": np.ones((3, 2))}, np.ones(180, dtype=bool))
    found, _ = confidence.novelty(latent, logits, measured, places)
    alone, _ = confidence.novelty(latent, logits, measured)
    for subset, start in ((("rna", "protein"), 0), (("rna",), 60)):
        own, rows = confidence.parts[subset], np.arange(start, start + 60)
        distance = places.of(rows, subset).surround(own.centres.distance(latent[rows]), logits[rows])
        scale = own.surrounded[64]
        expected = scale.score(distance, scale.shift(distance))
        np.testing.assert_array_equal(found[rows], expected)
    np.testing.assert_array_equal(found[120:], alone[120:])  # proteins: no cells were held out together
    few = Places(cells, places.labels, np.arange(180) % 2 == 0)
    np.testing.assert_array_equal(confidence.novelty(latent, logits, measured, few)[0], alone)


def test_cells_go_by_the_scale_of_the_number_of_cells_most_like_theirs(confidence):
    own = confidence.parts["rna",]
    assert [own.scale_for(n) for n in (50, 64, 90)] == [own.surrounded[64]] * 3
    assert [own.scale_for(n) for n in (91, 128, 9_999)] == [own.surrounded[128]] * 3


@pytest.mark.parametrize(("n_cells", "least"), [(256, 1.0), (257, 0.5)])
def test_only_a_query_much_larger_than_all_folds_may_lie_nearer(confidence, n_cells, least):
    rng = np.random.default_rng(6)
    latent, logits = rng.normal(size=(n_cells, 4)).astype(np.float32), rng.normal(size=(n_cells, 3))
    # Hardly anything is left unexplained, so that all cells lie nearer than the held-out ones.
    places = Places(
        {"rna": 1e-9 * rng.normal(size=(n_cells, 3))}, {"rna": np.zeros((3, 3))}, np.ones(n_cells, dtype=bool)
    )
    own, measured = confidence.parts["rna",], np.tile([True, False], (n_cells, 1))
    distance = places.surround(own.centres.distance(latent), logits)
    found, _ = confidence.novelty(latent, logits, measured, places)
    assert own.surrounded[128].shift(distance, least=0.5) == 0.5
    np.testing.assert_array_equal(found, own.surrounded[128].score(distance, least))


def test_a_part_that_serves_other_modalities_judges_cells_alone():
    one = Confidence(("rna", "protein"), {("rna",): part(0, surrounded=(0.1,))}, {}, "")
    rng = np.random.default_rng(5)
    latent, logits = rng.normal(size=(60, 4)).astype(np.float32), rng.normal(size=(60, 3))
    both = np.ones((60, 2), dtype=bool)
    places = Places(
        {"rna": rng.normal(size=(60, 3)), "protein": rng.normal(size=(60, 2))},
        {"rna": np.eye(3), "protein": np.ones((3, 2))},
        np.ones(60, dtype=bool),
    )
    np.testing.assert_array_equal(one.novelty(latent, logits, both, places)[0], one.novelty(latent, logits, both)[0])


def test_a_set_that_no_held_out_cell_had_goes_by_the_one_most_like_it(query):
    logits, _, measured = query
    one = Confidence(("rna", "protein", "atac"), {("rna",): part(0), ("rna", "protein"): part(1)}, {}, "")
    all_three = np.ones((60, 3), dtype=bool)
    expected = one.parts["rna", "protein"].calibration.probabilities(logits)
    np.testing.assert_array_equal(one.probabilities(logits, all_three), expected)
    only_protein = np.tile([False, True, False], (60, 1))
    np.testing.assert_array_equal(one.probabilities(logits, only_protein), expected)


def test_shift_is_judged_for_each_set_of_modalities_apart(confidence):
    rng = np.random.default_rng(3)
    codes = rng.integers(3, size=120)
    latent = (rng.normal(size=(120, 4)) + codes[:, None]).astype(np.float32)
    measured = np.repeat([[True, False], [False, True]], 60, axis=0)
    latent[60:] *= 5
    logits = np.zeros((120, 3))
    rna, shift = confidence.novelty(latent[:60], logits[:60], measured[:60])
    both, shift_both = confidence.novelty(latent, logits, measured)
    np.testing.assert_array_equal(both[:60], rna)
    assert shift < 1.5 < shift_both <= 2


def test_sets_take_the_thresholds_of_the_part(confidence, query):
    logits, _, measured = query
    probabilities = confidence.probabilities(logits, measured)
    found = confidence.prediction_sets(probabilities, measured, 0.8)
    rows, own = slice(1, None, 3), confidence.parts["rna",]
    for label in range(3):
        of_label = np.sort(own.own[own.codes == label])
        k = int(np.ceil((len(of_label) + 1) * 0.8))
        inside = probabilities[rows, label] >= of_label[len(of_label) - k]
        called = probabilities[rows].argmax(axis=1) == label
        np.testing.assert_array_equal(found[rows, label], inside | called)


def test_no_cells_give_empty_answers(confidence):
    none = np.empty((0, 2), dtype=bool)
    assert confidence.probabilities(np.empty((0, 3)), none).shape == (0, 3)
    assert confidence.novelty(np.empty((0, 4)), np.empty((0, 3)), none)[0].shape == (0,)
    assert confidence.prediction_sets(np.empty((0, 3)), none, 0.9).shape == (0, 3)


def test_arrays_bring_it_back_bit_for_bit(confidence, query):
    logits, latent, measured = query
    first = Confidence.from_arrays(KINDS, confidence.to_arrays(), confidence.note)
    arrays = first.to_arrays()
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in arrays.values())
    again = Confidence.from_arrays(KINDS, arrays, first.note)
    assert (again.kinds, again.note, list(again.parts)) == (first.kinds, first.note, list(first.parts))
    assert {kinds: list(own.surrounded) for kinds, own in again.parts.items()} == {
        ("rna",): [64, 128],
        ("protein",): [],
        ("rna", "protein"): [64],
    }
    assert again.parts["rna",].surrounded[128].tail == confidence.parts["rna",].surrounded[128].tail
    assert list(again.profiles) == ["rna", "protein"]
    probabilities = first.probabilities(logits, measured)
    np.testing.assert_array_equal(probabilities, confidence.probabilities(logits, measured))
    np.testing.assert_array_equal(again.probabilities(logits, measured), probabilities)
    np.testing.assert_array_equal(
        again.novelty(latent, logits, measured)[0], first.novelty(latent, logits, measured)[0]
    )
    for name, value in again.to_arrays().items():
        np.testing.assert_array_equal(value, arrays[name])
