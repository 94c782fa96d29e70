"""Annotate many cells: mini-batch by mini-batch, so that memory grows with the table alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from plkd.confidence import Confidence, Places, Surroundings
from plkd.data import Cells
from plkd.inference._axes import Axes, find_axes, neighbour_cells, sample_cells
from plkd.inference._run import StudentOutput, run_student, student_outputs
from plkd.inference._table import TopTwo, annotate_cells, label_probabilities, rejection_rate
from plkd.nn import InputScaling, Student


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
    if axes and around is None:
        # A small query is its own sample.
        found = [_joined(found)] if n_obs else []
    distances, done = np.empty((n_obs, 2)), 0
    tops, held = [TopTwo(np.empty((0, 2), dtype=np.int32), np.empty((0, 2)))], []
    # Between its many small products a second thread of numpy's would wait by spinning, on the core that reads and that torch needs.
    with threadpool_limits(1, user_api="blas"):
        for output in found:
            rows = slice(done, done + len(output.logits))
            done = rows.stop
            probabilities = label_probabilities(output.logits, confidence, measured[rows])
            tops.append(TopTwo.of(probabilities))
            if clusters is not None:
                held.append(probabilities)
            if confidence is None:
                continue
            if axes and around is None:
                around = _surroundings(confidence, output, measured, axes)
            numbers_here = None if own is None else own[rows]
            distances[rows] = confidence.distances(
                output.latent, output.logits, measured[rows], output.places, around, numbers_here
            )
    novelty, shift = (None, 1.0)
    if confidence is not None:
        novelty, shift = confidence.novelty_of(distances, measured)
    return annotate_cells(
        TopTwo.joined(tops),
        novelty,
        labels,
        obs_names,
        shift=shift,
        rate=rate,
        unknown_label=unknown_label,
        clusters=clusters,
        probabilities=np.concatenate(held) if held else np.empty((0, len(labels))),
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
