"""Losses of the Teacher and the Student, as plain functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RELEASED_EPS = 1e-6


def _kernel(latent: Tensor) -> Tensor:
    """Gaussian kernel between cells; bandwidth 0.15 x the median squared distance, no gradient through it."""
    squared = (latent[:, None, :] - latent[None, :, :]).square().sum(dim=-1)
    n_obs = latent.shape[0]
    off_diagonal = squared.detach()[~torch.eye(n_obs, dtype=torch.bool, device=latent.device)]
    bandwidth = (0.15 * off_diagonal.median()).clamp_min(torch.finfo(latent.dtype).tiny)
    return torch.exp(-squared / (2 * bandwidth))


def divergence_loss(latent: Tensor, probabilities: Tensor) -> Tensor:
    r"""Cauchy-Schwarz divergence between labels in the latent space, as a similarity to be made small.

    Parameters
    ----------
    latent
        Shape ``(n_obs, n_latent)``.
    probabilities
        Predicted label probabilities, shape ``(n_obs, n_labels)``, rows sum to 1.

    Returns
    -------
    Zero-dimensional, in [0, 1]; 0 where there is one label or fewer than two cells.

    Notes
    -----
    Mean over the label pairs a < b of :math:`y_a^\top S y_b / \sqrt{y_a^\top S y_a \; y_b^\top S y_b}` with
    :math:`S_{ij} = \exp(-\lVert z_i - z_j \rVert^2 / 2 s^2)` and :math:`s^2` 0.15 times the median squared distance
    between different cells (Kampffmeyer et al. 2019, equation 5, and its median rule).
    """
    n_obs, n_labels = probabilities.shape
    if n_obs < 2 or n_labels < 2:
        return latent.sum() * 0
    inner = probabilities.t() @ _kernel(latent) @ probabilities
    norm = inner.diagonal().clamp_min(torch.finfo(inner.dtype).tiny).sqrt()
    cosine = inner / norm[:, None] / norm[None, :]
    pairs = torch.triu_indices(n_labels, n_labels, offset=1, device=latent.device)
    return cosine[pairs[0], pairs[1]].mean()


def released_divergence_loss(latent: Tensor, logits: Tensor) -> Tensor:
    """Return the divergence term as the authors released it.

    Differs from :func:`divergence_loss`: raw logits instead of probabilities, no bandwidth, 1e-6 added to both norms
    and to the denominator, and the sum over pairs divided by the number of labels, not of pairs.

    Parameters
    ----------
    latent
        Shape ``(n_obs, n_latent)``.
    logits
        Shape ``(n_obs, n_labels)``.
    """
    n_labels = logits.shape[1]
    squared = (latent[:, None, :] - latent[None, :, :]).square().sum(dim=-1)
    inner = logits.t() @ torch.exp(-squared) @ logits
    norm = inner.diagonal() + RELEASED_EPS
    ratio = inner / ((norm[:, None] * norm[None, :]).sqrt() + RELEASED_EPS)
    pairs = torch.triu_indices(n_labels, n_labels, offset=1, device=latent.device)
    return ratio[pairs[0], pairs[1]].sum() / n_labels


def alignment_loss(latent: Tensor, labels: Tensor, batch: Tensor) -> Tensor:
    r"""Class-conditional maximum mean discrepancy between batches in the latent space.

    Parameters
    ----------
    latent
        Shape ``(n_obs, n_latent)``.
    labels
        Label codes, shape ``(n_obs,)``; negative where unlabelled, which takes no part.
    batch
        Batch codes, shape ``(n_obs,)``.

    Returns
    -------
    Zero-dimensional, non-negative: per label the mean over pairs of batches of the squared discrepancy, then the mean
    over the labels seen in two batches or more; 0 where there is none.

    Notes
    -----
    Biased estimate (V-statistic) of Gretton et al. 2012, equation 5, with the kernel of :func:`divergence_loss`.
    """
    labelled = labels >= 0
    if int(labelled.sum()) < 2:
        return latent.sum() * 0
    latent, labels, batch = latent[labelled], labels[labelled], batch[labelled]
    groups, member = torch.unique(torch.stack([labels, batch]), dim=1, return_inverse=True)
    weights = F.one_hot(member, groups.shape[1]).to(latent.dtype)
    weights = weights / weights.sum(dim=0)
    mean_kernel = weights.t() @ _kernel(latent) @ weights
    own = mean_kernel.diagonal()
    discrepancy = own[:, None] + own[None, :] - 2 * mean_kernel
    same_label = (groups[0][:, None] == groups[0][None, :]).triu(diagonal=1)
    if not bool(same_label.any()):
        return latent.sum() * 0
    first = same_label.nonzero()[:, 0]
    per_label = torch.zeros(int(labels.max()) + 1, device=latent.device, dtype=latent.dtype)
    label_of_pair = groups[0][first]
    total = per_label.index_add(0, label_of_pair, discrepancy[same_label])
    n_pairs = torch.bincount(label_of_pair, minlength=len(per_label))
    return (total[n_pairs > 0] / n_pairs[n_pairs > 0]).mean()


def distillation_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    r"""Penalise the Student for disagreeing with the Teacher's softened probabilities.

    Parameters
    ----------
    student_logits
        Shape ``(n_obs, n_labels)``.
    teacher_logits
        Shape ``(n_obs, n_labels)``, same label order; no gradient flows into it.
    temperature
        Dimensionless, ``> 0``.

    Returns
    -------
    Zero-dimensional, nats per cell: :math:`T^2\,\mathrm{KL}(p^T_{teacher} \,\|\, p^T_{student})`, summed over labels,
    mean over cells (Hinton et al. 2015, section 2).
    """
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)
    return F.kl_div(student, teacher, log_target=True, reduction="batchmean") * temperature**2


def mean_entropy_loss(logits: Tensor) -> Tensor:
    """Return the released self-entropy term: entropy of softmax(mean logits), divided by the number of labels.

    It is *added* to the loss, which rewards collapse onto one label; :func:`prior_matching_loss` is our form.

    Parameters
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    """
    mean = logits.mean(dim=0).softmax(dim=0)
    return -(mean * torch.log(mean + RELEASED_EPS)).sum() / logits.shape[1]


def prior_matching_loss(logits: Tensor, prior: Tensor) -> Tensor:
    """Return KL(mean prediction || prior), in nats: keeps the predictions' label shares near those drawn.

    Parameters
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    prior
        Label shares as the training sampler draws them, shape ``(n_labels,)``, summing to 1.
    """
    mean = logits.softmax(dim=-1).mean(dim=0)
    tiny = torch.finfo(mean.dtype).tiny
    return (mean * (mean.clamp_min(tiny).log() - prior.clamp_min(tiny).log())).sum()
