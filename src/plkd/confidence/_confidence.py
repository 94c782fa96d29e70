"""All that held-out cells say about how far a Student's answers can be trusted, for each set of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plkd.confidence._calibration import Calibration, fit_calibration
from plkd.confidence._novelty import LabelCentres, Novelty, fit_novelty
from plkd.confidence._sets import prediction_sets, set_thresholds

Subset = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Confidence in answers from one set of modalities.

    Attributes
    ----------
    calibration, novelty
        Fitted to held-out cells.
    own
        Probability of the true label of each held-out cell, shape ``(n_held_out,)``.
    codes
        Its label, shape ``(n_held_out,)``.
    """

    calibration: Calibration
    novelty: Novelty
    own: np.ndarray
    codes: np.ndarray

    @classmethod
    def fit(
        cls,
        logits: np.ndarray,
        codes: np.ndarray,
        distances: np.ndarray,
        centres: LabelCentres,
        *,
        allowance: float,
    ) -> Part:
        """Fit to held-out cells.

        Parameters
        ----------
        logits
            Of Students that did not see the cells, shape ``(n_held_out, n_labels)``.
        codes
            True labels, shape ``(n_held_out,)``.
        distances
            To the centres of those Students, shape ``(n_held_out,)``.
        centres
            Of the Student that answers.
        allowance
            As of :class:`~plkd.confidence.Calibration`.
        """
        calibration = fit_calibration(logits, codes, allowance=allowance)
        own = calibration.probabilities(logits)[np.arange(len(codes)), codes]
        return cls(calibration, fit_novelty(centres, distances), own, codes)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays; :meth:`from_arrays` reads them back."""
        return {
            **self.calibration.to_arrays(),
            "whitening": self.novelty.centres.whitening.astype(np.float32),
            "centres": self.novelty.centres.centres.astype(np.float32),
            "distances": self.novelty.knots,
            "tail": np.array([self.novelty.tail]),
            "own": self.own.astype(np.float64),
            "codes": self.codes.astype(np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Part:
        """Read the result of :meth:`to_arrays`."""
        a = {name: np.asarray(value) for name, value in arrays.items()}
        centres = LabelCentres(a["whitening"].astype(np.float64), a["centres"].astype(np.float64))
        return cls(
            Calibration.from_arrays(a), Novelty(centres, a["distances"], float(a["tail"][0])), a["own"], a["codes"]
        )


@dataclass(frozen=True)
class Confidence:
    """Confidence in a Student's answers, by what a cell was measured in.

    Attributes
    ----------
    kinds
        The model's modalities, in order.
    parts
        By set of modalities, its kinds in the order of ``kinds``.
    note
        How the held-out cells were made, in words.
    """

    kinds: Subset
    parts: dict[Subset, Part]
    note: str

    def probabilities(self, logits: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Return calibrated label probabilities, shape ``(n_obs, n_labels)``.

        Parameters
        ----------
        logits
            Shape ``(n_obs, n_labels)``.
        measured
            Whether each cell was measured in each modality, bool, shape ``(n_obs, n_modalities)``.
        """
        found = np.empty(logits.shape, dtype=np.float64)
        for part, rows in self._by_part(measured):
            found[rows] = part.calibration.probabilities(logits[rows])
        return found

    def novelty(self, latent: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, float]:
        """Return each cell's novelty, in [0, 1], and the largest shift that was taken out.

        Parameters
        ----------
        latent
            Shape ``(n_obs, n_latent)``.
        measured
            As in :meth:`probabilities`.
        """
        found, most = np.empty(len(latent)), 1.0
        for part, rows in self._by_part(measured):
            distance = part.novelty.centres.distance(latent[rows])
            shift = part.novelty.shift(distance)
            found[rows], most = part.novelty.score(distance, shift), max(most, shift)
        return found, most

    def prediction_sets(self, probabilities: np.ndarray, measured: np.ndarray, coverage: float) -> np.ndarray:
        """Return which labels belong into each cell's set, bool, shape ``(n_obs, n_labels)``.

        Parameters
        ----------
        probabilities
            Result of :meth:`probabilities`.
        measured
            As in :meth:`probabilities`.
        coverage
            Share of the cells of each label whose set holds it, in (0, 1).
        """
        found = np.empty(probabilities.shape, dtype=bool)
        for part, rows in self._by_part(measured):
            thresholds = set_thresholds(part.own, part.codes, probabilities.shape[1], coverage)
            found[rows] = prediction_sets(probabilities[rows], thresholds)
        return found

    def _by_part(self, measured: np.ndarray) -> list[tuple[Part, np.ndarray]]:
        patterns, which = np.unique(measured, axis=0, return_inverse=True)
        which = which.ravel()
        return [(self._nearest(pattern), np.flatnonzero(which == i)) for i, pattern in enumerate(patterns)]

    def _nearest(self, measured: np.ndarray) -> Part:
        """Return the part of a set of modalities or, where no held-out cell had it, of the set most like it."""
        own = {kind for kind, there in zip(self.kinds, measured, strict=True) if there}
        return self.parts[max(self.parts, key=lambda subset: (-len(own ^ set(subset)), -len(subset)))]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the note as arrays, named by set of modalities and content."""
        return {
            f"{'+'.join(subset)}.{name}": value
            for subset, part in self.parts.items()
            for name, value in part.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, kinds: Sequence[str], arrays: Mapping[str, Any], note: str) -> Confidence:
        """Read the result of :meth:`to_arrays`."""
        parts: dict[Subset, dict[str, np.ndarray]] = {}
        for name, value in arrays.items():
            subset, _, content = name.partition(".")
            parts.setdefault(tuple(subset.split("+")), {})[content] = value
        return cls(tuple(kinds), {subset: Part.from_arrays(own) for subset, own in parts.items()}, note)
