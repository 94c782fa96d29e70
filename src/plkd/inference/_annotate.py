"""Annotate many cells: part by part, so that memory grows with the table alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from plkd.confidence import Confidence, Places
from plkd.data import Cells
from plkd.inference._axes import find_axes, neighbour_cells, sample_cells
from plkd.inference._run import StudentOutput, run_student, student_outputs
from plkd.inference._table import TopTwo, annotate_cells, label_probabilities, rejection_rate
from plkd.nn import InputScaling, Student

#: Cells whose neighbours are looked for at a time; each part looks for those of the sample again.
PART = 2**16


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
        Cells at a time; None holds about 128 MiB of dense values.
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
    sample, axes, places_of_labels, known = np.zeros(n_obs, dtype=bool), {}, {}, None
    if confidence is not None and confidence.profiles:
        sample[neighbour_cells(n_obs)] = True
        numbers = sample_cells(n_obs)
        looked_at, places = cells, chosen[numbers]
        if not cells.in_memory:
            looked_at, places = cells.loaded(places), np.arange(len(places))
        bar = None if progress is None else f"{progress}: a sample first"
        axes = find_axes(scaling, looked_at, places, batch_size=batch_size, progress=bar)
        places_of_labels = {kind: own.place_profiles(confidence.profiles[kind]) for kind, own in axes.items()}
        if n_obs > PART:
            known = run_student(scaling, student, looked_at, places[sample[numbers]], axes=axes, batch_size=batch_size)
    distances = None if confidence is None else _Distances(confidence, measured, places_of_labels, sample, known)
    tops, probabilities = [TopTwo(np.empty((0, 2), dtype=np.int32), np.empty((0, 2)))], []
    found = outputs(scaling, student, cells, chosen, axes=axes, batch_size=batch_size, progress=progress)
    for rows, output in _parts(found):
        own = label_probabilities(output.logits, confidence, measured[rows])
        tops.append(TopTwo.of(own))
        if clusters is not None:
            probabilities.append(own)
        if distances is not None:
            distances.add(rows, output)
    novelty, shift = (None, 1.0)
    if confidence is not None and distances is not None:
        novelty, shift = confidence.novelty_of(distances.found, measured)
    return annotate_cells(
        TopTwo.joined(tops),
        novelty,
        labels,
        obs_names,
        shift=shift,
        rate=rate,
        unknown_label=unknown_label,
        clusters=clusters,
        probabilities=np.concatenate(probabilities) if probabilities else np.empty((0, len(labels))),
    )


def _parts(outputs: Iterable[StudentOutput]) -> Iterator[tuple[slice, StudentOutput]]:
    """Yield outputs of mini-batches joined to parts of at least ``PART`` cells, the last one excepted, and their rows."""
    start, held, n_held = 0, [], 0
    for output in outputs:
        held.append(output)
        n_held += len(output.logits)
        if n_held >= PART:
            yield slice(start, start + n_held), _joined(held)
            start, held, n_held = start + n_held, [], 0
    if held:
        yield slice(start, start + n_held), _joined(held)


def _joined(outputs: Sequence[StudentOutput]) -> StudentOutput:
    return StudentOutput(
        np.concatenate([output.logits for output in outputs]),
        np.concatenate([output.latent for output in outputs]),
        {kind: np.concatenate([output.places[kind] for output in outputs]) for kind in outputs[0].places},
    )


class _Distances:
    """The distances of all cells, from parts of them: of each cell no more is kept.

    Parameters
    ----------
    confidence
        The model's.
    measured
        Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``.
    labels
        By modality where the labels' mean cells lie; empty: cells are judged by themselves.
    sample
        In which cells neighbours are looked for, bool, shape ``(n_obs,)``.
    known
        The Student's output for the sample, needed where the cells come in several parts; None: they come in one.
    """

    def __init__(
        self,
        confidence: Confidence,
        measured: np.ndarray,
        labels: Mapping[str, np.ndarray],
        sample: np.ndarray,
        known: StudentOutput | None,
    ):
        self._confidence, self._measured, self._labels = confidence, measured, labels
        self._sample, self._known = sample, known
        self.found = np.empty((len(sample), 2))

    def add(self, rows: slice, output: StudentOutput) -> None:
        """Take the Student's output for some cells."""
        numbers = np.arange(rows.start, rows.stop)
        if self._known is not None:
            # Neighbours are looked for in the sample, so it has to be there with every part.
            new = np.flatnonzero(~self._sample[rows])
            numbers = np.concatenate([np.flatnonzero(self._sample), numbers[new]])
            output = _joined([self._known, output.of(new)])
        places = Places(output.places, self._labels, self._sample[numbers]) if self._labels else None
        self.found[numbers] = self._confidence.distances(output.latent, output.logits, self._measured[numbers], places)
