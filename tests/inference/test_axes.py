"""Directions of a query against numpy's decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.inference import find_axes, run_student
from plkd.inference._axes import sample_cells
from plkd.nn import ProteinScaling, RNAScaling, Student

N_OBS, N_GENES = 80, 40


@pytest.fixture
def counts() -> np.ndarray:
    """Counts with three programmes, so that a few directions stand out."""
    rng = np.random.default_rng(0)
    means = rng.gamma(1.0, size=(3, N_GENES))[rng.integers(3, size=N_OBS)]
    return rng.poisson(4 * means).astype(np.float32)


def cells_of(counts, **kwargs) -> Cells:
    return Cells({"rna": Modality(Rows(sparse.csr_matrix(counts)), **kwargs)}, len(counts))


def scaling_of(n_genes: int = N_GENES) -> dict[str, RNAScaling]:
    scaling = RNAScaling(torch.full((n_genes,), 1 / n_genes))
    scaling.weight.copy_(torch.linspace(0, 2, n_genes))  # must play no part
    return {"rna": scaling}


def logged(counts):
    return np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))


@pytest.mark.parametrize("scale", ["counts", "log"])
def test_axes_are_the_singular_vectors_of_the_scaled_values(counts, scale):
    values = logged(counts)
    cells = cells_of(counts if scale == "counts" else values, scale=scale)
    axes = find_axes(scaling_of(), cells, np.arange(N_OBS))["rna"]
    places = axes.place(torch.from_numpy(values)).numpy()
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.square(centred).sum(axis=1).mean())
    _, _, v = np.linalg.svd(values, full_matrices=False)
    # The first ones stand out; signs and the order of the others are free, distances are not.
    first = centred @ v[:3].T / spread
    np.testing.assert_allclose(np.abs(places[:, :3]), np.abs(first), atol=1e-3)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(axes.place_profiles(values[:2]), places[:2], atol=1e-4)


def test_the_same_cells_give_the_same_axes(counts):
    one, again = (find_axes(scaling_of(), cells_of(counts), np.arange(N_OBS), batch_size=n)["rna"] for n in (None, 7))
    assert torch.equal(one.loadings, again.loadings)
    assert torch.equal(one.middle, again.middle)


def test_only_chosen_cells_are_looked_at(counts):
    chosen = np.arange(0, N_OBS, 2)
    some, alone = (
        find_axes(scaling_of(), cells_of(counts), chosen),
        find_axes(scaling_of(), cells_of(counts[chosen]), np.arange(len(chosen))),
    )
    assert torch.equal(some["rna"].loadings, alone["rna"].loadings)


def test_features_that_the_query_lacks_play_no_part(counts):
    counts[:, :5] = 0
    found = np.arange(N_GENES) >= 5
    loadings = find_axes(scaling_of(), cells_of(counts, found=found), np.arange(N_OBS))["rna"].loadings
    assert not loadings[:5].any()
    assert loadings[5:].any(dim=1).all()


def test_features_that_vary_most_for_their_mean_are_used():
    rng = np.random.default_rng(0)
    counts = rng.poisson(30.0, size=(60, 2_500)).astype(np.float32)
    telling = rng.choice(2_500, 100, replace=False)
    counts[:30, telling] *= 4
    loadings = find_axes(scaling_of(2_500), cells_of(counts), np.arange(60))["rna"].loadings
    used = loadings.any(dim=1).numpy()
    assert used.sum() == 2_000
    assert used[telling].all()


def test_few_values_give_what_many_do(counts):
    """Peaks and sparse genes are never made dense; the numbers are the same."""
    rare = counts * (np.random.default_rng(1).random(counts.shape) < 0.02)
    wide = np.hstack([rare, np.zeros((N_OBS, 200), dtype=np.float32)])
    cells = cells_of(wide)
    assert cells.modalities["rna"].rows.density < 0.03
    axes = find_axes(scaling_of(240), cells, np.arange(N_OBS))
    out = run_student(
        scaling_of(240), Student({"rna": 240}, 3, n_hidden=(4,)).eval(), cells, np.arange(N_OBS), axes=axes
    )
    expected = axes["rna"].place(torch.from_numpy(logged(wide))).numpy()
    np.testing.assert_allclose(out.places["rna"], expected, atol=1e-4)


def test_cells_without_a_modality_do_not_shape_its_axes(counts):
    proteins = np.random.default_rng(2).poisson(20.0, size=(50, 6)).astype(np.float32)
    position = np.full(N_OBS, -1)
    position[10:60] = np.arange(50)
    both = Cells(
        {"rna": Modality(Rows(sparse.csr_matrix(counts))), "protein": Modality(Rows(proteins), position=position)},
        N_OBS,
    )
    alone = Cells({"protein": Modality(Rows(proteins))}, 50)
    scaling = {**scaling_of(), "protein": ProteinScaling(torch.full((6,), 3.0))}
    found = find_axes(scaling, both, np.arange(N_OBS))
    expected = find_axes({"protein": scaling["protein"]}, alone, np.arange(50))["protein"]
    torch.testing.assert_close(found["protein"].loadings, expected.loadings)
    torch.testing.assert_close(found["protein"].middle, expected.middle)
    missing = find_axes(scaling, both.only("rna"), np.arange(N_OBS))["protein"]
    assert not missing.loadings.any()


@pytest.mark.parametrize("n_obs", [0, 1, 2, 3])
def test_hardly_any_cells_give_axes_too(counts, n_obs):
    loadings = find_axes(scaling_of(), cells_of(counts), np.arange(n_obs))["rna"].loadings
    assert torch.isfinite(loadings).all()
    assert bool(loadings.any()) is (n_obs > 1)


@pytest.mark.parametrize("cell", [0, 3])
def test_cells_that_are_all_the_same_have_no_axes(counts, cell, recwarn):
    same = np.tile(counts[cell] * (cell > 0), (60, 1))
    axes = find_axes(scaling_of(), cells_of(same), np.arange(60))["rna"]
    assert not axes.loadings.any()
    assert not recwarn.list


@pytest.mark.parametrize("n_obs", [0, 1, 10_000, 10_001, 123_456])
def test_sample_is_spread_over_all_cells_in_runs(n_obs):
    sample = sample_cells(n_obs)
    assert len(np.unique(sample)) == len(sample) <= 10_000
    if n_obs <= 10_000:
        np.testing.assert_array_equal(sample, np.arange(n_obs))
        return
    assert len(sample) > 9_900
    assert (sample[0], sample[-1]) == (0, n_obs - 1)
    if n_obs > 100_000:
        assert len(sample) == 10_000
        assert (np.diff(sample) == 1).sum() == 200 * 49
        assert np.diff(sample).max() < n_obs / 150
