"""How much a modality counts beside others."""

from __future__ import annotations

import numpy as np
import torch

from plkd.nn import Student, Teacher, modality_shares

PRESENT = {
    "rna": torch.tensor([True, True, False, True]),
    "protein": torch.tensor([True, False, True, False]),
    "atac": torch.tensor([True, True, False, False]),
}
NAMES = tuple(PRESENT)


def test_shares_are_relative_to_the_largest_gain_that_a_cell_has():
    found = modality_shares(PRESENT, NAMES, torch.tensor([0.5, 1.0, 0.1]))
    expected = [[0.5, 1, 0.1], [1, 0, 0.2], [0, 1, 0], [1, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_a_gain_of_0_leaves_a_modality_out_only_beside_others():
    found = modality_shares(PRESENT, NAMES, torch.tensor([1.0, 0.0, 0.0]))
    assert found.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]


def networks():
    n_features = {"rna": 6, "atac": 5}
    members = {"rna": [np.array([0, 1]), np.array([2, 3, 4])], "atac": [np.array([0, 1, 2])]}
    student = Student(n_features, 3, n_hidden=(8, 4)).eval()
    teacher = Teacher(members, n_features, 3, width=8, n_heads=2, depth=2, n_free=1).eval()
    return (lambda x, p: student(x, p)[0], student), (lambda x, p: teacher(x, p).logits, teacher)


def test_gain_0_equals_the_modality_missing_and_gain_1_changes_nothing(randomise):
    x = {"rna": torch.rand(4, 6), "atac": torch.rand(4, 5)}
    both = dict.fromkeys(x, torch.ones(4, dtype=torch.bool))
    alone = {"rna": both["rna"], "atac": torch.zeros(4, dtype=torch.bool)}
    for logits, network in networks():
        randomise(network, 0)
        network.gain.fill_(1)
        full, without = logits(x, both), logits(x, alone)
        assert not torch.allclose(full, without)
        network.gain.copy_(torch.tensor([1.0, 0.0]))
        torch.testing.assert_close(logits(x, both), without)
        network.gain.copy_(torch.tensor([1.0, 0.3]))
        between = logits(x, both)
        assert not torch.allclose(between, full)
        torch.testing.assert_close(logits(x, alone), without)


def test_a_token_of_share_s_is_attended_to_as_s_tokens_are(randomise):
    _, (_, teacher) = networks()
    randomise(teacher, 0)
    teacher.gain.copy_(torch.tensor([1.0, 0.25]))
    x = {"rna": torch.rand(4, 6), "atac": torch.rand(4, 5)}
    both = dict.fromkeys(x, torch.ones(4, dtype=torch.bool))
    weighted = teacher(x, both, attention=True).attention[0]
    teacher.gain.fill_(1)
    plain = teacher(x, both, attention=True).attention[0]
    # Two heads are averaged, so compare through one head's softmax: here by the odds within a modality.
    assert (weighted[:, :, 4:].sum(-1) < plain[:, :, 4:].sum(-1)).all()
    torch.testing.assert_close(weighted.sum(-1), torch.ones_like(weighted.sum(-1)))
