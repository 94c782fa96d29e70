"""How a PLKD model learns: split, loader, the Teacher's plan, the distillation plan and the runner."""

from __future__ import annotations

from plkd.train._coexpression import coexpression
from plkd.train._cross_fit import cross_fit
from plkd.train._data import ReferenceData
from plkd.train._distillation_plan import DistillationPlan
from plkd.train._diverged import check_converged, warn_of_one_answer
from plkd.train._folds import Folds, make_folds
from plkd.train._runner import run_phase
from plkd.train._split import Split, split_cells
from plkd.train._teacher_plan import TeacherPlan
from plkd.train._weights import feature_weights

__all__ = [
    "DistillationPlan",
    "Folds",
    "ReferenceData",
    "Split",
    "TeacherPlan",
    "check_converged",
    "coexpression",
    "cross_fit",
    "feature_weights",
    "make_folds",
    "run_phase",
    "split_cells",
    "warn_of_one_answer",
]
