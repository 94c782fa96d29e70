"""Losses against numbers by hand, naive loops and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from plkd.nn import (
    alignment_loss,
    distillation_loss,
    divergence_loss,
    label_probabilities,
    mean_entropy_loss,
    prior_matching_loss,
    released_divergence_loss,
)


def tensor(values):
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def naive_kernel(latent):
    """Gaussian kernel with s^2 = 0.15 x the median squared distance of different cells.

    Use it with a number of cell pairs that is odd: torch and numpy define an even median differently.
    """
    n = len(latent)
    squared = np.array([[np.sum((latent[i] - latent[j]) ** 2) for j in range(n)] for i in range(n)])
    assert (n * (n - 1) // 2) % 2 == 1
    s2 = 0.15 * np.median(squared[np.triu_indices(n, 1)])
    return np.exp(-squared / (2 * s2))


class TestDivergence:
    def test_two_cells_of_two_labels_by_hand(self):
        # One pair of cells, so its distance is the median: S = exp(-1 / 0.3) at any distance; both norms are 1.
        for distance in (0.01, 1.0, 50.0):
            loss = divergence_loss(tensor([[0.0], [distance]]), tensor([[1, 0], [0, 1]]))
            assert float(loss) == pytest.approx(math.exp(-1 / 0.3), rel=1e-6)

    @pytest.mark.parametrize("n_labels", [2, 3, 5])
    @pytest.mark.parametrize("n_obs", [2, 3, 6, 7])
    def test_equals_naive_loops(self, n_obs, n_labels):
        rng = np.random.default_rng(n_obs)
        latent, y = rng.normal(size=(n_obs, 3)), rng.dirichlet(np.ones(n_labels), size=n_obs)
        s = naive_kernel(latent)
        ratios = [
            (y[:, a] @ s @ y[:, b]) / math.sqrt((y[:, a] @ s @ y[:, a]) * (y[:, b] @ s @ y[:, b]))
            for a in range(n_labels)
            for b in range(a + 1, n_labels)
        ]
        assert float(divergence_loss(tensor(latent), tensor(y))) == pytest.approx(np.mean(ratios), rel=1e-9)

    def test_is_small_for_separate_labels_and_1_for_mixed_ones(self):
        latent = tensor([[0.0], [0.1], [10.0], [10.1]])
        separate = divergence_loss(latent, tensor([[1, 0], [1, 0], [0, 1], [0, 1]]))
        mixed = divergence_loss(latent, tensor([[0.5, 0.5]] * 4))
        assert float(separate) < 0.1
        assert float(mixed) == pytest.approx(1)

    def test_does_not_depend_on_the_order_of_labels_and_cells(self):
        rng = np.random.default_rng(0)
        latent, y = rng.normal(size=(6, 3)), rng.dirichlet(np.ones(4), size=6)
        cells, labels = rng.permutation(6), rng.permutation(4)
        first = divergence_loss(tensor(latent), tensor(y))
        assert float(divergence_loss(tensor(latent[cells]), tensor(y[cells][:, labels]))) == pytest.approx(float(first))

    def test_no_gradient_flows_through_the_bandwidth(self):
        # Scaling all latents leaves the value alone, since the bandwidth scales with them; were the bandwidth part of
        # the graph, the gradient along the latents would vanish too.
        rng = np.random.default_rng(0)
        latent, y = tensor(rng.normal(size=(6, 3))).requires_grad_(), tensor(rng.dirichlet(np.ones(3), size=6))
        loss = divergence_loss(latent, y)
        assert float(divergence_loss(3 * latent, y).detach()) == pytest.approx(float(loss.detach()))
        (gradient,) = torch.autograd.grad(loss, latent)
        assert abs(float((gradient * latent.detach()).sum())) > 1e-3


@pytest.mark.parametrize(("n_obs", "n_labels"), [(1, 3), (5, 1), (1, 1)])
def test_divergence_is_0_for_one_cell_or_one_label(n_obs, n_labels):
    latent = torch.randn(n_obs, 4, requires_grad=True)
    logits = torch.randn(n_obs, n_labels, requires_grad=True)
    loss = divergence_loss(latent, logits.softmax(dim=1))
    assert float(loss) == 0
    loss.backward()
    assert not latent.grad.any()


def test_released_divergence_by_hand():
    loss = released_divergence_loss(tensor([[0.0], [1.0]]), tensor([[2, 0], [0, 3]]))
    # S = e^-1; product 6 / e, norms 4 and 9 with 1e-6 each, one pair over two labels.
    assert float(loss) == pytest.approx(6 / math.e / (math.sqrt((4 + 1e-6) * (9 + 1e-6)) + 1e-6) / 2, rel=1e-12)


def test_released_divergence_of_one_label_is_0():
    latent = torch.randn(4, 2, requires_grad=True)
    loss = released_divergence_loss(latent, torch.randn(4, 1))
    assert float(loss) == 0
    loss.backward()
    assert not latent.grad.any()


LATENTS = {
    "identical": torch.zeros(5, 3),
    "one stands out": torch.tensor([[0.0, 0, 0]] * 4 + [[1.0, 0, 0]]),
    "almost identical": torch.full((5, 3), 1.0) + 1e-7 * torch.arange(15).reshape(5, 3),
    "far apart": 1e6 * torch.arange(15.0).reshape(5, 3),
    "one cell": torch.ones(1, 3),
    "two cells": torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]),
}
LOGITS = {
    "all the same label": torch.tensor([1e4, 0.0, 0.0]),
    "no opinion": torch.zeros(3),
    "tiny probabilities": torch.tensor([45.0, 0.0, -45.0]),
}


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("latent", LATENTS.values(), ids=LATENTS)
def test_losses_of_degenerate_cells_have_finite_values_and_gradients(latent, logits):
    logits = logits.repeat(len(latent), 1)
    for loss in (
        lambda z, y: divergence_loss(z, y.softmax(dim=1)),
        released_divergence_loss,
        lambda z, y: alignment_loss(z, label_probabilities(torch.zeros(len(z)).long(), y), torch.arange(len(z)) % 2),
        lambda z, y: alignment_loss(z, y.detach().softmax(dim=1), torch.arange(len(z)) % 2),
        lambda z, y: alignment_loss(z, y.detach().softmax(dim=1), torch.arange(len(z)) % 2, within=True),
        lambda z, y: distillation_loss(y, y.flip(1), temperature=1.0),
        lambda z, y: mean_entropy_loss(y),
        lambda z, y: prior_matching_loss(y, torch.tensor([0.0, 0.5, 0.5])),
    ):
        z, y = latent.clone().requires_grad_(), logits.clone().requires_grad_()
        value = loss(z, y)
        assert torch.isfinite(value)
        (value + 0 * z.sum() + 0 * y.sum()).backward()
        assert torch.isfinite(z.grad).all()
        assert torch.isfinite(y.grad).all()


def naive_alignment(latent, probabilities, batch, within):
    """Per label, mean over pairs of batches of the MMD^2, biased or (within) unbiased; then the mean over labels in two batches or more."""
    part = probabilities.sum(axis=1) > 0
    latent, probabilities, batch = latent[part], probabilities[part], batch[part]
    squared = np.square(latent[:, None] - latent[None]).sum(axis=-1)
    likeliest = probabilities.argmax(axis=1)
    same = sorted(
        squared[i, j] for i in range(len(latent)) for j in range(len(latent)) if i < j and likeliest[i] == likeliest[j]
    )
    s = np.exp(-squared / (2 * same[(len(same) - 1) // 2])) if within else naive_kernel(latent)

    def mean(a, b):
        """Weighted mean of the kernel over pairs of cells, those with themselves left out of the unbiased one."""
        pairs = np.outer(a, b)
        if within and a is b:
            pairs = pairs * ~np.eye(len(a), dtype=bool)
        return (pairs * s).sum() / pairs.sum()

    def counts(group):
        return group.sum() >= 1 and (not within or group.sum() ** 2 / np.square(group).sum() >= 2)

    of_labels = []
    for label in range(probabilities.shape[1]):
        groups = [np.where(batch == own, probabilities[:, label], 0) for own in np.unique(batch)]
        groups = [group for group in groups if counts(group)]
        of_pairs = [mean(a, a) + mean(b, b) - 2 * mean(a, b) for i, a in enumerate(groups) for b in groups[i + 1 :]]
        if of_pairs:
            of_labels.append(np.mean(of_pairs))
    return np.mean(of_labels) if of_labels else 0.0


def one_hot(labels, n_labels):
    """Certainty of a label; nothing where there is none."""
    labels = np.asarray(labels, dtype=int).reshape(-1, 1)
    return (labels == np.arange(n_labels)).astype(float)


def test_label_probabilities_are_certain_of_labels_the_softmax_elsewhere_and_nothing_where_in_doubt():
    logits = tensor([[5.0, 0, 0], [1, 3, 0], [0, 0, 9], [1, 1.2, 0]]).requires_grad_()
    found = label_probabilities(torch.tensor([2, -1, 0, -1]), logits)
    assert not found.requires_grad
    assert softmax([1, 1.2, 0]).max() < 0.5 < softmax([1, 3, 0]).max()
    np.testing.assert_allclose(found, [[0, 0, 1], softmax([1, 3, 0]), [1, 0, 0], [0, 0, 0]])


class TestAlignment:
    @pytest.mark.parametrize("within", [False, True])
    @pytest.mark.parametrize("seed", range(8))
    def test_equals_naive_loops_over_labels_and_pairs_of_batches(self, seed, within):
        rng = np.random.default_rng(seed)
        latent, labels, batch = rng.normal(size=(22, 3)), one_hot(rng.integers(0, 4, 22), 4), rng.integers(0, 3, 22)
        loss = alignment_loss(tensor(latent), tensor(labels), torch.from_numpy(batch), within=within)
        assert float(loss) == pytest.approx(naive_alignment(latent, labels, batch, within), rel=1e-9)

    @pytest.mark.parametrize("within", [False, True])
    @pytest.mark.parametrize("seed", range(8))
    def test_weighs_cells_of_unknown_label_by_their_probabilities(self, seed, within):
        rng = np.random.default_rng(seed)
        latent, batch = rng.normal(size=(22, 3)), rng.integers(0, 3, 22)
        labels = np.vstack([one_hot(rng.integers(0, 6, 10), 6), rng.dirichlet(np.ones(6) / 2, size=12)])
        groups = np.array([labels[batch == own].sum(axis=0) for own in range(3)])
        assert (groups < 1).any()  # some take no part
        loss = alignment_loss(tensor(latent), tensor(labels), torch.from_numpy(batch), within=within)
        assert float(loss) == pytest.approx(naive_alignment(latent, labels, batch, within), rel=1e-9)

    @pytest.mark.parametrize("within", [False, True])
    def test_cells_without_probabilities_take_no_part(self, within):
        rng = np.random.default_rng(0)
        latent, labels, batch = rng.normal(size=(14, 3)), one_hot(rng.integers(0, 3, 14), 3), rng.integers(0, 2, 14)
        together = alignment_loss(
            tensor(np.vstack([latent, rng.normal(size=(5, 3))])),
            tensor(np.vstack([labels, np.zeros((5, 3))])),
            torch.from_numpy(np.append(batch, [0, 1, 0, 1, 0])),
            within=within,
        )
        assert float(together) == pytest.approx(naive_alignment(latent, labels, batch, within), rel=1e-9)

    def test_by_hand_for_one_cell_per_batch(self):
        # Kernel 1 within, exp(-1 / 0.3) between: 2 - 2 exp(-1 / 0.3).
        loss = alignment_loss(tensor([[0.0], [3.0]]), tensor([[0, 1], [0, 1]]), torch.tensor([0, 4]))
        assert float(loss) == pytest.approx(2 - 2 * math.exp(-1 / 0.3), rel=1e-6)

    def test_within_labels_by_hand(self):
        # Squared distances 1 and 1 within the batches, 9, 16, 16 and 25 between; their median, the lower one of six, is 9.
        latent, batch = tensor([[0.0], [1.0], [4.0], [5.0]]), torch.tensor([0, 0, 1, 1])
        between = sum(math.exp(-d / 18) for d in (16, 25, 9, 16)) / 4
        loss = alignment_loss(latent, torch.ones(4, 1), batch, within=True)
        assert float(loss) == pytest.approx(2 * math.exp(-1 / 18) - 2 * between, rel=1e-6)

    def test_within_labels_takes_two_cells_of_a_batch(self):
        latent = torch.randn(3, 2, requires_grad=True)
        loss = alignment_loss(latent, torch.ones(3, 1), torch.tensor([0, 0, 1]), within=True)
        assert float(loss) == 0

    def test_within_labels_is_0_on_average_where_batches_are_alike(self):
        rng = np.random.default_rng(0)
        batch, labels = torch.arange(12) // 6, torch.ones(12, 1)
        found = [
            [float(alignment_loss(tensor(z), labels, batch, within=within)) for within in (True, False)]
            for z in rng.normal(size=(400, 12, 3))
        ]
        unbiased, biased = np.mean(found, axis=0)
        assert abs(unbiased) < 3 * np.std([each[0] for each in found]) / 20
        assert biased > 0.1

    @pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
    def test_within_labels_has_finite_gradients_where_most_cells_coincide(self, size):
        latent = (
            size * torch.tensor([[0.0, 1.0]] * 6 + [[1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [4.0, 0.0]])
        ).requires_grad_()
        alignment_loss(latent, torch.ones(10, 1), torch.arange(10) % 2, within=True).backward()
        assert torch.isfinite(latent.grad).all()
        assert latent.grad.norm() * size < 10

    def test_within_labels_is_0_where_no_two_cells_have_the_same_likeliest_label(self):
        latent = torch.randn(2, 3, requires_grad=True)
        probabilities = torch.tensor([[1.0, 0.9], [1.0, 1.1]])
        loss = alignment_loss(latent, probabilities, torch.tensor([0, 1]), within=True)
        loss.backward()
        assert float(loss) == 0
        assert not latent.grad.any()

    def test_labels_far_apart_do_not_hide_what_sets_their_batches_apart(self):
        rng = np.random.default_rng(0)
        labels, batch = np.arange(80) % 2, np.arange(80) // 40
        cells = rng.normal(size=(80, 2)) + np.outer(batch, [3.0, 0.0])

        def loss(distance):
            z = cells + np.outer(labels, [0.0, distance])
            truth, of_batch = tensor(one_hot(labels, 2)), torch.from_numpy(batch)
            return [float(alignment_loss(tensor(z), truth, of_batch, within=within)) for within in (True, False)]

        assert loss(1000.0)[0] == pytest.approx(loss(30.0)[0], rel=0.01)
        assert loss(1000.0)[0] > 0.2
        assert loss(1000.0)[1] < 0.001  # to a kernel as wide as the labels lie apart there is one batch

    def test_is_0_where_batches_agree_and_grows_with_their_distance(self):
        cloud = np.random.default_rng(0).normal(size=(7, 2))
        labels, batch = torch.ones(14, 1), torch.arange(14) // 7

        def loss(shift):
            return float(alignment_loss(tensor(np.vstack([cloud, cloud + shift])), labels, batch))

        assert loss(0.0) == pytest.approx(0, abs=1e-12)
        assert 0 < loss(0.5) < loss(2.0)

    def test_labels_that_share_no_batch_are_not_pulled_together(self):
        latent = torch.randn(6, 2, requires_grad=True)
        loss = alignment_loss(latent, tensor(one_hot([0, 0, 0, 1, 1, 1], 2)), torch.tensor([0, 0, 0, 1, 1, 1]))
        loss.backward()
        assert float(loss) == 0
        assert not latent.grad.any()

    def test_descent_brings_an_unlabelled_batch_to_the_labels_that_its_cells_seem_to_have(self):
        rng = np.random.default_rng(0)
        centres = np.array([[0.0, 0.0], [6.0, 0.0]])[np.arange(20) % 2]
        shift = np.array([0.0, 3.0])
        truth, batch = np.arange(40) % 2, torch.arange(40) // 20
        latent = tensor(rng.normal(0, 0.3, size=(40, 2)) + np.vstack([centres, centres + shift])).requires_grad_()
        seem = one_hot(truth, 2) * 0.9 + 0.05
        probabilities = tensor(np.vstack([one_hot(truth[:20], 2), seem[20:]]))

        def distance(label):
            z, own = latent.detach().numpy(), truth == label
            return np.linalg.norm(z[:20][own[:20]].mean(axis=0) - z[20:][own[20:]].mean(axis=0))

        optimizer = torch.optim.Adam([latent], 0.05)
        for _ in range(150):
            optimizer.zero_grad()
            alignment_loss(latent, probabilities, batch).backward()
            optimizer.step()
        assert distance(0) < 1.5
        assert distance(1) < 1.5

    @pytest.mark.parametrize(
        ("labels", "batch"),
        [([0, 1, 2], [0, 0, 0]), ([-1, -1, -1], [0, 1, 2]), ([0, -1, -1], [0, 1, 2]), ([0], [0]), ([], [])],
        ids=["one batch", "no labels", "one labelled cell", "one cell", "no cell"],
    )
    def test_is_0_where_nothing_can_be_aligned(self, labels, batch):
        latent = torch.randn(len(labels), 2, requires_grad=True)
        loss = alignment_loss(latent, tensor(one_hot(labels, 3)), torch.tensor(batch, dtype=torch.long))
        assert float(loss) == 0
        loss.backward()
        assert not latent.grad.any()


class TestDistillation:
    student = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 0.0, 0.0, 1.0], [5.0, 1.0, 1.0, 1.0]])
    teacher = np.array([[2.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 3.0, 1.0], [5.0, 1.0, 1.0, 1.0]])

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
    def test_is_summed_over_labels_and_averaged_over_cells(self, temperature):
        p, q = softmax(self.teacher / temperature, axis=1), softmax(self.student / temperature, axis=1)
        truth = temperature**2 * entropy(p, q, axis=1).mean()
        loss = distillation_loss(tensor(self.student), tensor(self.teacher), temperature=temperature)
        assert float(loss) == pytest.approx(truth, rel=1e-9)

    def test_copies_of_a_label_do_not_shrink_it(self):
        # Averaging over labels would.
        wide = np.hstack([self.student, np.full((3, 50), -60.0)]), np.hstack([self.teacher, np.full((3, 50), -60.0)])
        narrow = distillation_loss(tensor(self.student), tensor(self.teacher), temperature=1.0)
        assert float(distillation_loss(*map(tensor, wide), temperature=1.0)) == pytest.approx(float(narrow), rel=1e-6)

    def test_is_0_where_student_and_teacher_agree_up_to_a_constant(self):
        loss = distillation_loss(tensor(self.teacher + 7), tensor(self.teacher), temperature=3.0)
        assert float(loss) == pytest.approx(0, abs=1e-12)

    def test_high_temperature_approaches_the_squared_distance_of_centred_logits(self):
        # Hinton et al. 2015, equation 4: T^2 KL -> mean over cells of |centred difference|^2 / (2 n_labels).
        difference = self.teacher - self.student
        centred = difference - difference.mean(axis=1, keepdims=True)
        loss = distillation_loss(tensor(self.student), tensor(self.teacher), temperature=1e4)
        assert float(loss) == pytest.approx((centred**2).sum(axis=1).mean() / 8, rel=1e-3)

    def test_the_teacher_gets_no_gradient(self):
        student, teacher = tensor(self.student).requires_grad_(), tensor(self.teacher).requires_grad_()
        distillation_loss(student, teacher, temperature=2.0).backward()
        assert teacher.grad is None
        assert student.grad.abs().sum() > 0

    def test_its_gradient_is_temperature_times_the_difference_of_probabilities(self):
        student = tensor(self.student).requires_grad_()
        distillation_loss(student, tensor(self.teacher), temperature=3.0).backward()
        truth = 3.0 * (softmax(self.student / 3, axis=1) - softmax(self.teacher / 3, axis=1)) / 3
        np.testing.assert_allclose(student.grad.numpy(), truth, atol=1e-12)


def test_mean_entropy_by_hand():
    # Mean logits 0 and 0: log(2) over two labels; one label wins by far: 0.
    assert float(mean_entropy_loss(tensor([[1, -1], [-1, 1]]))) == pytest.approx(math.log(2) / 2, rel=1e-5)
    assert float(mean_entropy_loss(tensor([[100, 0], [100, 0]]))) == pytest.approx(0, abs=1e-5)


def test_mean_entropy_is_of_the_mean_logits_not_the_mean_probabilities():
    logits = np.array([[9.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    p = softmax(logits.mean(axis=0))
    assert float(mean_entropy_loss(tensor(logits))) == pytest.approx(-(p * np.log(p + 1e-6)).sum() / 3, rel=1e-9)


class TestPriorMatching:
    @given(seed=st.integers(0, 1000), n_labels=st.integers(1, 6), n_obs=st.integers(1, 6))
    @settings(max_examples=40, deadline=None)
    def test_is_the_divergence_of_the_mean_prediction_from_the_prior(self, seed, n_labels, n_obs):
        rng = np.random.default_rng(seed)
        logits, prior = rng.normal(0, 3, size=(n_obs, n_labels)), rng.dirichlet(np.ones(n_labels) * 5)
        truth = entropy(np.exp(log_softmax(logits, axis=1)).mean(axis=0), prior)
        assert float(prior_matching_loss(tensor(logits), tensor(prior))) == pytest.approx(truth, rel=1e-6, abs=1e-9)

    def test_rewards_the_prior_and_not_collapse(self):
        prior = tensor([0.7, 0.3])
        as_prior, collapsed = tensor(np.log([[0.7, 0.3]] * 3)), tensor([[9, 0]] * 3)
        assert float(prior_matching_loss(as_prior, prior)) == pytest.approx(0, abs=1e-9)
        assert float(prior_matching_loss(collapsed, prior)) > 0.3
        assert float(mean_entropy_loss(collapsed)) < float(mean_entropy_loss(as_prior))
