"""Second phase: the Student learns from the labels and from the Teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from plkd.module import PLKDModule
from plkd.nn import (
    Values,
    alignment_loss,
    distillation_loss,
    label_probabilities,
    mean_entropy_loss,
    prior_matching_loss,
)
from plkd.train._augment import hide_features, mix_cells
from plkd.train._plan import PhasePlan
from plkd.train._seeded import seed_of, seeded

#: Half precision ends at 65,504.
_MOST = 6e4
#: Bytes of mixtures that are kept for when they come again.
_KEPT = 2**27


#: What is read by modality, each cell's partner, its own share.
Read = tuple[dict[str, Values], Tensor, Tensor]


def _repeats(device: torch.device) -> bool:
    """Whether the same mixtures come again on a device; others draw by generators that are not seeded here."""
    return device.type in ("cpu", "cuda")


class DistillationPlan(PhasePlan):
    """``kd_weight`` * T^2 KL + (1 - ``kd_weight``) * cross-entropy, + self-entropy and alignment terms by their weights.

    With ``mixup`` the Student learns what the Teacher says between the cells too: each cell of a mini-batch is mixed with another
    one, features are hidden, and the Teacher reads what the Student does (function matching, Beyer et al. 2022). On the training
    cells themselves a Teacher says hardly more than the labels do. How a mini-batch is mixed follows from its cells and ``seed``:
    where it comes again (:class:`~plkd.train._sampler.RepeatedSampler`), the Teacher has answered already.

    Each modality of a cell learns as if it were the only one, from the cell's label and from what the Teacher sees in all
    modalities. What one says is then right without the others, and joined by adding up. Losses are means over all pairs of
    a cell and a modality that it was measured in; that of the cross-entropy over labelled cells.

    Parameters
    ----------
    module
        Its Student learns; the Teacher is not touched.
    teacher_logits
        The Teacher's logits for the clean cells, shape ``(n_obs, n_labels)``, computed once: they teach where cells are not mixed,
        and stand for the labels of unlabelled cells in the alignment, where the Student's own would confirm themselves. None where
        no Teacher teaches, and where cells are mixed and all have labels.
    prior
        Label shares as the training loader draws them, shape ``(n_labels,)``.
    kd_weight
        In [0, 1]; 0 trains the Student on the labels alone.
    temperature
        Of the distillation, ``> 0``.
    mixup
        Alpha of :func:`~plkd.train._augment.mix_cells`; 0 leaves the cells as they are.
    entropy
        ``"prior"`` is :func:`~plkd.nn.prior_matching_loss`, ``"released"`` the authors' :func:`~plkd.nn.mean_entropy_loss`.
    entropy_weight
        Weight of that term; 0 leaves it out. It sees labelled cells alone.
    alignment_weight
        Weight of :func:`~plkd.nn.alignment_loss` between batches in the Student's last linear layer, mean over the modalities; 0
        leaves it out.
    modality_alignment_weight
        Weight of the same between modalities, of all batches together; 0 leaves it out.
    label_smoothing
        As for the Teacher.
    seed
        What mixtures follow from, ``>= 0``.
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
        mixup: float = 0.0,
        entropy: Literal["prior", "released"],
        entropy_weight: float,
        alignment_weight: float,
        modality_alignment_weight: float,
        label_smoothing: float,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(module, module.student, **kwargs)
        self.register_buffer("teacher_logits", teacher_logits, persistent=False)
        self.register_buffer("prior", prior, persistent=False)
        self.kd_weight, self.temperature = kd_weight, temperature
        self.mixup = mixup
        self.entropy, self.entropy_weight = entropy, entropy_weight
        self.alignment_weight, self.modality_alignment_weight = alignment_weight, modality_alignment_weight
        self.label_smoothing = label_smoothing
        self.seed = seed
        # What the Teacher said of each mini-batch of mixtures, by the seed of these; in half precision, since there is a row
        # for each mixture.
        self.answers: dict[int, Tensor] = {}
        # What was read of it, each cell's partner and its own share, as far as there is room.
        self.mixtures: dict[int, Read] = {}
        self._room = _KEPT

    def forget(self) -> None:
        """Drop what was kept of mixtures for when they come again."""
        self.answers.clear()
        self.mixtures.clear()
        self._room = _KEPT

    def outputs(self, batch: dict[str, Any]) -> tuple[Tensor, ...]:
        """Run the Student on each modality of cells with hidden features, as if it were the only one.

        Returns
        -------
        Logits, shape ``(n_views, n_labels)``; the modality and the cell number within the mini-batch of each, shape
        ``(2, n_views)``; what is aligned, and logits of it; what the Teacher says of the cells, logits of shape
        ``(n_obs, n_labels)``, empty where it does not teach; each cell's partner and its own share, both of shape ``(n_obs,)``.
        """
        student, present = self.module.student, batch["present"]
        # Dropout keeps changing: only what the Teacher reads comes again.
        drawn = seed_of(self.seed, batch["index"]) if self.mixup > 0 else None
        x, partner, share = self._read(batch, drawn)
        taught = self._taught(batch, x, drawn)
        projected = student.projected(x)
        views = torch.stack([present[name] for name in student.modalities]).nonzero().T
        logits = student.head(torch.stack(student.activated(projected))[views[0], views[1]])
        aligned = self._aligned(batch, projected, views)
        return logits, views, *aligned, taught, partner, share

    def _read(self, batch: dict[str, Any], drawn: int | None) -> Read:
        """Return what the Student reads, each cell's partner and its own share; mixtures are drawn by a seed, None mixes nothing."""
        if drawn in self.mixtures:
            return self.mixtures[drawn]
        scaled, present = self.module.scale(batch), batch["present"]
        if drawn is None:
            share = self.prior.new_ones(len(batch["labels"]))
            return hide_features(scaled, self.hide_rate), torch.arange(len(share), device=share.device), share
        with seeded(drawn, self.prior.device):
            mixed, partner, share = mix_cells(scaled, present, self.mixup)
            read = hide_features(mixed, self.hide_rate), partner, share
        n_bytes = sum(values.nbytes for values in read[0].values())
        if n_bytes <= self._room and _repeats(share.device):
            self.mixtures[drawn], self._room = read, self._room - n_bytes
        return read

    def _aligned(self, batch: dict[str, Any], projected: list[Tensor], views: Tensor) -> tuple[Tensor, Tensor]:
        """Return what brings batches and modalities together: the cells as they are, since a mixture is of two batches.

        Before the last LayerNorm and GELU, which level what they are to learn from, and before the last dropout, whose noise
        would keep all cells apart.

        Parameters
        ----------
        batch
            The mini-batch.
        projected
            What the Student makes of what it read.
        views
            Modality and cell of each view, shape ``(2, n_views)``.

        Returns
        -------
        The last linear layer, shape ``(n_views, n_latent)``, and logits, shape ``(n_views, n_labels)``: the Teacher's where they are
        known, otherwise the Student's own. Empty where nothing is aligned.
        """
        if not (self.alignment_weight or self.modality_alignment_weight):
            return self.prior.new_empty(0), self.prior.new_empty(0)
        student = self.module.student
        if self.mixup > 0:
            projected = student.projected(hide_features(self.module.scale(batch), self.hide_rate))
        linear = torch.stack(projected)[views[0], views[1]].float()
        if self.teacher_logits is not None:
            return linear, self.teacher_logits[batch["index"].to(self.prior.device)][views[1]]
        with torch.no_grad():
            logits = student.head(torch.stack(student.activated(projected, dropout=False))[views[0], views[1]])
        return linear, logits.float()

    @torch.no_grad()
    def _taught(self, batch: dict[str, Any], x: Mapping[str, Values], drawn: int | None) -> Tensor:
        """Return what teaches: logits of shape ``(n_obs, n_labels)``, or none where the labels alone do."""
        if self.kd_weight == 0:
            return self.prior.new_empty(0)
        if drawn is None:
            return self.teacher_logits[batch["index"].to(self.prior.device)]
        if drawn in self.answers:
            return self.answers[drawn].float()
        # Lightning puts the whole module into training mode; who teaches does not drop anything.
        answer = self.module.teacher.eval()(x, batch["present"]).logits.clamp(-_MOST, _MOST).half()
        if _repeats(answer.device):
            self.answers[drawn] = answer
        return answer.float()

    def training_loss(  # type: ignore[override]
        self,
        batch: dict[str, Any],
        logits: Tensor,
        views: Tensor,
        projected: Tensor,
        guessed: Tensor,
        taught: Tensor,
        partner: Tensor,
        share: Tensor,
    ) -> dict[str, Tensor]:
        """Return the loss and its parts."""
        modality, cell = views
        labels = batch["labels"]
        parts: dict[str, Tensor] = {}
        loss = logits.sum() * 0
        if self.kd_weight < 1 and bool((labels >= 0).any()):
            parts["ce_loss"] = self._label_loss(logits, labels[cell], labels[partner][cell], share[cell])
            loss = loss + (1 - self.kd_weight) * parts["ce_loss"]
        if self.kd_weight > 0:
            parts["kd_loss"] = distillation_loss(logits, taught[cell], temperature=self.temperature)
            loss = loss + self.kd_weight * parts["kd_loss"]
        if self.entropy_weight and bool((labels >= 0).any()):
            known = logits[labels[cell] >= 0]
            parts["entropy_loss"] = (
                mean_entropy_loss(known) if self.entropy == "released" else prior_matching_loss(known, self.prior)
            )
            loss = loss + self.entropy_weight * parts["entropy_loss"]
        chances = label_probabilities(labels[cell], guessed) if len(guessed) else guessed
        if self.alignment_weight:
            own = [modality == i for i in modality.unique()]
            of_each = [alignment_loss(projected[i], chances[i], batch["batch"][cell[i]], within=True) for i in own]
            parts["alignment_loss"] = torch.stack(of_each).mean()
            loss = loss + self.alignment_weight * parts["alignment_loss"]
        if self.modality_alignment_weight:
            parts["modality_loss"] = alignment_loss(projected, chances, modality, within=True)
            loss = loss + self.modality_alignment_weight * parts["modality_loss"]
        return {"loss": loss, **parts}

    def _label_loss(self, logits: Tensor, labels: Tensor, others: Tensor, share: Tensor) -> Tensor:
        """Return the cross-entropy of the labels of both parts of each cell, by their shares; mean over what is labelled."""
        total, weight = logits.new_zeros(()), logits.new_zeros(())
        for target, own in ((labels, share), (others, 1 - share)):
            loss = F.cross_entropy(
                logits, target, ignore_index=-1, label_smoothing=self.label_smoothing, reduction="none"
            )
            total, weight = total + (own * loss).sum(), weight + own[target >= 0].sum()
        return total / weight

    def validation_logits(self, batch: dict[str, Any]) -> Tensor:
        """Return the Student's logits."""
        return self.module.student(self.module.scale(batch), batch["present"])[0]
