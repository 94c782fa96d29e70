"""Modality dropout: whole modalities hidden from some cells."""

from __future__ import annotations

import pytest
import torch

from plkd.train._augment import hide_modalities

N_OBS = 4000


@pytest.fixture
def cells():
    """4,000 cells of three modalities; of five each has one, two or all."""
    x = {name: torch.rand(N_OBS, n) + 0.1 for name, n in (("rna", 5), ("protein", 3), ("atac", 4))}
    number = torch.arange(N_OBS) % 5
    present = {"rna": number < 4, "protein": number > 0, "atac": number > 1}
    return {name: own * present[name][:, None] for name, own in x.items()}, present


def stacked(present):
    return torch.stack(list(present.values()), dim=1)


def test_nothing_is_hidden_at_a_rate_of_0_or_from_one_modality(cells):
    x, present = cells
    for own, there in ((x, present), ({"rna": x["rna"]}, {"rna": present["rna"]})):
        rate = 0.0 if len(own) > 1 else 1.0
        hidden, left = hide_modalities(own, there, rate)
        assert all(torch.equal(hidden[name], own[name]) and torch.equal(left[name], there[name]) for name in own)


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_cells_of_several_modalities_lose_some_and_keep_some(cells, rate):
    x, present = cells
    hidden, left = hide_modalities(x, present, rate)
    had, kept = stacked(present).sum(dim=1), stacked(left).sum(dim=1)
    assert (kept >= 1).all()
    assert not (stacked(left) & ~stacked(present)).any()
    assert (kept[had == 1] == 1).all()
    several = had > 1
    assert (kept[several] < had[several]).float().mean().item() == pytest.approx(rate, abs=0.03)
    for name, own in hidden.items():
        assert torch.equal(own, x[name] * left[name][:, None])


def test_every_subset_is_left_as_often(cells):
    x, present = cells
    _, left = hide_modalities(x, present, 1.0)
    complete = stacked(present).all(dim=1)
    subsets = (stacked(left)[complete] * torch.tensor([1, 2, 4])).sum(dim=1)
    shares = torch.bincount(subsets, minlength=8)[1:7] / len(subsets)
    assert torch.allclose(shares, torch.full((6,), 1 / 6), atol=0.04)
