"""Batches without labels, made alike to the reference for the Teacher, which has learned from the reference alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from scipy.special import softmax

from plkd.data import Cells
from plkd.inference import Change, changed_scaling, changed_teacher, find_changes, run_teacher
from plkd.model._profiles import label_profiles
from plkd.nn import InputScaling, Teacher
from plkd.train import Split
from plkd.train._readings import Batch

logger = logging.getLogger("plkd")

#: Cells that are looked at, of all batches together, and of each batch at least.
_MOST_CELLS, _LEAST_OF_A_BATCH = 10_000, 1_000


def batches_alike(scaling: Mapping[str, InputScaling], teacher: Teacher, cells: Cells, split: Split) -> list[Batch]:
    """Return the batches of which the Teacher has learned no label, and what makes their cells look as the reference's.

    Another protocol, laboratory or species catches more of some genes and less of others. How much, the Teacher's own calls
    say, batch by batch, as those of the Student do in :meth:`plkd.PLKD.adapt`, though once and not three times.

    Parameters
    ----------
    scaling, teacher
        The networks, in evaluation mode; the Teacher has learned.
    cells
        The reference and cells without a label.
    split
        Which of them trained, and which have no label.
    """
    free = split.unlabeled[~np.isin(cells.batch[split.unlabeled], cells.batch[split.train])]
    if not len(free):
        return []
    profiles = label_profiles(scaling, cells, split.train, teacher.head.out_features)
    batches, found = np.unique(cells.batch[free]), []
    most = max(_MOST_CELLS // len(batches), _LEAST_OF_A_BATCH)
    for batch in batches:
        own = free[cells.batch[free] == batch]
        looked_at = own[:: -(-len(own) // most)]

        def chances_of(_: Mapping[str, Change] | None, looked_at: np.ndarray = looked_at) -> np.ndarray:
            return softmax(run_teacher(scaling, teacher, cells, looked_at).logits, axis=1)

        # Once: calls made anew of changed cells can drive a mistake on, such as T cells of another species called NK cells.
        changes = find_changes(scaling, cells, looked_at, profiles, chances_of, n_rounds=1)
        found.append(Batch(own, changes))
    logger.info(
        "The Teacher reads %d cells without a label as the reference's would look (%d batches)", len(free), len(found)
    )
    return found


def changed_logits(
    scaling: Mapping[str, InputScaling],
    teacher: Teacher,
    cells: Cells,
    index: np.ndarray,
    changes: Mapping[str, Change] | None,
) -> np.ndarray:
    """Return the Teacher's logits of cells whose values are changed; None: as they are."""
    if changes:
        scaling, teacher = changed_scaling(scaling, changes), changed_teacher(scaling, teacher, changes)
    return run_teacher(scaling, teacher, cells, index).logits
