"""Novelty of cells that come part by part: of each cell only its distances are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plkd.confidence import Confidence, LabelCentres, Places
from plkd.inference._run import StudentOutput


class NoveltyInParts:
    """What :meth:`plkd.confidence.Confidence.novelty` returns for all cells, from parts of them.

    Parameters
    ----------
    confidence
        The model's.
    measured
        Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``.
    labels
        By modality where the labels' mean cells lie, shape ``(n_labels, n_axes)``; empty: cells are judged one by one.
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
        known: StudentOutput | None = None,
    ):
        self._measured, self._labels, self._sample, self._known = measured, labels, sample, known
        self._centres = [part.centres for part in confidence.parts.values()]
        # A latent is as good as its distances: each part then reads its own.
        own, origin = np.eye(len(self._centres)), np.zeros((1, 1))
        self._confidence = replace(
            confidence,
            parts={
                subset: replace(part, centres=LabelCentres(own[:, [i]], origin))
                for i, (subset, part) in enumerate(confidence.parts.items())
            },
        )
        self._distances = np.empty((len(sample), len(self._centres)))
        self._surrounded = np.full(len(sample), np.nan)
        if known is not None:
            self._distances[sample] = self._distances_of(known)

    def add(self, rows: slice, output: StudentOutput) -> None:
        """Take the Student's output for some cells."""
        self._distances[rows] = self._distances_of(output)
        if not self._labels:
            return
        numbers, joined = np.arange(rows.start, rows.stop), output
        if self._known is not None:
            # Neighbours are looked for in the sample, so it has to be there with every part.
            new = ~self._sample[rows]
            numbers = np.concatenate([np.flatnonzero(self._sample), numbers[new]])
            joined = _joined(self._known, output, new)
        places = _Recorded(joined.places, self._labels, self._sample[numbers], self._surrounded, numbers)
        self._confidence.novelty(self._distances[numbers], joined.logits, self._measured[numbers], places)

    def result(self) -> tuple[np.ndarray, float]:
        """Return each cell's novelty, and the largest shift that was taken out."""
        places = _Found({}, {}, self._sample, self._surrounded) if self._labels else None
        unused = np.empty((len(self._sample), 0), dtype=np.float32)
        return self._confidence.novelty(self._distances, unused, self._measured, places)

    def _distances_of(self, output: StudentOutput) -> np.ndarray:
        return np.column_stack([centres.distance(output.latent) for centres in self._centres])


def _joined(first: StudentOutput, second: StudentOutput, chosen: np.ndarray) -> StudentOutput:
    places = {kind: np.concatenate([own, second.places[kind][chosen]]) for kind, own in first.places.items()}
    return StudentOutput(np.concatenate([first.logits, second.logits[chosen]]), first.latent, places)


@dataclass(frozen=True)
class _Recorded(Places):
    """Places of cells whose distances, with their neighbours, are written down."""

    found: np.ndarray
    numbers: np.ndarray

    def of(self, rows: np.ndarray, kinds: Sequence[str]) -> _Recorded:
        own = super().of(rows, kinds)
        return _Recorded(own.cells, own.labels, own.sample, self.found, self.numbers[rows])

    def surround(self, distance: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        surrounded = super().surround(distance, logits)
        if surrounded is not None:
            self.found[self.numbers] = surrounded
        return surrounded


@dataclass(frozen=True)
class _Found(Places):
    """Places of cells whose distances, with their neighbours, are known."""

    found: np.ndarray

    def of(self, rows: np.ndarray, kinds: Sequence[str]) -> _Found:
        return _Found({}, {}, self.sample[rows], self.found[rows])

    def surround(self, distance: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        return None if np.isnan(self.found).any() else self.found
