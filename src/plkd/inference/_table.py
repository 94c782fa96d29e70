"""Answers as tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.special import softmax

from plkd._arguments import check_type
from plkd.confidence import Confidence
from plkd.data import is_writable
from plkd.inference._run import StudentOutput
from plkd.inference._vote import majority_vote

logger = logging.getLogger("plkd")

#: Share of known cells that ``unknown="auto"`` lets be rejected.
AUTO_RATE = 0.05
#: A rejected cell whose second label is at least this times as probable as the first lies between the two.
_BETWEEN = 0.5
#: A shift of the query that is worth a word.
_SHIFTED = 1.2
_CALIBRATE = "train it with held-out folds (`preset.confidence.n_folds`, 5 by default)"


@dataclass(frozen=True)
class TopTwo:
    """The two most probable labels of each cell.

    Attributes
    ----------
    codes
        Numbers of the labels, the more probable first, shape ``(n_obs, 2)``.
    values
        Their probabilities, float64, shape ``(n_obs, 2)``.
    """

    codes: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray) -> TopTwo:
        """Return those of label probabilities, shape ``(n_obs, n_labels)``; of equal ones the first label's come first."""
        rest, rows, codes, values = probabilities.copy(), np.arange(len(probabilities)), [], []
        for _ in range(min(2, probabilities.shape[1])):
            codes.append(rest.argmax(axis=1).astype(np.int32))
            values.append(probabilities[rows, codes[-1]])
            rest[rows, codes[-1]] = -np.inf
        return cls(np.column_stack(codes), np.column_stack(values))

    @classmethod
    def joined(cls, parts: Sequence[TopTwo]) -> TopTwo:
        """Return those of cells in parts."""
        return cls(np.concatenate([part.codes for part in parts]), np.concatenate([part.values for part in parts]))


def annotate_cells(
    top: TopTwo,
    novelty: np.ndarray | None,
    labels: Sequence[str],
    obs_names: pd.Index,
    *,
    shift: float = 1.0,
    rate: float | None = None,
    unknown_label: str = "Unknown",
    clusters: pd.Series | None = None,
    probabilities: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the annotation of cells.

    Parameters
    ----------
    top
        Their labels.
    novelty, shift
        Of :meth:`plkd.confidence.Confidence.novelty`; None: not known.
    labels
        In the order of the Student's outputs.
    obs_names
        Names of the cells.
    rate, unknown_label
        As of :func:`reject`.
    clusters
        The cells' clusters, from :func:`clusters_of`, to vote in (:func:`majority_vote`); None: no vote.
    probabilities
        Of all labels, shape ``(n_obs, n_labels)``; needed with ``clusters`` only.

    Returns
    -------
    Columns ``label`` (categorical over all labels), ``confidence`` (the label's probability, in [0, 1]), ``novelty`` (NaN where
    not known), ``runner_up`` (the second most probable label, categorical), ``rejected`` (bool) and ``reason`` (text, empty where
    not rejected); with clusters those of :func:`majority_vote`. ``attrs["shift"]`` is the largest shift that was taken out of the novelty.
    """
    if shift >= _SHIFTED:
        logger.info(
            "The query's cells lie %.1f times as far from the labels of the reference as held-out cells do; novelty is "
            "counted beyond this shift",
            shift,
        )
    table = _table(top, labels, obs_names, novelty)
    table = reject(table, top.values, rate, unknown_label)
    if clusters is not None:
        frame = pd.DataFrame(probabilities, index=obs_names, columns=list(labels))
        table = majority_vote(table, frame, clusters)
        logger.info(
            "Majority vote over %d clusters of %s: %d labels changed",
            clusters[clusters != ""].nunique(),
            clusters.name,
            (table["label"].astype(object) != table["cell_label"].astype(object)).sum(),
        )
    table.attrs["shift"] = shift
    return table


def rejection_rate(
    unknown: float | str | None, unknown_label: str, labels: Sequence[str], confidence: Confidence | None
) -> float | None:
    """Return the share of known cells that may be rejected; None: no cell is.

    Raises
    ------
    ValueError
        If ``unknown`` is none of None, ``"auto"`` and a number in (0, 1), the model was not calibrated, or
        ``unknown_label`` is one of its labels, or no text.
    """
    if unknown is None:
        return None
    rate = AUTO_RATE if isinstance(unknown, str) and unknown == "auto" else unknown
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 < rate < 1:
        raise ValueError(
            f"unknown={unknown!r}; expected the share of cells of known types that may be rejected, between 0 and 1, "
            "'auto' (0.05), or None to reject none. Fix: `unknown=0.05`."
        )
    if confidence is None:
        raise ValueError(
            f"unknown={unknown!r}, but the model was not calibrated, so it cannot tell known cells from others. Fix: "
            f"{_CALIBRATE}, or pass unknown=None."
        )
    if not isinstance(unknown_label, str) or not unknown_label.strip() or not is_writable(unknown_label):
        raise ValueError(
            f"unknown_label={unknown_label!r}; expected a name for rejected cells. Fix: `unknown_label='Unknown'`."
        )
    if unknown_label.strip() in labels:
        raise ValueError(
            f"unknown_label={unknown_label!r} is a label of the model; expected another name. Fix: "
            f"`unknown_label={'not ' + unknown_label!r}`."
        )
    return float(rate)


def reject(table: pd.DataFrame, top: np.ndarray, rate: float | None, unknown_label: str) -> pd.DataFrame:
    """Mark the cells whose novelty is beyond that of all but a share of known cells, and say why.

    Parameters
    ----------
    table
        With ``label`` (categorical), ``runner_up`` and ``novelty``.
    top
        Probabilities of each cell's first and second label, shape ``(n_obs, 2)``.
    rate
        That share; None rejects no cell.
    unknown_label
        What ``label`` becomes in rejected cells.

    Returns
    -------
    The table with ``rejected`` and ``reason``: ``"between A and B"`` for a rejected cell whose second label is at least half as
    probable as the first, else ``"unlike the reference"``.
    """
    rejected = np.zeros(len(table), dtype=bool) if rate is None else table["novelty"].to_numpy() > 1 - rate
    reason = np.full(len(table), "", dtype=object)
    if rate is not None:
        label = table["label"].cat.add_categories([unknown_label])
        between = rejected & (top[:, 1] >= _BETWEEN * top[:, 0])
        first, second = (table.loc[between, name].astype(object) for name in ("label", "runner_up"))
        reason[rejected] = "unlike the reference"
        reason[between] = [f"between {a} and {b}" for a, b in zip(first, second, strict=True)]
        label[rejected] = unknown_label
        table = table.assign(label=label)
    return table.assign(rejected=rejected, reason=pd.Categorical(reason))


def probability_frame(
    logits: np.ndarray,
    labels: Sequence[str],
    obs_names: pd.Index,
    confidence: Confidence | None = None,
    measured: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return label probabilities, cells x labels, rows summing to 1: the one path from the Student's logits to probabilities.

    Parameters
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    labels
        In the order of the columns.
    obs_names
        Names of the cells.
    confidence
        Calibrates them; None: the softmax as it is.
    measured
        Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``; needed with ``confidence``.
    """
    return pd.DataFrame(label_probabilities(logits, confidence, measured), index=obs_names, columns=list(labels))


def label_probabilities(
    logits: np.ndarray, confidence: Confidence | None = None, measured: np.ndarray | None = None
) -> np.ndarray:
    """Return what :func:`probability_frame` does, as an array."""
    if confidence is None or measured is None:
        return softmax(logits.astype(np.float64), axis=1)
    return confidence.probabilities(logits, measured)


def _table(top: TopTwo, labels: Sequence[str], obs_names: pd.Index, novelty: np.ndarray | None) -> pd.DataFrame:
    dtype = pd.CategoricalDtype(list(labels))
    return pd.DataFrame(
        {
            "label": pd.Categorical.from_codes(top.codes[:, 0], dtype=dtype),
            "confidence": top.values[:, 0],
            "novelty": np.full(len(obs_names), np.nan) if novelty is None else novelty,
            "runner_up": pd.Categorical.from_codes(top.codes[:, 1], dtype=dtype),
        },
        index=obs_names,
    )


def set_frame(
    output: StudentOutput,
    measured: np.ndarray,
    labels: Sequence[str],
    obs_names: pd.Index,
    confidence: Confidence,
    coverage: float,
) -> pd.DataFrame:
    """Return which labels belong into each cell's prediction set, bool, cells x labels.

    Parameters
    ----------
    output
        Of :func:`run_student`, for all cells.
    measured
        Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``.
    labels
        In the order of the Student's outputs.
    obs_names
        Names of the cells.
    confidence, coverage
        As checked by :func:`check_coverage`.
    """
    probabilities = confidence.probabilities(output.logits, measured)
    sets = confidence.prediction_sets(probabilities, measured, coverage)
    return pd.DataFrame(sets, index=obs_names, columns=list(labels))


def check_coverage(coverage: float, confidence: Confidence | None) -> Confidence:
    """Return the confidence if there can be prediction sets of this coverage.

    Raises
    ------
    ValueError
        If ``coverage`` is no number in (0, 1), or the model was not calibrated.
    """
    if isinstance(coverage, bool) or not isinstance(coverage, Real) or not 0 < coverage < 1:
        raise ValueError(f"coverage={coverage!r}; expected a number between 0 and 1. Fix: `coverage=0.9`.")
    if confidence is None:
        raise ValueError(f"The model was not calibrated, so it has no prediction sets. Fix: {_CALIBRATE}.")
    return confidence


def add_annotation(adata: AnnData, table: pd.DataFrame, *, key_added: str = "plkd") -> None:
    """Write an annotation into ``adata.obs``.

    Parameters
    ----------
    adata
        The annotated data.
    table
        Result of ``annotate``, indexed by ``obs_names``; cells it lacks get missing values.
    key_added
        Columns become ``<key_added>_label``, ``<key_added>_confidence``, ...

    Raises
    ------
    ValueError
        If the table's cells are not those of ``adata``, or names repeat and the order differs.

    Examples
    --------
    >>> plkd.add_annotation(query, model.annotate(query), key_added="plkd")
    >>> [name for name in query.obs if name.startswith("plkd")]
    ['plkd_label', 'plkd_confidence', 'plkd_novelty', 'plkd_runner_up', 'plkd_rejected', 'plkd_reason']
    """
    check_type("adata", adata, (AnnData, MuData), "an AnnData or a MuData")
    check_type("table", table, pd.DataFrame, "the table that annotate() returned")
    check_type("key_added", key_added, str, "the start of a column's name")
    if not table.columns.is_unique:
        raise ValueError(
            f"Columns of the table repeat: {list(table.columns)[:10]}. Fix: pass what annotate() returned."
        )
    if not table.index.equals(adata.obs_names):
        unknown = table.index.difference(adata.obs_names)
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} cells of the table are not in adata, e.g. {list(unknown[:3])}; expected the table that "
                "annotate() returned for this adata."
            )
        if not (table.index.is_unique and adata.obs_names.is_unique):
            raise ValueError("Cell names repeat, so the table cannot be matched. Fix: `adata.obs_names_make_unique()`.")
        if table.index.size and not adata.obs_names.isin(table.index).all():
            # A plain bool column cannot hold what is missing.
            table = table.astype({name: "boolean" for name in table.columns if table[name].dtype == bool})
        table = table.reindex(adata.obs_names)
    for column in table.columns:
        adata.obs[f"{key_added}_{column}"] = (
            table[column].to_numpy() if table[column].dtype.kind == "f" else table[column].array
        )
