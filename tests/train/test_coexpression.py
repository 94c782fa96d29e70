"""How values go together, against numpy's eigenvectors of the covariance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.nn import ATACScaling, ProteinScaling, RNAScaling
from plkd.train import _coexpression, coexpression

N_OBS, N_GENES = 160, 130


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(rng.gamma(1.0, size=(N_OBS, 4)) @ rng.gamma(0.3, size=(4, N_GENES)) * 3).astype(np.float32)


def found_in(counts, chosen=None, *, as_sparse=True):
    cells = Cells({"rna": Modality(Rows(sparse.csr_matrix(counts) if as_sparse else counts))}, len(counts))
    chosen = np.arange(len(counts)) if chosen is None else chosen
    return coexpression(cells, chosen, {"rna": RNAScaling(torch.full((counts.shape[1],), 1 / counts.shape[1]))})["rna"]


@pytest.mark.parametrize("as_sparse", [True, False])
def test_directions_are_those_of_the_covariance(counts, as_sparse):
    ours = found_in(counts, as_sparse=as_sparse)
    x = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)).astype(np.float64)
    np.testing.assert_allclose(ours.mean, x.mean(axis=0), atol=1e-4)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    largest = vectors[:, -100:] * np.sqrt(values[-100:])
    np.testing.assert_allclose(ours.loadings @ ours.loadings.T, largest @ largest.T, atol=2e-2)
    left = np.maximum(x.var(axis=0) - (ours.loadings**2).sum(axis=1), 1e-3)
    np.testing.assert_allclose(ours.noise, left, atol=1e-3)
    assert ours.loadings.shape == (N_GENES, 100)


def test_only_the_chosen_cells_are_looked_at(counts):
    chosen = np.arange(0, N_OBS, 2)
    changed = counts.copy()
    changed[1::2] += 50
    for name, values in vars(found_in(counts[chosen])).items():
        np.testing.assert_allclose(vars(found_in(changed, chosen))[name], values, atol=1e-4)


def test_of_many_cells_some_thousand_from_all_over_are_looked_at(monkeypatch):
    looked_at = []
    monkeypatch.setattr(_coexpression, "unweighted_values", lambda kinds, cells, some: looked_at.append(some) or {})
    for n_obs in (5_000, 5_001, 300_000):
        coexpression(None, np.arange(n_obs) * 2, {"rna": RNAScaling(torch.ones(1))})
    assert [len(some) for some in looked_at] == [5_000, 5_000, 5_000]
    assert [some.min() for some in looked_at] == [0, 0, 0]
    assert looked_at[2].max() > 599_000
    assert np.diff(looked_at[2]).max() < 10_000


@pytest.mark.parametrize(("n_obs", "n_genes"), [(0, 5), (1, 5), (2, 5), (30, 1), (30, 2), (30, 5)])
def test_few_cells_or_features_have_fewer_directions(counts, n_obs, n_genes):
    ours = found_in(counts[:n_obs, :n_genes])
    assert np.isfinite(ours.mean).all()
    assert np.isfinite(ours.loadings).all()
    assert (np.abs(ours.loadings).sum(axis=0) > 0).sum() <= max(min(n_obs, n_genes) - 1, 0)
    assert (ours.noise > 0).all()


def test_cells_that_are_all_alike_have_no_direction():
    ours = found_in(np.ones((20, 6), dtype=np.float32))
    assert np.abs(ours.loadings).max() < 1e-3
    assert np.isfinite(ours.noise).all()


def test_of_each_modality_that_is_completed_those_cells_that_have_it(counts):
    position = np.where(np.arange(N_OBS) < 40, np.arange(N_OBS), -1)
    cells = Cells(
        {
            "rna": Modality(Rows(counts[:40]), position=position),
            "protein": Modality(Rows(counts[:, :12])),
            "atac": Modality(Rows(counts[:, :20])),
        },
        N_OBS,
    )
    scaling = {
        "rna": RNAScaling(torch.full((N_GENES,), 1 / N_GENES)),
        "protein": ProteinScaling(torch.zeros(12)),
        "atac": ATACScaling(torch.full((20,), 0.05), torch.ones(20)),
    }
    ours = coexpression(cells, np.arange(N_OBS), scaling)
    assert list(ours) == ["rna"]
    np.testing.assert_allclose(ours["rna"].mean, found_in(counts[:40]).mean, atol=1e-5)
