"""Cells in few dimensions, without labels."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from plkd.data import ModalitySpec, Rows
from plkd.model._embedding import embed_cells
from plkd.model._reference import ReferenceTable


def table(counts: np.ndarray, kind: str = "rna") -> ReferenceTable:
    names = [f"{kind}_{i}" for i in range(counts.shape[1])]
    return ReferenceTable(ModalitySpec(kind, tuple(names)), Rows(sp.csr_matrix(counts)))


def test_distances_are_those_of_the_leading_singular_vectors():
    counts = np.random.default_rng(0).poisson(1.0, size=(40, 12)).astype(np.float32)
    embedded, found = embed_cells({"rna": (table(counts), None)}, np.arange(40))
    scaled = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    u, s, _ = np.linalg.svd(scaled, full_matrices=False)
    expected = u[:, :11] * s[:11]
    expected -= expected.mean(axis=0)
    expected /= np.sqrt(np.square(expected).sum(axis=1).mean())
    assert embedded.all()
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_modalities_weigh_alike_and_cells_without_the_commonest_are_left_out():
    rng = np.random.default_rng(0)
    rna, protein = rng.poisson(1.0, size=(30, 8)), 50.0 + rng.poisson(30, size=(20, 6))
    without = np.r_[np.arange(20), np.full(10, -1)]
    both = {"rna": (table(rna), None), "protein": (table(protein, "protein"), without)}
    embedded, found = embed_cells(both, np.arange(20))
    assert embedded.all()
    assert found.shape == (20, 7 + 5)
    np.testing.assert_allclose([np.square(part).sum() for part in (found[:, :7], found[:, 7:])], 20, rtol=1e-5)
    # Of all cells not all have proteins, so that these say nothing.
    assert embed_cells(both, np.arange(30))[1].shape == (30, 7)
    of_proteins = {"protein": both["protein"]}
    np.testing.assert_array_equal(embed_cells(of_proteins, np.arange(30))[0], without >= 0)


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # the share of variance of constant values
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 1), (3, 2)])
def test_few_cells_and_features(shape):
    for counts in (np.zeros(shape, dtype=np.float32), np.ones(shape, dtype=np.float32)):
        embedded, found = embed_cells({"rna": (table(counts), None)}, np.arange(shape[0]))
        assert embedded.all()
        assert np.isfinite(found).all()
