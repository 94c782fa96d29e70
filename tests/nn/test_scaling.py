"""RNA scaling: scanpy's log1p of counts per 10,000, corrected where a query lacks genes."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
import torch
from anndata import AnnData

from plkd.nn import RNAScaling, scale_batch, unweighted_batch, weigh_batch


def test_equals_scanpys_normalize_total_and_log1p():
    counts = np.random.default_rng(0).poisson(2.0, size=(20, 15)).astype(np.float32)
    adata = AnnData(counts.copy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    ours = RNAScaling(torch.full((15,), 1 / 15))(torch.from_numpy(counts))
    np.testing.assert_allclose(ours.numpy(), adata.X, rtol=1e-5, atol=1e-6)


def test_depth_of_a_cell_does_not_matter():
    counts = torch.tensor([[1.0, 2, 3]])
    scaling = RNAScaling(torch.tensor([0.2, 0.3, 0.5]))
    torch.testing.assert_close(scaling(counts), scaling(40 * counts))


def test_share_of_the_genes_that_a_data_set_has():
    scaling = RNAScaling(np.array([0.5, 0.3, 0.2]))
    assert scaling.share_of(torch.tensor([True, True, True])) == scaling.share_of(None) == 1
    assert scaling.share_of(torch.tensor([True, False, True])).item() == pytest.approx(0.7)
    assert scaling.share_of(torch.tensor([False, True, False])).item() == pytest.approx(0.3)


def test_a_share_of_0_leaves_the_library_size_alone():
    scaling = RNAScaling(torch.tensor([1.0, 0.0]))
    assert scaling.share_of(torch.tensor([False, True])) == 1


def test_a_gene_poor_query_lands_on_the_references_scale():
    # A reference cell with counts as the shares say: 50, 30, 20 of 100.
    scaling = RNAScaling(torch.tensor([0.5, 0.3, 0.2]))
    full = scaling(torch.tensor([[50.0, 30, 20]]))
    torch.testing.assert_close(full, torch.tensor([[5000.0, 3000, 2000]]).log1p())
    # The same cell without its second gene: 70 counts, 70 % of what it should hold.
    poor = scaling(torch.tensor([[50.0, 0, 20]]), found=torch.tensor([True, False, True]))
    torch.testing.assert_close(poor, torch.tensor([[5000.0, 0, 2000]]).log1p())


def test_an_all_zero_cell_stays_zero():
    scaling = RNAScaling(torch.full((4,), 0.25))
    out = scaling(torch.tensor([[0.0] * 4, [1, 0, 0, 0]]), found=torch.tensor([True, True, False, True]))
    assert not out[0].any()
    assert torch.isfinite(out).all()


def test_log_normalised_values_are_used_as_they_are():
    x = torch.rand(3, 4)
    assert torch.equal(
        RNAScaling(torch.full((4,), 0.25))(x, logged=True, found=torch.tensor([True, False, True, True])), x
    )


def test_the_input_is_not_changed():
    x = torch.rand(3, 4)
    before = x.clone()
    RNAScaling(torch.full((4,), 0.25))(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("logged", [False, True])
def test_genes_are_weighted_after_scaling(logged):
    x = torch.rand(3, 4)
    plain, weighted = (RNAScaling(torch.full((4,), 0.25)) for _ in range(2))
    weighted.weight.copy_(torch.tensor([0.0, 0.5, 1.0, 2.0]))
    found = torch.tensor([True, True, True, False])
    expected = plain(x, logged=logged, found=found) * torch.tensor([0.0, 0.5, 1.0, 2.0])
    torch.testing.assert_close(weighted(x, logged=logged, found=found), expected)


def test_constants_are_stored_with_the_weights_and_do_not_learn():
    scaling = RNAScaling(np.array([0.5, 0.3, 0.2]))
    assert torch.equal(scaling.state_dict()["gene_share"], torch.tensor([0.5, 0.3, 0.2]))
    assert torch.equal(scaling.state_dict()["weight"], torch.ones(3))
    assert not list(scaling.parameters())


def test_each_modality_of_a_mini_batch_is_scaled_by_its_own_constants():
    scaling = {"rna": RNAScaling(torch.tensor([0.5, 0.5])), "other": RNAScaling(torch.tensor([1.0]))}
    found = torch.tensor([True, False])
    batch = {
        "x": {"rna": torch.tensor([[3.0, 0]]), "other": torch.tensor([[0.7]])},
        "scale": {"rna": ("counts", found), "other": ("log", None)},
    }
    out = scale_batch(scaling, batch)
    torch.testing.assert_close(out["rna"], torch.tensor([[5000.0, 0]]).log1p())
    assert torch.equal(out["other"], batch["x"]["other"])


def test_values_without_weights_are_what_the_weights_are_applied_to():
    weighted = {"rna": RNAScaling(torch.full((4,), 0.25))}
    weighted["rna"].weight.copy_(torch.tensor([0.0, 0.5, 1.0, 2.0]))
    plain = {"rna": RNAScaling(torch.full((4,), 0.25))}
    x = torch.tensor([[3.0, 0, 1, 4], [0, 0, 0, 1]])
    for scale in ("counts", "log"):
        batch = {"x": {"rna": x}, "scale": {"rna": (scale, torch.tensor([True, True, False, True]))}}
        values = unweighted_batch(weighted, batch)
        torch.testing.assert_close(values["rna"], scale_batch(plain, batch)["rna"])
        torch.testing.assert_close(weigh_batch(weighted, values)["rna"], scale_batch(weighted, batch)["rna"])
