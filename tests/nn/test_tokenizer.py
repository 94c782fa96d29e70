"""`PatternTokenizer`: a masked linear layer that stores and touches only the connected weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from plkd.nn import PatternTokenizer

N_GENES = 30
WIDTH = 6


def random_members(rng, n_patterns=7, n_genes=N_GENES, largest=12):
    return [rng.permutation(n_genes)[: rng.integers(1, largest + 1)] for _ in range(n_patterns)]


def dense_tokens(tokenizer, members, x):
    """Tokens by a dense masked linear layer, in float64."""
    out = np.zeros((len(x), len(members), tokenizer.width))
    for p, genes in enumerate(members):
        weight = np.zeros((x.shape[1], tokenizer.width))
        weight[genes] = tokenizer.pattern_weight(p).detach().double().numpy()
        out[:, p] = x.astype(np.float64) @ weight + tokenizer.bias[p].detach().double().numpy()
    return out


@given(
    members=st.lists(st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=10), min_size=1, max_size=8),
    n_obs=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_equals_a_dense_masked_linear_layer(members, n_obs):
    members = [np.array(m) for m in members]
    tokenizer = PatternTokenizer(members, WIDTH)
    x = np.random.default_rng(0).normal(size=(n_obs, 10)).astype(np.float32)
    tokens = tokenizer(torch.from_numpy(x)).detach().numpy()
    assert tokens.shape == (n_obs, len(members), WIDTH)
    np.testing.assert_allclose(tokens, dense_tokens(tokenizer, members, x), atol=1e-5)


@given(
    members=st.lists(st.lists(st.integers(0, 29), unique=True, min_size=1, max_size=30), min_size=1, max_size=12),
    n_obs=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_products_filled_up_with_zeros_say_the_same(members, n_obs):
    # What a GPU computes.
    members = [np.array(m) for m in members]
    tokenizer = PatternTokenizer(members, WIDTH)
    x = np.random.default_rng(0).normal(size=(n_obs, N_GENES)).astype(np.float32)
    filled = tokenizer._of_filled(torch.from_numpy(x))
    np.testing.assert_allclose(filled.detach(), dense_tokens(tokenizer, members, x), atol=1e-5)
    # Sizes of a group differ by a factor of two at most, so that there are few and they are half full.
    assert len(tokenizer.filled_groups) <= 5
    assert len(tokenizer.filled_slots) <= 2 * len(tokenizer.weight)
    grads = []
    for tokens in (filled, tokenizer(torch.from_numpy(x))):
        tokenizer.zero_grad()
        tokens.square().sum().backward()
        grads.append([p.grad.clone() for p in tokenizer.parameters()])
    for own, truth in zip(*grads, strict=True):
        torch.testing.assert_close(own, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
def test_on_a_gpu_as_on_a_cpu():
    members = random_members(np.random.default_rng(0), 40)
    tokenizer, x = PatternTokenizer(members, WIDTH), torch.randn(5, N_GENES)
    truth = tokenizer(x)
    torch.testing.assert_close(tokenizer.cuda()(x.cuda()).cpu(), truth, rtol=1e-4, atol=1e-4)


def test_pattern_weight_is_in_the_order_of_the_members():
    tokenizer = PatternTokenizer([np.array([4, 1]), np.array([2]), np.array([0, 3])], WIDTH)
    for pattern, genes in enumerate([[4, 1], [2], [0, 3]]):
        for place, gene in enumerate(genes):
            x = torch.zeros(1, 5)
            x[0, gene] = 1
            token = tokenizer(x)[0, pattern] - tokenizer.bias[pattern]
            torch.testing.assert_close(token, tokenizer.pattern_weight(pattern)[place])


def test_pattern_weight_is_a_view_that_can_be_written():
    tokenizer = PatternTokenizer([np.array([0, 1]), np.array([2])], WIDTH)
    with torch.no_grad():
        tokenizer.pattern_weight(0).zero_()
    assert not tokenizer(torch.tensor([[1.0, 2, 0]]))[0, 0].sub(tokenizer.bias[0]).any()
    assert tokenizer.pattern_weight(1).abs().sum() > 0


def test_a_token_reads_no_gene_of_another_pattern():
    tokenizer = PatternTokenizer([np.array([0, 1, 2]), np.array([2, 3]), np.array([4])], WIDTH)
    x = torch.randn(2, 5, requires_grad=True)
    for pattern, genes in enumerate([{0, 1, 2}, {2, 3}, {4}]):
        (gradient,) = torch.autograd.grad(tokenizer(x)[:, pattern].sum(), x)
        assert set(gradient.abs().sum(dim=0).nonzero().ravel().tolist()) == genes


def test_permuting_patterns_permutes_tokens():
    rng = np.random.default_rng(1)
    members = random_members(rng)
    order = rng.permutation(len(members))
    first, second = PatternTokenizer(members, WIDTH), PatternTokenizer([members[i] for i in order], WIDTH)
    with torch.no_grad():
        for new, old in enumerate(order):
            second.pattern_weight(new).copy_(first.pattern_weight(old))
            second.bias[new] = first.bias[old]
    x = torch.randn(3, N_GENES)
    torch.testing.assert_close(second(x), first(x)[:, torch.from_numpy(order)])


def test_permuting_the_genes_of_a_pattern_with_their_weights_changes_nothing():
    genes = np.array([3, 0, 2])
    first, second = PatternTokenizer([genes], WIDTH), PatternTokenizer([genes[::-1].copy()], WIDTH)
    with torch.no_grad():
        second.pattern_weight(0).copy_(first.pattern_weight(0).flip(0))
        second.bias.copy_(first.bias)
    x = torch.randn(3, 4)
    torch.testing.assert_close(second(x), first(x))


def test_gradients_agree_with_finite_differences():
    members = [np.array([0, 2]), np.array([1]), np.array([3, 0]), np.array([2, 1, 3])]
    tokenizer = PatternTokenizer(members, 2).double()
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)

    def tokens(x, weight, bias):
        return torch.func.functional_call(tokenizer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(tokens, (x, tokenizer.weight, tokenizer.bias))


class TestCost:
    """Storage, memory and work grow with the memberships, never with genes x patterns."""

    n_genes, n_patterns, width, n_obs = 1000, 60, 8, 2

    def build(self):
        rng = np.random.default_rng(0)
        members = random_members(rng, self.n_patterns, self.n_genes, largest=20)
        return PatternTokenizer(members, self.width), sum(map(len, members))

    def test_parameters_are_memberships_times_width_without_padding(self):
        tokenizer, n_memberships = self.build()
        assert tokenizer.weight.shape == (n_memberships, self.width)
        n_parameters = sum(p.numel() for p in tokenizer.parameters())
        assert n_parameters == (n_memberships + self.n_patterns) * self.width
        assert sum(b.numel() for b in tokenizer.buffers()) <= 8 * n_memberships + self.n_patterns

    def test_no_tensor_of_genes_times_patterns_in_forward_or_backward(self):
        tokenizer, n_memberships = self.build()
        seen = []

        class Watch(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                seen.extend(t.numel() for t in torch.utils._pytree.tree_leaves(out) if torch.is_tensor(t))
                return out

        x = torch.randn(self.n_obs, self.n_genes, requires_grad=True)
        with Watch():
            tokenizer(x).square().sum().backward()
        assert len(seen) > 10
        allowed = max(n_memberships * self.width, self.n_obs * self.n_genes, n_memberships * self.n_obs)
        assert max(seen) <= allowed
        assert allowed < self.n_genes * self.n_patterns

    def test_saved_tensors_are_no_larger_than_the_connected_weights(self):
        tokenizer, n_memberships = self.build()
        saved = []

        def remember(tensor):
            saved.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            tokenizer(torch.randn(self.n_obs, self.n_genes)).sum()
        assert saved
        assert max(saved) <= n_memberships * max(self.width, self.n_obs)

    def test_multiplications_are_one_per_cell_and_connected_weight(self):
        tokenizer, n_memberships = self.build()
        with FlopCounterMode(display=False) as counter:
            tokenizer(torch.randn(self.n_obs, self.n_genes))
        assert counter.get_total_flops() == 2 * self.n_obs * n_memberships * self.width


def test_starts_uniform_within_the_bound():
    rng = np.random.default_rng(0)
    tokenizer = PatternTokenizer([rng.permutation(200)[:50] for _ in range(40)], 16, bound=0.07)
    for parameter in (tokenizer.weight, tokenizer.bias):
        assert parameter.abs().max() <= 0.07
        assert parameter.abs().max() > 0.99 * 0.07
        assert float(parameter.std()) == pytest.approx(0.07 / np.sqrt(3), rel=0.1)
        assert abs(float(parameter.mean())) < 0.005


def test_starts_with_variance_one_over_the_size_and_biases_that_tell_patterns_apart():
    torch.manual_seed(0)
    members = [np.arange(100), np.arange(4), np.arange(25)]
    tokenizer = PatternTokenizer(members, 4096)
    for p, genes in enumerate(members):
        assert tokenizer.pattern_weight(p).std().item() == pytest.approx(1 / np.sqrt(len(genes)), rel=0.05)
        assert tokenizer.bias[p].std().item() == pytest.approx(0.5, rel=0.05)


def test_an_empty_pattern_is_refused_by_number():
    with pytest.raises(ValueError, match="Pattern 1 has no features"):
        PatternTokenizer([np.array([0]), np.array([], dtype=int)], WIDTH)


def test_equal_state_gives_equal_tokens_after_saving(tmp_path):
    members = random_members(np.random.default_rng(3))
    first, second = PatternTokenizer(members, WIDTH), PatternTokenizer(members, WIDTH)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    x = torch.randn(2, N_GENES)
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)
