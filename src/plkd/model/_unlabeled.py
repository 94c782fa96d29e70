"""Cells of a query that take part in training without a label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.confidence import fit_calibration
from plkd.data import Cells, JoinedCells, ModalitySpec, as_text, find_column, open_query
from plkd.train import Split

logger = logging.getLogger("plkd")


def check_other(other: Any, reference: AnnData | MuData | None, argument: str) -> None:
    """Refuse what cannot teach beside the reference.

    Raises
    ------
    TypeError
        If it is neither AnnData nor MuData.
    ValueError
        If it is the reference itself, or has no cells.
    """
    if not isinstance(other, AnnData | MuData):
        raise TypeError(
            f"{argument} is a {type(other).__name__}; expected an AnnData or a MuData. Fix: `model.train({argument}=adata)`; "
            "read a file first, e.g. `anndata.read_h5ad(path, backed='r')`."
        )
    if other is reference:
        raise ValueError(f"{argument} is the reference, which trains in any case. Fix: leave it out, or pass another.")
    if other.n_obs == 0:
        raise ValueError(f"{argument} has 0 cells; expected some. Fix: leave it out, or pass it whole.")


def join_unlabeled(
    reference: Cells, unlabeled: AnnData | MuData, specs: Sequence[ModalitySpec], batch_key: str | None
) -> JoinedCells:
    """Return the reference with a query's cells behind it, features aligned by name; no label of the query is read.

    Parameters
    ----------
    reference
        Cells with labels and batches.
    unlabeled
        In memory, a view or backed; not changed.
    specs
        The model's modalities.
    batch_key
        Column of ``obs`` with the query's batches, where it has it. They count as others than those of the reference,
        whatever their names; without the column the query is one batch.
    """
    cells = open_query(unlabeled, specs, called="Unlabelled cells")
    column = None if batch_key is None else find_column(unlabeled, batch_key)
    batch = np.zeros(cells.n_obs, dtype=np.int64) if column is None else pd.factorize(as_text(column))[0]
    batch = int(reference.batch.max(initial=-1)) + 1 + batch
    return JoinedCells(reference, Cells(cells.modalities, cells.n_obs, batch=batch))


def sure_calls(logits: np.ndarray, labels: np.ndarray, split: Split, least: float) -> np.ndarray:
    """Return what the Teacher calls unlabelled cells where it is sure.

    Parameters
    ----------
    logits
        The Teacher's, of held-out and unlabelled cells, shape ``(n_obs, n_labels)``; other rows are not looked at.
    labels
        Label codes, shape ``(n_obs,)``.
    split
        Held-out cells, on which probabilities are calibrated, and unlabelled cells.
    least
        Probability from which on a call is sure.

    Returns
    -------
    Label codes, shape ``(n_obs,)``, ``-1`` where nothing is called.
    """
    calibration = fit_calibration(logits[split.validation], labels[split.validation], allowance=0.0)
    probabilities = calibration.probabilities(logits[split.unlabeled])
    called = np.full(len(labels), -1, dtype=np.int64)
    sure = probabilities.max(axis=1) >= least
    called[split.unlabeled[sure]] = probabilities[sure].argmax(axis=1)
    logger.info("The Teacher is sure of %d of %d unlabelled cells: they train by its calls", sure.sum(), len(sure))
    return called
