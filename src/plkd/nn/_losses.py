"""Losses of the Teacher and the Student, as plain functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RELEASED_EPS = 1e-6
#: Probability of its likeliest label from which on an unlabelled cell is aligned. Before a network knows anything every label
#: has the same chance: each would be drawn to all unlabelled cells alike, and the labels to each other.
CONFIDENT = 0.5


def _squared_distances(latent: Tensor) -> Tensor:
    # By products of cells, since all differences at once would hold cells x cells x n_latent values. Centred, so that
    # little is lost where the cells lie close together.
    centred = latent - latent.detach().mean(dim=0)
    products = centred @ centred.t()
    lengths = products.diagonal()
    return (lengths[:, None] + lengths[None, :] - 2 * products).clamp_min(0)


def _kernel(squared: Tensor, bandwidth: Tensor) -> Tensor:
    """Gaussian kernel of a squared bandwidth, which has no gradient."""
    return torch.exp(-squared / (2 * bandwidth.clamp_min(torch.finfo(squared.dtype).tiny)))


def _different(squared: Tensor) -> Tensor:
    """Return which pairs are of different cells, shape ``(n_obs, n_obs)``."""
    return ~torch.eye(len(squared), dtype=torch.bool, device=squared.device)


def _same_label(probabilities: Tensor) -> Tensor:
    """Return which pairs are of different cells with the same likeliest label, each once, shape ``(n_obs, n_obs)``."""
    likeliest = probabilities.argmax(dim=1)
    return (likeliest[:, None] == likeliest[None, :]).triu(diagonal=1)


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
    squared = _squared_distances(latent)
    kernel = _kernel(squared, 0.15 * squared.detach()[_different(squared)].median())
    inner = probabilities.t() @ kernel @ probabilities
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


def label_probabilities(labels: Tensor, logits: Tensor) -> Tensor:
    """Return what is known of each cell's label.

    Parameters
    ----------
    labels
        Label codes, shape ``(n_obs,)``; negative where unlabelled.
    logits
        Shape ``(n_obs, n_labels)``; no gradient flows into them.

    Returns
    -------
    Shape ``(n_obs, n_labels)``: 1 and 0 for a labelled cell; the softmax of its logits for an unlabelled cell whose likeliest
    label has half of the probability or more; 0 for others.
    """
    known = F.one_hot(labels.clamp_min(0), logits.shape[1]).to(logits.dtype)
    guessed = logits.detach().softmax(dim=-1)
    guessed = guessed * (guessed >= CONFIDENT).any(dim=1, keepdim=True)
    return torch.where(labels[:, None] >= 0, known, guessed)


def alignment_loss(latent: Tensor, probabilities: Tensor, batch: Tensor, *, within: bool = False) -> Tensor:
    r"""Class-conditional maximum mean discrepancy between batches in the latent space.

    Parameters
    ----------
    latent
        Shape ``(n_obs, n_latent)``.
    probabilities
        Chances of each cell's label, shape ``(n_obs, n_labels)``: 0 and 1 for a labelled cell
        (:func:`label_probabilities`), all 0 for a cell that takes no part.
    batch
        Batch codes, shape ``(n_obs,)``.
    within
        False: the biased estimate, with a kernel as wide as cells lie apart. True: the unbiased one, with a kernel as wide as
        cells of one label lie apart. To the wider kernel labels that lie far apart have no batches left, and the biased
        estimate draws cells of one batch together even where batches are alike: both make labels compact.

    Returns
    -------
    Zero-dimensional: per label the mean over pairs of batches of the squared discrepancy, then the mean over the labels seen
    in two batches or more; 0 where there is none. The biased estimate is never negative, the unbiased one is 0 on average where
    batches are alike. A label is seen in a batch where its probabilities sum to one cell or more, and for the unbiased estimate
    weigh as two cells or more (Kish's effective number).

    Notes
    -----
    Gretton et al. 2012, equation 5 (V-statistic) and 3 (U-statistic), each cell weighted by its probability of the label. The
    kernel is that of :func:`divergence_loss`; ``within`` labels its :math:`s^2` is the median squared distance
    between different cells of the same likeliest label.
    """
    part = probabilities.sum(dim=1) > 0
    if int(part.sum()) < 2:
        return latent.sum() * 0
    latent, probabilities = latent[part], probabilities[part].to(latent.dtype)
    member = torch.unique(batch[part], return_inverse=True)[1]
    of_batch = F.one_hot(member).to(latent.dtype)
    mass = probabilities.t() @ of_batch
    seen = mass >= 1
    if within:
        seen &= mass.square() >= 2 * (probabilities.square().t() @ of_batch)
    # Pairs of a label and a batch; they are no more than there are cells, since each holds one or more.
    label_of, batch_of = seen.nonzero().t()
    same_label = (label_of[:, None] == label_of[None, :]).triu(diagonal=1)
    if not bool(same_label.any()):
        return latent.sum() * 0
    weights = probabilities[:, label_of] * (member[:, None] == batch_of[None, :]) / mass[label_of, batch_of]
    squared = _squared_distances(latent)
    pairs = _same_label(probabilities) if within else _different(squared)
    if not bool(pairs.any()):
        return latent.sum() * 0
    distance = squared.detach()[pairs].median()
    # Distances that are that much smaller than others are rounding errors.
    bandwidth = distance.clamp_min(1e-6 * squared.detach().max()) if within else 0.15 * distance
    mean_kernel = weights.t() @ (_kernel(squared, bandwidth) @ weights)
    own = mean_kernel.diagonal()
    if within:
        # Without each cell's kernel with itself, which is 1.
        itself = weights.square().sum(dim=0)
        own = (own - itself) / (1 - itself)
    discrepancy = own[:, None] + own[None, :] - 2 * mean_kernel
    of_pair = label_of[same_label.nonzero()[:, 0]]
    total = mean_kernel.new_zeros(probabilities.shape[1]).index_add(0, of_pair, discrepancy[same_label])
    n_pairs = torch.bincount(of_pair, minlength=probabilities.shape[1])
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
