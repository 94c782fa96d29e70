"""The Teacher: tokens in their order, modalities that cells lack, attention on request, pattern dropout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd.nn import Teacher, attention_rollout

N_OBS, N_LABELS = 5, 3
MEMBERS = {
    "rna": [np.array([0, 3, 5]), np.array([1]), np.array([2, 4, 6, 7])],
    "protein": [np.array([0, 1]), np.array([2])],
}
N_FEATURES = {"rna": 8, "protein": 3}
SIZE = {"width": 12, "n_heads": 3}


def build(names=("rna", "protein"), **settings):
    settings = {"depth": 2, "n_free": 1, **SIZE, **settings}
    members = {name: MEMBERS[name] for name in names}
    return Teacher(members, {name: N_FEATURES[name] for name in names}, N_LABELS, **settings)


@pytest.fixture
def teacher(randomise):
    return randomise(build(), 0).eval()


@pytest.fixture
def x():
    return {name: torch.rand(N_OBS, n) for name, n in N_FEATURES.items()}


def everywhere(*names):
    return {name: torch.ones(N_OBS, dtype=torch.bool) for name in names}


def test_tokens_come_modality_by_modality_patterns_then_free(teacher, x):
    tokens = teacher.tokens(x)
    assert tokens.shape == (N_OBS, 7, 12)
    assert teacher.n_tokens == 7
    for m, (name, start) in enumerate({"rna": 0, "protein": 4}.items()):
        n = len(MEMBERS[name])
        torch.testing.assert_close(tokens[:, start : start + n], teacher.tokenizers[m](x[name]))
        torch.testing.assert_close(tokens[:, start + n], teacher.free[m](x[name]))


def test_several_free_tokens_all_see_all_features(x, randomise):
    teacher = randomise(build(("rna",), n_free=2), 1)
    values = x["rna"].requires_grad_()
    for token in (3, 4):
        (gradient,) = torch.autograd.grad(teacher.tokens({"rna": values})[:, token].sum(), values)
        assert (gradient != 0).all()
    tokens = teacher.tokens({"rna": values})
    assert not torch.allclose(tokens[:, 3], tokens[:, 4])


@pytest.mark.parametrize("settings", [{"depth": 1}, {"depth": 3}, {"n_free": 0}, {"n_free": 3}])
def test_other_sizes_run(x, settings):
    out = build(**settings).eval()(x, everywhere("rna", "protein"), attention=True)
    assert out.logits.shape == (N_OBS, N_LABELS)
    assert out.latent.shape == (N_OBS, 12)
    assert len(out.attention) == settings.get("depth", 2)


def test_patterns_are_optional_where_there_are_free_tokens(x):
    teacher = Teacher({"rna": []}, {"rna": 8}, N_LABELS, n_free=2, **SIZE)
    assert teacher({"rna": x["rna"]}, everywhere("rna")).logits.shape == (N_OBS, N_LABELS)


def test_no_tokens_at_all_is_refused():
    with pytest.raises(ValueError, match="The Teacher has no tokens: give patterns, or n_free >= 1"):
        Teacher({"rna": []}, {"rna": 8}, N_LABELS, n_free=0)


def test_attention_exists_only_when_asked_for_and_changes_no_answer(teacher, x):
    present = everywhere("rna", "protein")
    without, with_weights = teacher(x, present), teacher(x, present, attention=True)
    assert without.attention is None
    torch.testing.assert_close(without.logits, with_weights.logits, rtol=1e-5, atol=1e-5)
    assert [tuple(w.shape) for w in with_weights.attention] == [(N_OBS, 8, 8), (N_OBS, 1, 8)]


def test_the_last_block_of_the_class_token_only_equals_the_full_computation(teacher, x):
    hidden = torch.cat([teacher.class_token.expand(N_OBS, -1, -1), teacher.tokens(x)], dim=1)
    for block in teacher.blocks:
        hidden, _ = block(hidden)
    latent = teacher.norm(hidden)[:, 0]
    out = teacher(x, everywhere("rna", "protein"))
    torch.testing.assert_close(out.latent, latent, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.logits, teacher.head(latent), rtol=1e-5, atol=1e-5)


def test_order_of_patterns_does_not_matter(teacher, x, randomise):
    # No position code: the same patterns in another order, with their weights, give the same answer.
    order = [2, 0, 1]
    other = build()
    other.load_state_dict(teacher.state_dict())
    rna = type(other.tokenizers[0])([MEMBERS["rna"][i] for i in order], 12)
    with torch.no_grad():
        for new, old in enumerate(order):
            rna.pattern_weight(new).copy_(teacher.tokenizers[0].pattern_weight(old))
            rna.bias[new] = teacher.tokenizers[0].bias[old]
    other.tokenizers[0] = rna
    present = everywhere("rna", "protein")
    torch.testing.assert_close(other.eval()(x, present).logits, teacher(x, present).logits, rtol=1e-5, atol=1e-5)


class TestMissingModality:
    def only(self, teacher, name):
        """The Teacher without the other modality's tokens, same weights."""
        place = {"rna": 0, "protein": 1}[name]
        small = build((name,))
        state = small.state_dict()
        for key in state:
            full = key.replace("tokenizers.0", f"tokenizers.{place}").replace("free.0", f"free.{place}")
            if key != "gain":
                state[key] = teacher.state_dict()[full]
        small.load_state_dict(state)
        return small.eval()

    @pytest.mark.parametrize("attention", [False, True])
    @pytest.mark.parametrize("name", ["rna", "protein"])
    def test_a_cell_that_lacks_one_is_evaluated_without_its_tokens(self, teacher, x, name, attention):
        other = {"rna": "protein", "protein": "rna"}[name]
        present = everywhere("rna", "protein")
        present[other] = torch.tensor([True, False, True, False, False])
        lacking = ~present[other]
        mixed = teacher(x, present, attention=attention)
        alone = self.only(teacher, name)({name: x[name]}, everywhere(name), attention=attention)
        full = teacher(x, everywhere("rna", "protein"))
        torch.testing.assert_close(mixed.logits[lacking], alone.logits[lacking], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(mixed.latent[lacking], alone.latent[lacking], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(mixed.logits[~lacking], full.logits[~lacking], rtol=1e-5, atol=1e-5)
        assert (full.logits - mixed.logits)[lacking].abs().max() > 1e-3

    def test_values_of_the_missing_modality_are_never_read(self, teacher, x):
        present = everywhere("rna", "protein")
        present["protein"][1] = False
        garbage = {**x, "protein": x["protein"].clone()}
        garbage["protein"][1] = 1e3
        torch.testing.assert_close(teacher(garbage, present).logits, teacher(x, present).logits)

    def test_its_patterns_get_no_roll_out(self, teacher, x):
        present = everywhere("rna", "protein")
        present["protein"][1] = False
        shares = attention_rollout(teacher(x, present, attention=True).attention)
        assert not shares[1, 4:].any()
        assert (shares[0, 4:] > 0).all()
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(N_OBS))


class TestPatternDropout:
    def test_leaves_tokens_out_in_training_only(self, x, randomise):
        teacher = randomise(build(pattern_dropout=0.5), 0)
        present = everywhere("rna", "protein")
        teacher.train()
        weights = teacher(x, present, attention=True).attention
        # round(7 tokens x 0.5) = 4, and the class token.
        assert weights[0].shape == (N_OBS, 5, 5)
        assert len({tuple(teacher(x, present).logits[0].tolist()) for _ in range(8)}) > 1
        teacher.eval()
        assert teacher(x, present, attention=True).attention[0].shape == (N_OBS, 8, 8)

    def test_keeps_one_token_at_least(self, x):
        teacher = build(pattern_dropout=0.99).train()
        assert teacher(x, everywhere("rna", "protein"), attention=True).attention[0].shape == (N_OBS, 2, 2)

    def test_the_mask_follows_the_tokens_that_are_kept(self, x, randomise):
        # Whatever tokens are drawn, the values of a modality that a cell lacks stay unread.
        teacher = randomise(build(pattern_dropout=0.4), 0).train()
        present = everywhere("rna", "protein")
        present["protein"][2] = False
        garbage = {**x, "protein": x["protein"].clone()}
        garbage["protein"][2] = 1e3
        for seed in range(10):
            torch.manual_seed(seed)
            expected = teacher(x, present).logits
            torch.manual_seed(seed)
            torch.testing.assert_close(teacher(garbage, present).logits, expected)


@pytest.mark.parametrize("n_obs", [1, 3])
def test_an_all_zero_cell_and_a_batch_of_one_give_finite_answers_and_gradients(n_obs):
    teacher = build(("rna",)).train()
    out = teacher({"rna": torch.zeros(n_obs, 8)}, {"rna": torch.ones(n_obs, dtype=torch.bool)})
    out.logits.square().sum().backward()
    assert torch.isfinite(out.logits).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in teacher.parameters())
