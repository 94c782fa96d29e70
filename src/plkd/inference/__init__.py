"""From cells to answers, without scvi-tools: shared by the model and the exported Annotator."""

from __future__ import annotations

from plkd.inference._attribution import pattern_attribution
from plkd.inference._run import StudentOutput, batch_size_for, chosen_cells, run_student
from plkd.inference._table import add_annotation, annotation_table, probability_frame

__all__ = [
    "StudentOutput",
    "add_annotation",
    "annotation_table",
    "batch_size_for",
    "chosen_cells",
    "pattern_attribution",
    "probability_frame",
    "run_student",
]
