"""From cells to answers, without scvi-tools: shared by the model and the exported Annotator."""

from __future__ import annotations

from plkd.inference._adapt import adapt, check_adaptable
from plkd.inference._alignment import alignment_report
from plkd.inference._annotate import annotate
from plkd.inference._attribution import FeatureAttribution, feature_attribution, pattern_attribution
from plkd.inference._axes import Axes, find_axes, unweighted_values
from plkd.inference._batches import batch_size_for, chosen_cells, to_device
from plkd.inference._cluster import check_client, cluster_outputs
from plkd.inference._membership import features_in_words, members, membership_by_kind, names_by_kind
from plkd.inference._modality import JOINT, kind_of, modality_weights, restricted
from plkd.inference._rename import rename_features
from plkd.inference._run import StudentOutput, run_student, student_logits, student_outputs
from plkd.inference._surroundings import run_in_surroundings
from plkd.inference._table import (
    TopTwo,
    add_annotation,
    annotate_cells,
    check_coverage,
    probability_frame,
    rejection_rate,
    set_frame,
)
from plkd.inference._teacher import TeacherOutputs, run_teacher
from plkd.inference._vote import clusters_of, majority_vote

__all__ = [
    "JOINT",
    "Axes",
    "FeatureAttribution",
    "StudentOutput",
    "TeacherOutputs",
    "TopTwo",
    "adapt",
    "add_annotation",
    "alignment_report",
    "annotate",
    "annotate_cells",
    "batch_size_for",
    "check_adaptable",
    "check_client",
    "check_coverage",
    "chosen_cells",
    "cluster_outputs",
    "clusters_of",
    "feature_attribution",
    "features_in_words",
    "find_axes",
    "kind_of",
    "majority_vote",
    "members",
    "membership_by_kind",
    "modality_weights",
    "names_by_kind",
    "pattern_attribution",
    "probability_frame",
    "rejection_rate",
    "rename_features",
    "restricted",
    "run_in_surroundings",
    "run_student",
    "run_teacher",
    "set_frame",
    "student_logits",
    "student_outputs",
    "to_device",
    "unweighted_values",
]
