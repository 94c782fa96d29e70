"""The Student's outputs with places: of cells and labels on the same axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.inference import find_axes, run_in_surroundings, run_student
from plkd.nn import RNAScaling, Student

N_OBS, N_GENES = 60, 12


@pytest.fixture
def parts():
    counts = np.random.default_rng(0).poisson(3.0, size=(N_OBS, N_GENES)).astype(np.float32)
    cells = Cells({"rna": Modality(Rows(sparse.csr_matrix(counts)))}, N_OBS)
    scaling = {"rna": RNAScaling(torch.full((N_GENES,), 1 / N_GENES))}
    return scaling, Student({"rna": N_GENES}, 3, n_hidden=(8, 5)).eval(), cells, counts


def test_outputs_are_the_students_and_places_lie_on_the_query_s_axes(parts):
    scaling, student, cells, counts = parts
    chosen = np.array([5, 3, *range(10, 40)])
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    profiles = np.stack([values[:20].mean(axis=0), values[20:].mean(axis=0), np.zeros(N_GENES)]).astype(np.float32)
    output, places = run_in_surroundings(scaling, student, cells, chosen, {"rna": profiles})
    plain = run_student(scaling, student, cells, chosen)
    np.testing.assert_allclose(output.logits, plain.logits, atol=1e-5)
    np.testing.assert_allclose(output.latent, plain.latent, atol=1e-5)
    axes = find_axes(scaling, cells, chosen)["rna"]
    loadings, middle = axes.loadings.numpy(), axes.middle.numpy()
    np.testing.assert_allclose(places.cells["rna"], values[chosen] @ loadings - middle, atol=1e-5)
    np.testing.assert_allclose(places.labels["rna"], profiles @ loadings - middle, atol=1e-5)
    assert places.sample.all()
    assert plain.places == {}


def test_without_profiles_there_are_no_places(parts):
    scaling, student, cells, _ = parts
    output, places = run_in_surroundings(scaling, student, cells, np.arange(N_OBS), {})
    assert places is None
    np.testing.assert_array_equal(output.logits, run_student(scaling, student, cells, np.arange(N_OBS)).logits)


def test_of_many_cells_an_eighth_of_the_sample_is_looked_for_neighbours_in(parts, monkeypatch):
    scaling, student, cells, _ = parts
    monkeypatch.setattr("plkd.inference._axes.MOST_CELLS", 20)
    monkeypatch.setattr("plkd.inference._axes._RUN", 5)
    profiles = {"rna": np.zeros((3, N_GENES), dtype=np.float32)}
    _, places = run_in_surroundings(scaling, student, cells, np.arange(N_OBS), profiles)
    looked_at = [*range(5), *range(18, 23), *range(36, 41), *range(55, 60)]
    assert np.flatnonzero(places.sample).tolist() == looked_at[::8]
    assert places.cells["rna"].shape[0] == N_OBS
