"""Second phase: the Student learns from the labels and from the Teacher."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plkd.module import PLKDModule
from plkd.nn import (
    alignment_loss,
    distillation_loss,
    label_probabilities,
    mean_entropy_loss,
    prior_matching_loss,
)
from plkd.train._plan import PhasePlan


class DistillationPlan(PhasePlan):
    """``kd_weight`` * T^2 KL + (1 - ``kd_weight``) * cross-entropy, + self-entropy and alignment terms by their weights.

    Each modality of a cell learns as if it were the only one, from the cell's label and from what the Teacher sees in all
    modalities. What one says is then right without the others, and joined by adding up. Losses are means over all pairs of
    a cell and a modality that it was measured in; that of the cross-entropy over labelled cells.

    Parameters
    ----------
    module
        Its Student learns; the Teacher is not touched.
    teacher_logits
        The Teacher's logits for the clean cells, shape ``(n_obs, n_labels)``, computed once; None where ``kd_weight`` is 0.
    prior
        Label shares as the training loader draws them, shape ``(n_labels,)``.
    kd_weight
        In [0, 1]; 0 trains the Student on the labels alone.
    temperature
        Of the distillation, ``> 0``.
    entropy
        ``"prior"`` is :func:`~plkd.nn.prior_matching_loss`, ``"released"`` the authors' :func:`~plkd.nn.mean_entropy_loss`.
    entropy_weight
        Weight of that term; 0 leaves it out. It sees labelled cells alone.
    alignment_weight
        Weight of :func:`~plkd.nn.alignment_loss` of the latents; 0 leaves it out. A cell seen in two modalities counts as
        two, of different batches.
    label_smoothing
        As for the Teacher.
    **kwargs
        Optimiser, schedule and what is hidden, as in :class:`~plkd.train._plan.PhasePlan`.
    """

    phase = "student"
    teacher_logits: Tensor
    prior: Tensor

    def __init__(
        self,
        module: PLKDModule,
        teacher_logits: Tensor | None,
        prior: Tensor,
        *,
        kd_weight: float,
        temperature: float,
        entropy: Literal["prior", "released"],
        entropy_weight: float,
        alignment_weight: float,
        label_smoothing: float,
        **kwargs: Any,
    ):
        super().__init__(module, module.student, **kwargs)
        self.register_buffer("teacher_logits", teacher_logits, persistent=False)
        self.register_buffer("prior", prior, persistent=False)
        self.kd_weight, self.temperature = kd_weight, temperature
        self.entropy, self.entropy_weight = entropy, entropy_weight
        self.alignment_weight, self.label_smoothing = alignment_weight, label_smoothing

    def outputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Run the Student on each modality of cells with hidden features, as if it were the only one.

        Returns
        -------
        Logits, shape ``(n_views, n_labels)``; the modality and the cell number within the mini-batch of each, shape
        ``(2, n_views)``; latents, shape ``(n_views, n_latent)``.
        """
        student, x = self.module.student, self.view(batch)
        towers = cast("list[nn.Sequential]", list(student.towers))
        # Aligned before the last dropout, whose noise would keep all cells apart.
        before = torch.stack([tower[:-1](x[name]) for name, tower in zip(student.modalities, towers, strict=True)])
        views = torch.stack([batch["present"][name] for name in student.modalities]).nonzero().T
        latent = before[views[0], views[1]]
        return student.head(towers[0][-1](latent)), views, latent.float()

    def training_loss(  # type: ignore[override]
        self, batch: dict[str, Any], logits: Tensor, views: Tensor, latent: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss and its parts."""
        modality, cell = views
        labels = batch["labels"][cell]
        taught = self.teacher_logits[batch["index"][cell]] if self.kd_weight > 0 else None
        parts: dict[str, Tensor] = {}
        loss = torch.zeros((), device=logits.device)
        if self.kd_weight < 1 and bool((labels >= 0).any()):
            parts["ce_loss"] = F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=self.label_smoothing)
            loss = loss + (1 - self.kd_weight) * parts["ce_loss"]
        if taught is not None:
            parts["kd_loss"] = distillation_loss(logits, taught, temperature=self.temperature)
            loss = loss + self.kd_weight * parts["kd_loss"]
        if self.entropy_weight:
            known = logits[labels >= 0]
            parts["entropy_loss"] = (
                mean_entropy_loss(known) if self.entropy == "released" else prior_matching_loss(known, self.prior)
            )
            loss = loss + self.entropy_weight * parts["entropy_loss"]
        if self.alignment_weight:
            probabilities = label_probabilities(labels, logits if taught is None else taught)
            group = batch["batch"][cell] * len(self.module.modalities) + modality
            parts["alignment_loss"] = alignment_loss(latent, probabilities, group)
            loss = loss + self.alignment_weight * parts["alignment_loss"]
        return {"loss": loss, **parts}

    def validation_logits(self, batch: dict[str, Any]) -> Tensor:
        """Return the Student's logits."""
        return self.module.student(self.module.scale(batch), batch["present"])[0]
