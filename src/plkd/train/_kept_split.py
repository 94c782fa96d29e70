"""What trained once cannot be held out any more: a model that trains on holds out the same cells, or says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from plkd.data import Cells
from plkd.train._split import Split, split_cells

logger = logging.getLogger("plkd")


def choose_split(
    cells: Cells,
    before: Mapping[str, Any] | None,
    known: str,
    sizes: tuple[float, float],
    *,
    was_trained: bool,
    external_indexing: Sequence[np.ndarray] | None,
) -> Split:
    """Split as the training before did, where it was of the same cells; else as is asked for, or by a draw of torch's.

    Parameters
    ----------
    cells
        What trains.
    before
        ``cells`` (a digest), ``sizes`` and ``parts`` (training, validation, test) of the training before; None: not known.
    known
        Digest of the cells at hand, their labels and batches.
    sizes
        Shares to train on and to hold out.
    was_trained
        Whether the model was trained before.
    external_indexing
        As of :func:`plkd.train.split_cells`; the split before does not matter then.
    """
    same = before is not None and before["cells"] == known and np.allclose(before["sizes"], sizes)
    kept = before["parts"] if before is not None and same and external_indexing is None else None
    split = split_cells(
        cells.labels,
        cells.batch,
        np.random.default_rng(int(torch.randint(2**31, ()))),
        train_size=sizes[0],
        validation_size=sizes[1],
        measured=cells.measured(),
        external_indexing=external_indexing if kept is None else kept,
    )
    if kept is not None:
        return replace(split, note=f"the {len(split.validation)} cells held out before stay so")
    _say_what_trained(before, known, split, was_trained=was_trained)
    return split


def _say_what_trained(before: Mapping[str, Any] | None, known: str, split: Split, *, was_trained: bool) -> None:
    """Warn where cells are held out that have trained, or may have: of a model without ``before`` it is not known."""
    if before is None:
        doubt = was_trained
    else:
        doubt = before["cells"] != known or bool(np.isin(split.validation, before["parts"][0]).any())
    if doubt:
        logger.warning(
            "Cells are held out that have trained before, or may have: scores of them look too good. Fix: train on with the "
            "same reference and sizes, or a new model, `PLKD(adata)`."
        )
