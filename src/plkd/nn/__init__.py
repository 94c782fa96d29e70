"""Pure torch: input scaling, pattern tokenizer, Teacher, Student, losses and attention roll-out.

Nothing here knows AnnData, scvi-tools or files.
"""

from __future__ import annotations

from plkd.nn._gain import modality_shares
from plkd.nn._losses import (
    alignment_loss,
    distillation_loss,
    divergence_loss,
    label_probabilities,
    mean_entropy_loss,
    prior_matching_loss,
    released_divergence_loss,
)
from plkd.nn._rollout import attention_rollout
from plkd.nn._scaling import (
    ATACScaling,
    InputScaling,
    ProteinScaling,
    RNAScaling,
    constant_names,
    make_scaling,
    scale_batch,
    unweighted_batch,
    weigh_batch,
)
from plkd.nn._sparse import InputLinear, SparseRows, Values, dense, product
from plkd.nn._student import Student
from plkd.nn._teacher import Teacher
from plkd.nn._tokenizer import PatternTokenizer

__all__ = [
    "ATACScaling",
    "InputLinear",
    "InputScaling",
    "PatternTokenizer",
    "ProteinScaling",
    "RNAScaling",
    "SparseRows",
    "Student",
    "Teacher",
    "Values",
    "alignment_loss",
    "attention_rollout",
    "dense",
    "distillation_loss",
    "divergence_loss",
    "label_probabilities",
    "constant_names",
    "make_scaling",
    "mean_entropy_loss",
    "modality_shares",
    "prior_matching_loss",
    "product",
    "released_divergence_loss",
    "scale_batch",
    "unweighted_batch",
    "weigh_batch",
]
