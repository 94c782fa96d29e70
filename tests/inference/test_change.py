"""Networks that read changed values, against the same networks and values changed with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from plkd.data import Cells, Modality, Rows
from plkd.inference import Change, changed_scaling, changed_teacher, find_changes, run_teacher
from plkd.nn import RNAScaling, dense, scale_batch


@pytest.fixture
def changes(joint):
    rng = np.random.default_rng(0)
    sizes = {kind: len(layer.weight) for kind, layer in joint.module.scaling.items()}
    return {kind: Change(rng.uniform(0.5, 2, n), rng.normal(0, 0.3, n)) for kind, n in sizes.items()}


def test_a_changed_teacher_says_what_the_old_one_says_of_changed_values(joint, changes):
    scaling, teacher = joint._scaling(), joint.module.teacher
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    cells = joint._reference_cells()
    batch = cells[np.arange(40)]
    x = {
        kind: dense(values) * torch.as_tensor(changes[kind].factor).float()
        + torch.as_tensor(changes[kind].shift).float() * scaling[kind].weight
        for kind, values in scale_batch(scaling, batch).items()
    }
    with torch.no_grad():
        expected = teacher(x, batch["present"]).logits.numpy()
    other = changed_scaling(scaling, changes), changed_teacher(scaling, teacher, changes)
    np.testing.assert_allclose(run_teacher(*other, cells, np.arange(40)).logits, expected, rtol=1e-3, atol=1e-3)
    plain = run_teacher(scaling, teacher, cells, np.arange(40)).logits
    assert np.abs(plain - expected).max() > 0.05
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_calls_are_asked_for_of_what_was_found_so_far():
    """Two labels with a marker each; a data set that catches the first half as well finds it so, whoever calls."""
    rng = np.random.default_rng(0)
    label = np.arange(400) % 2
    mean = np.where(label[:, None] == np.arange(60) // 30, 30.0, 3.0)
    half = np.where(np.arange(60) % 3 == 0, 0.25, 1.0)
    cells = [
        Cells({"rna": Modality(Rows(sparse.csr_matrix(rng.poisson(rate).astype(np.float32))))}, 400)
        for rate in (mean, mean * half)
    ]
    scaling = {"rna": RNAScaling(np.full(60, 1 / 60))}
    values = [scale_batch(scaling, own[np.arange(400)])["rna"] for own in cells]
    values = [dense(own) for own in values]
    profiles = {"rna": np.stack([values[0].numpy()[label == i].mean(axis=0) for i in (0, 1)])}
    asked = []

    def chances_of(changes):
        asked.append(None if changes is None else changes["rna"].factor.copy())
        return np.eye(2)[label]

    found = find_changes(scaling, cells[1], np.arange(400), profiles, chances_of, n_rounds=3)["rna"]
    assert [own is None for own in asked] == [True, False, False]
    np.testing.assert_allclose(asked[2], found.factor)  # the same calls say the same again
    ratio = found.factor**-2
    assert ratio[half < 1].max() < ratio[half == 1].min()
    sums = [own.numpy().sum(axis=0) for own in values]
    # Of two labels and a 0 the median is at most what one of the two says.
    assert 0.5 < np.median(np.log(ratio) / np.log(sums[1] / sums[0])) < 1.1
    changed = found.factor * sums[1] + found.shift * 400
    assert np.abs(np.log(changed / sums[0])).mean() < 0.5 * np.abs(np.log(sums[1] / sums[0])).mean()
