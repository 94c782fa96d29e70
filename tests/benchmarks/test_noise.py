from __future__ import annotations

import numpy as np
import pytest

noise = pytest.importorskip(
    "benchmarks.robustness.noise", reason="benchmarks are imported from the root of a checkout: python -m pytest"
)


@pytest.fixture(scope="module")
def cells() -> dict[str, np.ndarray]:
    """Four labels around the corners of a square, one pair of corners near each other; two batches."""
    rng = np.random.default_rng(0)
    code = rng.permutation(np.repeat(np.arange(4), [80, 60, 40, 20]))
    corners = np.array([[0, 0], [0, 2], [9, 0], [9, 3]])
    points = corners[code] + 1.3 * rng.normal(size=(200, 2))
    return {
        "labels": np.array(list("ABCD"))[code],
        "batch": np.where(rng.random(200) < 0.5, "x", "y"),
        "points": points,
    }


def noisy(kind: str, cells: dict[str, np.ndarray], rate: float, seed: int = 0) -> np.ndarray:
    return noise.perturb(kind, cells["labels"], rate, seed, batch=cells["batch"], points=cells["points"])


@pytest.mark.parametrize("kind", list(noise.NOISE))
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2])
def test_rate_holds_and_no_label_is_lost(kind, rate, cells):
    found = noisy(kind, cells, rate)
    assert np.sum(found != cells["labels"]) == round(rate * 200)
    right = cells["labels"][found == cells["labels"]]
    assert set(right) == set("ABCD")


@pytest.mark.parametrize("kind", list(noise.NOISE))
def test_seed_repeats_and_input_is_kept(kind, cells):
    before = cells["labels"].copy()
    first, second = noisy(kind, cells, 0.2, seed=3), noisy(kind, cells, 0.2, seed=3)
    assert (first == second).all()
    assert (cells["labels"] == before).all()
    # Cells near a boundary are the same whatever the seed, but for the one of each label that is left.
    assert kind == "boundary" or (noisy(kind, cells, 0.2, seed=4) != first).any()


def test_missing_is_none(cells):
    found = noisy("missing", cells, 0.3)
    assert sum(label is None for label in found) == 60


def test_wrong_labels_are_even(cells):
    labels = np.repeat(["A", "B", "C"], [3000, 1, 1])
    found = noise.wrong(labels, 0.5, np.random.default_rng(0))
    changed = found[found != labels]
    assert set(changed) == {"B", "C"}
    assert np.mean(changed == "B") == pytest.approx(0.5, abs=0.05)


def test_batch_specific_stays_in_one_batch(cells):
    changed = noisy("batch", cells, 0.3) != cells["labels"]
    assert len(set(cells["batch"][changed])) == 1
    with pytest.raises(ValueError, match="one batch"):
        noise.perturb("batch", cells["labels"], 0.1, 0, batch=np.full(200, "x"), points=cells["points"])


def test_boundary_changes_the_nearest_cells_to_the_nearest_label():
    # On a line: A at 0..9, B at 10..19, C far off; the frontier is at 9.5.
    labels = np.repeat(["A", "B", "C"], 10)
    points = np.concatenate([np.arange(20.0), 100 + np.arange(10.0)])[:, None]
    found = noise.boundary(labels, 4 / 30, np.random.default_rng(1), points=points)
    changed = np.flatnonzero(found != labels)
    assert len(changed) == 4
    assert set(changed) <= {6, 7, 8, 9, 10, 11, 12, 13}
    assert all(found[i] == ("B" if labels[i] == "A" else "A") for i in changed)


def test_boundary_leaves_half_of_a_label(cells):
    found = noisy("boundary", cells, 0.9)
    for label in "ABCD":
        own = cells["labels"] == label
        assert np.mean(found[own] == label) >= 0.5


def test_automatic_errs_between_near_labels(cells):
    found = noisy("automatic", cells, 0.2)
    changed = found != cells["labels"]
    near = {"A": "B", "B": "A", "C": "D", "D": "C"}
    assert (
        np.mean([near[label] == new for label, new in zip(cells["labels"][changed], found[changed], strict=True)]) > 0.6
    )


def test_coarse_names_the_pair_of_near_labels(cells):
    found = noisy("coarse", cells, 0.2)
    assert set(found[found != cells["labels"]]) == {"A or B", "C or D"}


def test_lenient_takes_a_parent_for_each_of_its_labels():
    truth = np.array(["A", "A", "C", "B"])
    predicted = np.array(["A or B", "C or D", "C or D", "A"])
    assert noise.lenient(truth, predicted).tolist() == ["A", "C or D", "C", "A"]
