"""The Student's outputs together with the cells' neighbours, for novelty."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from plkd.confidence import Places
from plkd.data import Cells
from plkd.inference._axes import find_axes, neighbour_cells
from plkd.inference._run import StudentOutput, run_student
from plkd.nn import InputScaling, Student


def run_in_surroundings(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    profiles: Mapping[str, np.ndarray],
) -> tuple[StudentOutput, Places | None]:
    """Return the Student's outputs, and where the cells lie in directions of their own.

    Parameters
    ----------
    scaling, student, cells, indices
        As of :func:`run_student`.
    profiles
        By modality the mean scaled values of the labels' cells, shape ``(n_labels, n_features)``; empty: no places are found.
    """
    axes = find_axes(scaling, cells, indices) if profiles else {}
    output = run_student(scaling, student, cells, indices, axes=axes)
    if not axes:
        return output, None
    sample = np.zeros(len(indices), dtype=bool)
    sample[neighbour_cells(len(indices))] = True
    labels = {kind: own.place_profiles(profiles[kind]) for kind, own in axes.items()}
    return output, Places(output.places, labels, sample)
