"""What trained once cannot be held out any more: a model that trains on holds out the same cells, or says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from plkd.train._split import Split

logger = logging.getLogger("plkd")


def parts_before(before: Mapping[str, Any] | None, known: str, sizes: tuple[float, float]) -> list[np.ndarray] | None:
    """Return training, validation and test cells of the training before; None: there was none, or it was another one.

    Parameters
    ----------
    before
        ``cells`` (a digest), ``sizes`` and ``parts`` of it.
    known
        Digest of the cells at hand, their labels and batches.
    sizes
        Shares to train on and to hold out.
    """
    if before is None or before["cells"] != known or not np.allclose(before["sizes"], sizes):
        return None
    return before["parts"]


def say_what_trained(before: Mapping[str, Any] | None, known: str, split: Split, *, was_trained: bool) -> None:
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
