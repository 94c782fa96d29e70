"""A layer that answers for lacking features, against the conditional mean of a normal distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.nn import RNAScaling, make_scaling

N_FEATURES, N_OUT = 9, 4


def known(*, n_axes=3, seed=0):
    """Return a scaling that knows how its features go together."""
    rng = np.random.default_rng(seed)
    scaling = make_scaling("rna", N_FEATURES)
    scaling.mean.copy_(torch.from_numpy(rng.normal(size=N_FEATURES)))
    scaling.loadings[:, :n_axes].copy_(torch.from_numpy(rng.normal(size=(N_FEATURES, n_axes))))
    scaling.noise.copy_(torch.from_numpy(rng.uniform(0.1, 1, N_FEATURES)))
    return scaling


def filled_in(scaling, values, found):
    """Return values whose lacking columns are their conditional means, from the whole covariance."""
    mean, loadings, noise = (
        getattr(scaling, name).numpy().astype(np.float64) for name in ("mean", "loadings", "noise")
    )
    covariance = loadings @ loadings.T + np.diag(noise)
    slope = covariance[np.ix_(~found, found)] @ np.linalg.inv(covariance[np.ix_(found, found)])
    filled = values.copy()
    filled[:, ~found] = mean[~found] + (values[:, found] - mean[found]) @ slope.T
    return filled


def layer(seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N_FEATURES, N_OUT)), rng.normal(size=N_OUT)


@settings(deadline=None, max_examples=30)
@given(found=st.lists(st.booleans(), min_size=N_FEATURES, max_size=N_FEATURES), seed=st.integers(0, 99))
def test_says_what_the_layer_says_of_values_filled_in(found, seed):
    found = np.array(found)
    scaling, (weight, bias) = known(seed=seed), layer(seed)
    values = np.random.default_rng(seed).normal(size=(5, N_FEATURES)) * found
    given_layer = (torch.tensor(own, dtype=torch.float32) for own in (weight, bias))
    ours = scaling.completed(*given_layer, torch.tensor(found))
    answers = values @ ours[0].numpy() + ours[1].numpy()
    np.testing.assert_allclose(answers, filled_in(scaling, values, found) @ weight + bias, atol=1e-4)
    assert not ours[0][~torch.tensor(found)].any()


def test_the_given_layer_is_left_as_it_was():
    weight, bias = (torch.tensor(own, dtype=torch.float32) for own in layer())
    before = weight.clone(), bias.clone()
    known().completed(weight, bias, torch.arange(N_FEATURES) < 4)
    assert torch.equal(weight, before[0])
    assert torch.equal(bias, before[1])


@pytest.mark.parametrize("kind", ["rna", "protein", "atac"])
def test_lacking_features_are_0_where_nothing_is_known_or_expected(kind):
    weight, bias = (torch.tensor(own, dtype=torch.float32) for own in layer())
    found = torch.arange(N_FEATURES) % 2 == 0
    ours = make_scaling(kind, N_FEATURES).completed(weight, bias, found)
    assert torch.equal(ours[0], weight * found[:, None])
    assert torch.equal(ours[1], bias)


@pytest.mark.parametrize("kind", ["protein", "atac"])
def test_other_kinds_hold_no_loadings(kind):
    assert "loadings" not in make_scaling(kind, 3).state_dict()


def test_weights_of_before_are_read_and_then_nothing_is_expected():
    scaling = RNAScaling(torch.full((3,), 1 / 3))
    old = {"gene_share": torch.tensor([0.2, 0.3, 0.5]), "weight": torch.tensor([1.0, 2, 3])}
    scaling.load_state_dict(old)
    assert torch.equal(scaling.weight, old["weight"])
    assert not scaling.loadings.any()
    with pytest.raises(RuntimeError, match="gene_share"):
        scaling.load_state_dict({"weight": old["weight"]})
