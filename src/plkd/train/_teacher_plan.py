"""First phase: the Teacher learns the labels and a latent space that batches share."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from plkd.module import PLKDModule
from plkd.nn import alignment_loss, divergence_loss, label_probabilities, released_divergence_loss
from plkd.train._augment import hide_modalities
from plkd.train._plan import PhasePlan


class TeacherPlan(PhasePlan):
    """Cross-entropy + ``divergence_weight`` * divergence + ``alignment_weight`` * alignment.

    The last two set in over the first steps: before the Teacher tells labels apart, all cells in one place is what they are least for.

    Parameters
    ----------
    module
        Its Teacher learns.
    divergence
        ``"probabilities"`` is :func:`~plkd.nn.divergence_loss`, ``"released"`` the authors' form.
    divergence_weight, alignment_weight
        Weights of the terms; 0 leaves one out.
    modality_dropout
        Share of the training cells with several modalities of which some are hidden.
    label_smoothing
        Share of the target spread evenly over the labels, in [0, 1).
    **kwargs
        Optimiser, schedule and what is hidden, as in :class:`~plkd.train._plan.PhasePlan`.
    """

    phase = "teacher"

    def __init__(
        self,
        module: PLKDModule,
        *,
        divergence: Literal["probabilities", "released"],
        divergence_weight: float,
        alignment_weight: float,
        modality_dropout: float,
        label_smoothing: float,
        **kwargs: Any,
    ):
        super().__init__(module, module.teacher, **kwargs)
        self.divergence = divergence
        self.divergence_weight, self.alignment_weight = divergence_weight, alignment_weight
        self.modality_dropout, self.label_smoothing = modality_dropout, label_smoothing

    def outputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Run the Teacher on cells with hidden features and modalities."""
        out = self.module.teacher(*hide_modalities(self.view(batch), batch["present"], self.modality_dropout))
        return out.logits, out.latent.float()

    def training_loss(self, batch: dict[str, Any], logits: Tensor, latent: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return the loss and its parts."""
        labels, set_in = batch["labels"], self.set_in()
        # Of several processes one may have no labelled cell, and a mean of none is no number.
        total = F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=self.label_smoothing, reduction="sum")
        parts = {"ce_loss": total / (labels >= 0).sum().clamp_min(1)}
        loss = parts["ce_loss"]
        if self.divergence_weight:
            released = self.divergence == "released"
            parts["divergence_loss"] = (
                released_divergence_loss(latent, logits)
                if released
                else divergence_loss(latent, logits.softmax(dim=-1))
            )
            loss = loss + set_in * self.divergence_weight * parts["divergence_loss"]
        if self.alignment_weight:
            parts["alignment_loss"] = alignment_loss(latent, label_probabilities(labels, logits), batch["batch"])
            loss = loss + set_in * self.alignment_weight * parts["alignment_loss"]
        return {"loss": loss, **parts}

    def validation_logits(self, batch: dict[str, Any]) -> Tensor:
        """Return the Teacher's logits."""
        return self.module.teacher(self.module.scale(batch), batch["present"]).logits
