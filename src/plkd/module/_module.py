"""The networks of a PLKD model behind scvi-tools' module interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn
from torch.nn import functional as F

from plkd.nn import Student, Teacher, Values, make_scaling, scale_batch


class PLKDModule(BaseModuleClass):
    """Input scaling, Teacher and Student.

    In scvi-tools' words ``inference`` is the Teacher, ``generative`` the Student; both read the same scaled cells.

    Parameters
    ----------
    members
        For each kind of features, the columns of each pattern's features.
    n_features
        For each kind, the number of features.
    n_labels
        Number of labels.
    constants
        For each kind, the constants of its input scaling (:func:`plkd.nn.make_scaling`); None: loaded later.
    teacher_kwargs, student_kwargs
        Passed to :class:`~plkd.nn.Teacher` and :class:`~plkd.nn.Student`.
    """

    def __init__(
        self,
        members: Mapping[str, Sequence[np.ndarray]],
        n_features: Mapping[str, int],
        n_labels: int,
        *,
        constants: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        teacher_kwargs: Mapping[str, Any] | None = None,
        student_kwargs: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.n_labels = n_labels
        self.modalities = tuple(n_features)
        self.scaling = nn.ModuleDict(
            {kind: make_scaling(kind, n, (constants or {}).get(kind)) for kind, n in n_features.items()}
        )
        self.teacher = Teacher(members, n_features, n_labels, **(teacher_kwargs or {}))
        self.student = Student(n_features, n_labels, **(student_kwargs or {}))

    def scale(self, tensors: Mapping[str, Any]) -> dict[str, Values]:
        """Return the scaled values of a mini-batch by modality; all zero where a cell lacks the modality."""
        return scale_batch(self.scaling, tensors)  # type: ignore[arg-type]

    def _get_inference_input(self, tensors: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {"x": self.scale(tensors), "present": tensors["present"]}

    def _get_generative_input(
        self, tensors: Mapping[str, Any], inference_outputs: Mapping[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        return {"x": inference_outputs["x"], "present": tensors["present"]}

    @auto_move_data
    def inference(
        self, x: dict[str, Tensor], present: dict[str, Tensor], *, attention: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Run the Teacher; returns ``logits``, ``latent``, ``attention`` and the scaled ``x``."""
        out = self.teacher(x, present, attention=attention)
        return {"logits": out.logits, "latent": out.latent, "attention": out.attention, "x": x}

    @auto_move_data
    def generative(self, x: dict[str, Tensor], present: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """Run the Student; returns ``logits`` and ``latent``."""
        logits, latent = self.student(x, present)
        return {"logits": logits, "latent": latent}

    def loss(
        self, tensors: Mapping[str, Any], inference_outputs: Mapping[str, Any], generative_outputs: Mapping[str, Any]
    ) -> LossOutput:
        """Return the cross-entropy of Teacher plus Student; the training plans add what each phase needs."""
        labels = tensors["labels"]
        teacher = F.cross_entropy(inference_outputs["logits"], labels, ignore_index=-1)
        student = F.cross_entropy(generative_outputs["logits"], labels, ignore_index=-1)
        return LossOutput(
            loss=teacher + student,
            n_obs_minibatch=len(labels),
            extra_metrics={"teacher_ce": teacher, "student_ce": student},
        )

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        """Refuse: a classifier has no likelihood to sample from."""
        raise NotImplementedError("PLKD is not a generative model; there is nothing to sample.")
