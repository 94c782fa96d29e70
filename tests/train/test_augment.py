"""What is hidden from training cells."""

from __future__ import annotations

import pytest
import torch

from plkd.nn import SparseRows, dense
from plkd.train._augment import hide_features, hide_modalities, hide_rate_for, mix_cells

N = 4000


def batch(measured):
    present = {name: torch.tensor([row[i] for row in measured]) for i, name in enumerate(("a", "b", "c"))}
    return {name: torch.ones(len(measured), 2) * mask[:, None] for name, mask in present.items()}, present


def test_the_stated_share_of_cells_loses_some_modalities_but_never_all():
    x, present = batch([(True, True, True)] * N)
    _, left = hide_modalities(x, present, 0.4)
    kept = torch.stack(list(left.values())).sum(dim=0)
    assert (kept >= 1).all()
    assert abs((kept < 3).double().mean() - 0.4) < 0.03
    # Of the six subsets that keep some and lose some, half keep one modality.
    assert abs((kept == 1).double().sum() / (kept < 3).double().sum() - 0.5) < 0.05


def test_values_of_hidden_modalities_are_0_and_the_rest_is_untouched():
    x, present = batch([(True, True, True)] * 200)
    hidden, left = hide_modalities(x, present, 0.9)
    for name in x:
        assert torch.equal(hidden[name], x[name] * left[name][:, None])


def test_a_cell_of_one_modality_keeps_it_and_missing_ones_stay_missing():
    x, present = batch([(True, False, False)] * 100 + [(True, True, False)] * 100)
    _, left = hide_modalities(x, present, 1.0)
    assert left["a"][:100].all()
    assert not left["c"].any()
    assert (left["a"][100:] ^ left["b"][100:]).all()


def test_the_mini_batch_is_not_changed():
    x, present = batch([(True, True, True)] * 50)
    hide_modalities(x, present, 1.0)
    assert all(values.all() for values in (*x.values(), *present.values()))


def test_nothing_is_hidden_at_rate_0():
    x, present = batch([(True, True, True)] * 50)
    hidden, left = hide_modalities(x, present, 0.0)
    assert all(torch.equal(hidden[name], x[name]) and torch.equal(left[name], present[name]) for name in x)


def test_the_mean_share_of_features_hidden_is_as_stated():
    values = hide_features({"a": torch.ones(500, 400)}, 0.25)["a"]
    assert abs((values == 0).double().mean() - 0.25) < 0.02
    own = (values == 0).double().mean(dim=1)
    assert own.min() < 0.05
    assert own.max() > 0.45


@pytest.mark.parametrize(
    ("asked", "n_features", "teacher", "student"),
    [
        (None, {"rna": 501}, 0.1, 0.25),
        (None, {"rna": 500}, 0.0, 0.0),
        (None, {"protein": 30}, 0.1, 0.25),
        (None, {"rna": 300, "protein": 30}, 0.1, 0.25),
        (0.4, {"rna": 30}, 0.4, 0.4),
        (0.0, {"rna": 5000}, 0.0, 0.0),
    ],
)
def test_of_few_genes_none_are_hidden_unless_asked_for(asked, n_features, teacher, student):
    assert [hide_rate_for(asked, phase, n_features) for phase in ("teacher", "student")] == [teacher, student]


def sparse(values: torch.Tensor) -> SparseRows:
    rows, columns = values.nonzero().T
    return SparseRows(values[rows, columns], columns, rows, tuple(values.shape))


@pytest.mark.parametrize("density", [0.01, 0.5])
def test_each_cell_is_its_share_of_itself_and_the_rest_of_its_partner(density):
    values = torch.rand(40, 300) * (torch.rand(40, 300) < density)
    present = {"a": torch.ones(40, dtype=torch.bool)}
    for given in (values, sparse(values)):
        torch.manual_seed(1)
        x, partner, share = mix_cells({"a": given}, present, 1.0)
        expected = share[:, None] * values + (1 - share[:, None]) * values[partner]
        torch.testing.assert_close(dense(x["a"]), expected)
        assert sorted(partner.tolist()) == list(range(40))
        assert share.min() >= 0.5
        if isinstance(x["a"], SparseRows):
            assert (x["a"].rows.diff() >= 0).all()
    assert isinstance(x["a"], SparseRows) == (density < 0.03)


def test_shares_follow_the_beta_distribution():
    """Of which the larger of the two shares is kept: for alpha 1 uniform between one half and 1."""
    share = mix_cells({"a": torch.ones(N, 1)}, {"a": torch.ones(N, dtype=torch.bool)}, 1.0)[2]
    assert abs(share.mean() - 0.75) < 0.01
    assert abs(share.std() - 0.5 / 12**0.5) < 0.01


def test_partners_were_measured_in_the_same_modalities():
    x, present = batch([(True, False, False)] * 30 + [(True, True, False)] * 30)
    mixed, partner, _ = mix_cells(x, present, 1.0)
    assert ((partner < 30) == (torch.arange(60) < 30)).all()
    for name, values in mixed.items():
        torch.testing.assert_close(values, x[name])  # ones of those measured stay ones, zeros of those missing zeros
