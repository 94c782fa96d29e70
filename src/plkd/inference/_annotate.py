"""Annotate many cells: mini-batch by mini-batch, so that memory grows with the table alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plkd.confidence import Confidence, Places, Surroundings
from plkd.data import Cells
from plkd.inference._axes import Axes, find_axes, neighbour_cells, sample_cells
from plkd.inference._parallel import in_parallel, numbered
from plkd.inference._run import StudentOutput, run_student, student_outputs
from plkd.inference._table import TopTwo, annotate_cells, label_probabilities, rejection_rate
from plkd.nn import InputScaling, Student

#: Cells of a small query that are judged at a time.
_PART = 2048


@dataclass(frozen=True)
class _Judged:
    """What is kept of some cells: their two most probable labels, their distances, and the probabilities that a vote needs."""

    top: TopTwo
    distances: np.ndarray | None
    held: np.ndarray | None


def annotate(
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    chosen: np.ndarray,
    labels: Sequence[str],
    obs_names: pd.Index,
    confidence: Confidence | None,
    *,
    unknown: float | str | None = None,
    unknown_label: str = "Unknown",
    clusters: pd.Series | None = None,
    batch_size: int | None = None,
    progress: str | None = None,
    outputs: Callable[..., Iterable[StudentOutput]] = student_outputs,
) -> pd.DataFrame:
    """Return the annotation of cells, for the model and the Annotator alike.

    Parameters
    ----------
    scaling, student
        The networks, in evaluation mode.
    cells, chosen
        Aligned cells, and the numbers of those to annotate.
    labels
        In the order of the Student's outputs.
    obs_names
        Names of the chosen cells.
    confidence
        The model's; None: it was not calibrated.
    unknown
        Share of cells of known types that may be rejected, in (0, 1); ``"auto"``: 0.05; None rejects none.
    unknown_label
        Label of rejected cells.
    clusters
        The cells' clusters, from :func:`clusters_of`, to vote in; None: no vote. The probabilities of all labels are then
        held for all cells.
    batch_size
        Cells of a mini-batch, of which up to four are computed at once on a CPU; None: these hold about 128 MiB of dense values.
    progress
        Name of a progress bar; None shows none.
    outputs
        What runs the Student over the cells.

    Returns
    -------
    As of :func:`annotate_cells`.
    """
    rate = rejection_rate(unknown, unknown_label, labels, confidence)
    n_obs, measured = len(chosen), cells.measured()[chosen]
    sample = np.zeros(n_obs, dtype=bool)
    own: np.ndarray | None = None
    axes: dict[str, Axes] = {}
    around: dict[tuple[str, ...], Surroundings] | None = None
    if confidence is not None and confidence.profiles:
        sample[neighbour_cells(n_obs)] = True
        own = confidence.numbers(measured, sample)
        numbers = sample_cells(n_obs)
        looked_at, places = cells, chosen[numbers]
        if not cells.in_memory:
            looked_at, places = cells.loaded(places), np.arange(len(places))
        bar = None if progress is None else f"{progress}: a sample first"
        axes = find_axes(scaling, looked_at, places, batch_size=batch_size, progress=bar)
        if not sample.all():
            places = places[sample[numbers]]
            known = run_student(scaling, student, looked_at, places, axes=axes, batch_size=batch_size)
            around = _surroundings(confidence, known, measured[sample], axes)
    found = outputs(scaling, student, cells, chosen, axes=axes, batch_size=batch_size, progress=progress)
    if confidence is not None and axes and around is None and n_obs:
        # A small query is its own sample.
        whole = _joined(found)
        around = _surroundings(confidence, whole, measured, axes)
        found = (whole.of(slice(start, start + _PART)) for start in range(0, n_obs, _PART))

    def judged(part: tuple[slice, StudentOutput]) -> _Judged:
        rows, output = part
        probabilities = label_probabilities(output.logits, confidence, measured[rows])
        distances = None
        if confidence is not None:
            numbers = None if own is None else own[rows]
            distances = confidence.distances(
                output.latent, output.logits, measured[rows], output.places, around, numbers
            )
        return _Judged(TopTwo.of(probabilities), distances, None if clusters is None else probabilities)

    parts = list(in_parallel(judged, numbered(found, lambda output: len(output.logits))))
    novelty, shift = None, 1.0
    if confidence is not None:
        told = [part.distances for part in parts if part.distances is not None]
        novelty, shift = confidence.novelty_of(np.concatenate([np.empty((0, 2)), *told]), measured)
    return annotate_cells(
        TopTwo.joined([TopTwo(np.empty((0, 2), dtype=np.int32), np.empty((0, 2))), *(part.top for part in parts)]),
        novelty,
        labels,
        obs_names,
        shift=shift,
        rate=rate,
        unknown_label=unknown_label,
        clusters=clusters,
        probabilities=np.concatenate(
            [np.empty((0, len(labels))), *(part.held for part in parts if part.held is not None)]
        ),
    )


def _joined(outputs: Iterable[StudentOutput]) -> StudentOutput:
    held = list(outputs)
    return StudentOutput(
        np.concatenate([output.logits for output in held]),
        np.concatenate([output.latent for output in held]),
        {kind: np.concatenate([output.places[kind] for output in held]) for kind in held[0].places},
    )


def _surroundings(
    confidence: Confidence, output: StudentOutput, measured: np.ndarray, axes: Mapping[str, Axes]
) -> dict[tuple[str, ...], Surroundings]:
    """Return the surroundings that a sample of the cells makes, from the Student's output for it."""
    labels = {kind: own.place_profiles(confidence.profiles[kind]) for kind, own in axes.items()}
    places = Places(output.places, labels, np.ones(len(measured), dtype=bool))
    return confidence.surroundings(output.latent, output.logits, measured, places)
