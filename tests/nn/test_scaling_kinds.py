"""Protein and ATAC scaling against muon's, and on data sets that lack features."""

from __future__ import annotations

import muon
import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from plkd.nn import ATACScaling, ProteinScaling, RNAScaling, make_scaling

PROTEIN = np.random.default_rng(0).poisson(30, size=(20, 9)).astype(np.float32)
PEAKS = (np.random.default_rng(1).random((30, 25)) < 0.3).astype(np.float32)


def tensor(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def test_proteins_equal_muons_centred_log_ratio_per_cell():
    adata = AnnData(PROTEIN.copy())
    muon.prot.pp.clr(adata, axis=1, flavor="stoeckius")
    ours = ProteinScaling(torch.zeros(9))(tensor(PROTEIN))
    np.testing.assert_allclose(ours.numpy(), adata.X, atol=1e-5)


def test_proteins_are_centred_on_the_references_mean_cell():
    log_mean = np.log1p(PROTEIN).mean(axis=0)
    ours = ProteinScaling(log_mean)(tensor(PROTEIN)).numpy()
    ratio = np.log1p(PROTEIN) - np.log1p(PROTEIN).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, ratio - ratio.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=1e-5)


def test_a_cell_like_the_references_mean_is_0_on_any_part_of_the_panel():
    log_mean = np.linspace(1, 5, 9)
    cell = tensor(np.expm1(log_mean))[None]
    found = torch.arange(9) < 4
    scaling = ProteinScaling(log_mean)
    for given in (None, found):
        there = torch.ones(9, dtype=torch.bool) if given is None else given
        torch.testing.assert_close(scaling(cell * there, found=given), torch.zeros(1, 9), atol=1e-5, rtol=0)


def test_missing_proteins_are_0_and_take_no_part_in_the_mean():
    found = torch.tensor([True] * 5 + [False] * 4)
    scaling = ProteinScaling(torch.zeros(9))
    part = scaling(tensor(PROTEIN) * found, found=found)
    assert not part[:, 5:].any()
    torch.testing.assert_close(part[:, :5], ProteinScaling(torch.zeros(5))(tensor(PROTEIN[:, :5])))


def test_peaks_equal_muons_log_of_tfidf():
    adata = AnnData(sparse.csr_matrix(PEAKS))
    muon.atac.pp.tfidf(adata, log_tf=False, log_idf=False, log_tfidf=True, scale_factor=1e4)
    ours = ATACScaling(np.full(25, 1 / 25), len(PEAKS) / PEAKS.sum(axis=0))(tensor(PEAKS))
    np.testing.assert_allclose(ours.numpy(), adata.X.toarray(), rtol=1e-5, atol=1e-5)


def test_a_peak_poor_query_lands_on_the_references_scale():
    share = np.array([0.5, 0.3, 0.2])
    scaling = ATACScaling(share, np.ones(3))
    torch.testing.assert_close(scaling(tensor([[50, 30, 20]])), tensor([[5000, 3000, 2000]]).log1p())
    found = torch.tensor([True, False, True])
    torch.testing.assert_close(scaling(tensor([[50, 0, 20]]), found=found), tensor([[5000, 0, 2000]]).log1p())


@pytest.mark.parametrize("kind", ["rna", "protein", "atac"])
@pytest.mark.parametrize("found", [None, torch.tensor([True, True, False, True])])
def test_a_cell_without_counts_is_0(kind, found):
    scaling = make_scaling(kind, 4)
    for buffer in scaling.buffers():
        buffer.fill_(0.25)
    out = scaling(torch.zeros(2, 4), found=found)
    assert torch.equal(out, torch.zeros(2, 4))


@pytest.mark.parametrize("scale", [1.0, 37.0])
def test_depth_of_a_cell_does_not_matter_to_peaks(scale):
    scaling = ATACScaling(np.full(25, 1 / 25), np.linspace(1, 3, 25))
    torch.testing.assert_close(scaling(scale * tensor(PEAKS)), scaling(tensor(PEAKS)))


def test_each_kind_has_its_constants_as_buffers_that_do_not_learn():
    built = {kind: make_scaling(kind, 3) for kind in ("rna", "protein", "atac")}
    assert {kind: sorted(scaling.state_dict()) for kind, scaling in built.items()} == {
        "rna": ["gene_share", "loadings", "mean", "noise", "weight"],
        "protein": ["log_mean", "weight"],
        "atac": ["idf", "peak_share", "weight"],
    }
    assert not any(list(scaling.parameters()) for scaling in built.values())
    assert isinstance(built["rna"], RNAScaling)
