"""Attention roll-out equals the explicit product of row-normalised matrices, and its rows sum to 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd.nn import attention_rollout


def random_attention(rng, depth, n_tokens=6, n_obs=3):
    return [rng.dirichlet(np.full(n_tokens, 0.3), size=(n_obs, n_tokens)) for _ in range(depth)]


def explicit(attention, cell):
    product = np.eye(attention[0].shape[-1])
    for weights in attention:
        with_self = weights[cell] + np.eye(len(product))
        product = with_self / with_self.sum(axis=1, keepdims=True) @ product
    return product[0, 1:]


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("last_row_only", [True, False])
def test_equals_the_explicit_product_of_matrices(depth, last_row_only):
    attention = random_attention(np.random.default_rng(depth), depth)
    given = [torch.from_numpy(a) for a in attention]
    if last_row_only:
        given[-1] = given[-1][:, :1]
    raw, shares = attention_rollout(given, raw=True).numpy(), attention_rollout(given).numpy()
    assert shares.shape == (3, 5)
    for cell in range(3):
        truth = explicit(attention, cell)
        np.testing.assert_allclose(raw[cell], truth, rtol=1e-12)
        np.testing.assert_allclose(shares[cell], truth / truth.sum(), rtol=1e-12)


def test_rows_sum_to_1_unless_raw():
    attention = [torch.from_numpy(a) for a in random_attention(np.random.default_rng(0), 3)]
    np.testing.assert_allclose(attention_rollout(attention).sum(dim=1), 1, rtol=1e-12)
    raw = attention_rollout(attention, raw=True).sum(dim=1)
    assert ((raw > 0) & (raw < 1)).all()


def test_by_hand_for_one_block():
    # Row [0.2, 0.5, 0.3] + [1, 0, 0], halved: 0.25 and 0.15 for the patterns.
    attention = [torch.tensor([[[0.2, 0.5, 0.3]]])]
    torch.testing.assert_close(attention_rollout(attention, raw=True), torch.tensor([[0.25, 0.15]]))
    torch.testing.assert_close(attention_rollout(attention), torch.tensor([[0.625, 0.375]]))


def test_by_hand_for_two_blocks():
    # The class token looks at pattern 1 in the last block; pattern 1 looked at pattern 2 in the first.
    first = torch.tensor([[[1.0, 0, 0], [0, 0, 1], [0, 0, 1]]])
    last = torch.tensor([[[0.0, 1, 0]]])
    # Last: [1/2, 1/2, 0]; first, with self: pattern 1 is half itself, half pattern 2.
    torch.testing.assert_close(attention_rollout([first, last], raw=True), torch.tensor([[0.25, 0.25]]))


def test_no_weights_is_refused():
    with pytest.raises(ValueError, match="No attention weights given"):
        attention_rollout([])
