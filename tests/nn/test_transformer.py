"""The Transformer block: fused and explicit attention, the class token's row alone, masks, stochastic depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd.nn._transformer import Attention, Block, DropPath

WIDTH, N_HEADS, N_TOKENS = 12, 3, 7


@pytest.fixture
def block(randomise):
    built = Block(WIDTH, N_HEADS, mlp_ratio=4.0, dropout=0.0, attention_dropout=0.0, drop_path=0.0)
    return randomise(built, 0).eval()


@pytest.fixture
def x():
    return torch.randn(4, N_TOKENS, WIDTH)


@pytest.fixture
def mask():
    allowed = torch.rand(4, 1, 1, N_TOKENS) > 0.4
    allowed[..., 0] = True
    return torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n_queries", [None, 1, 3])
def test_fused_and_explicit_attention_agree(block, x, mask, masked, n_queries):
    settings = {"mask": mask if masked else None, "n_queries": n_queries}
    fused, none = block(x, **settings)
    explicit, weights = block(x, weights=True, **settings)
    assert none is None
    torch.testing.assert_close(fused, explicit, rtol=1e-5, atol=1e-5)
    assert weights.shape == (4, n_queries or N_TOKENS, N_TOKENS)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:2]))
    if masked:
        assert not weights.masked_select(mask[:, 0].isinf().expand_as(weights)).any()


@pytest.mark.parametrize("weights", [False, True])
def test_the_class_tokens_row_alone_equals_the_full_computation(block, x, mask, weights):
    full, all_rows = block(x, mask=mask, weights=weights)
    row, first = block(x, mask=mask, n_queries=1, weights=weights)
    assert row.shape == (4, 1, WIDTH)
    torch.testing.assert_close(row, full[:, :1], rtol=1e-5, atol=1e-5)
    if weights:
        torch.testing.assert_close(first, all_rows[:, :1])


def test_gradients_of_the_class_tokens_row_equal_those_of_the_full_computation(block, x):
    def gradients(n_queries):
        block.zero_grad()
        block(x, n_queries=n_queries)[0][:, 0].square().sum().backward()
        return {name: p.grad.clone() for name, p in block.named_parameters()}

    full, row = gradients(None), gradients(1)
    for name, gradient in full.items():
        torch.testing.assert_close(row[name], gradient, rtol=1e-4, atol=1e-4)


def test_agrees_with_torchs_own_encoder_layer(block, x):
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, N_HEADS, 4 * WIDTH, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    pairs = {
        "self_attn.in_proj_": block.attention.qkv,
        "self_attn.out_proj.": block.attention.proj,
        "linear1.": block.mlp[0],
        "linear2.": block.mlp[3],
        "norm1.": block.norm1,
        "norm2.": block.norm2,
    }
    state = {f"{theirs}{part}": getattr(ours, part) for theirs, ours in pairs.items() for part in ("weight", "bias")}
    layer.load_state_dict(state)
    torch.testing.assert_close(block(x)[0], layer(x), rtol=1e-4, atol=1e-4)


def test_a_masked_token_has_no_influence(block, x):
    mask = torch.zeros(4, 1, 1, N_TOKENS)
    mask[..., 5] = float("-inf")
    changed = x.clone()
    changed[:, 5] = 100
    kept = [0, 1, 2, 3, 4, 6]
    torch.testing.assert_close(block(changed, mask=mask)[0][:, kept], block(x, mask=mask)[0][:, kept])
    torch.testing.assert_close(block(x, mask=mask)[0][:, kept], block(x[:, kept])[0], rtol=1e-5, atol=1e-5)


def test_attention_dropout_acts_only_in_training():
    attention = Attention(WIDTH, N_HEADS, dropout=0.0, attention_dropout=0.5)
    x = torch.randn(2, N_TOKENS, WIDTH)
    for weights in (False, True):

        def run(weights=weights):
            return attention(x, mask=None, n_queries=None, weights=weights)[0]

        attention.train()
        assert not torch.equal(run(), run())
        attention.eval()
        torch.testing.assert_close(run(), run(), rtol=0, atol=0)


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width=10 is not a multiple of n_heads=4; choose e.g. width=48"):
        Attention(10, 4, dropout=0.0, attention_dropout=0.0)


class TestDropPath:
    x = torch.ones(4000, 3, 2)

    def test_drops_whole_cells_and_keeps_the_mean(self):
        out = DropPath(0.4).train()(self.x)
        assert out.unique().tolist() == pytest.approx([0, 1 / 0.6])
        assert (out == out[:, :1, :1]).all()
        assert float(out.mean()) == pytest.approx(1, abs=0.06)

    @pytest.mark.parametrize(("rate", "training"), [(0.4, False), (0.0, True)])
    def test_is_the_identity_in_evaluation_and_at_rate_0(self, rate, training):
        assert torch.equal(DropPath(rate).train(training)(self.x), self.x)

    def test_a_block_whose_branches_are_dropped_passes_its_input(self, randomise):
        block = Block(WIDTH, N_HEADS, mlp_ratio=4.0, dropout=0.0, attention_dropout=0.0, drop_path=0.999999)
        x = torch.randn(4, N_TOKENS, WIDTH)
        torch.testing.assert_close(randomise(block, 0).train()(x)[0], x)


def test_adding_the_logarithm_of_2_to_a_score_counts_a_token_twice(block, x):
    mask = torch.zeros(4, 1, 1, N_TOKENS)
    mask[..., 5] = float(np.log(2))
    twice = torch.cat([x, x[:, 5:6]], dim=1)
    torch.testing.assert_close(block(x, mask=mask, n_queries=1)[0], block(twice, n_queries=1)[0], rtol=1e-5, atol=1e-5)
