"""All that held-out cells say about how far a Student's answers can be trusted, for each set of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plkd.confidence._calibration import Calibration, fit_calibration
from plkd.confidence._novelty import LEAST_SHIFT, LabelCentres, Novelty, fit_novelty
from plkd.confidence._sets import prediction_sets, set_thresholds
from plkd.confidence._surroundings import SIZES, Places, Surroundings, numbers_in

Subset = tuple[str, ...]
#: Stands where a set of modalities stands in the names of the other arrays.
_PROFILES = "profiles"


@dataclass(frozen=True)
class Part:
    """Confidence in answers from one set of modalities.

    Attributes
    ----------
    calibration
        Fitted to held-out cells.
    centres
        Of the labels in the latent space of the Student that answers.
    alone
        Scale of distances of single cells, fitted to held-out cells.
    surrounded
        Scales of distances of cells and their neighbours (:func:`surrounded_distance`) by the number of cells; empty where too
        few cells were held out together.
    own
        Probability of the true label of each held-out cell, shape ``(n_held_out,)``.
    codes
        Its label, shape ``(n_held_out,)``.
    """

    calibration: Calibration
    centres: LabelCentres
    alone: Novelty
    surrounded: dict[int, Novelty]
    own: np.ndarray
    codes: np.ndarray

    @classmethod
    def fit(
        cls,
        logits: np.ndarray,
        codes: np.ndarray,
        distances: np.ndarray,
        surrounded: np.ndarray,
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
        surrounded
            Those of the cells and their neighbours among as many of the cells held out with them as ``SIZES`` says, shape
            ``(n_held_out, n_sizes)``; NaN where there were not so many.
        centres
            Of the Student that answers.
        allowance
            As of :class:`~plkd.confidence.Calibration`.
        """
        calibration = fit_calibration(logits, codes, allowance=allowance)
        own = calibration.probabilities(logits)[np.arange(len(codes)), codes]
        columns = {size: column[~np.isnan(column)] for size, column in zip(SIZES, surrounded.T, strict=True)}
        scales = {size: fit_novelty(known) for size, known in columns.items() if len(known)}
        return cls(calibration, centres, fit_novelty(distances), scales, own, codes)

    def scale_for(self, n_cells: int) -> Novelty:
        """Return the scale of the number of cells most like this one."""
        return self.surrounded[min(self.surrounded, key=lambda size: abs(np.log(size / n_cells)))]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays; :meth:`from_arrays` reads them back."""
        return {
            **self.calibration.to_arrays(),
            "whitening": self.centres.whitening.astype(np.float32),
            "centres": self.centres.centres.astype(np.float32),
            **_named(self.alone, ""),
            **{name: value for size, own in self.surrounded.items() for name, value in _named(own, f"{size}_").items()},
            "own": self.own.astype(np.float64),
            "codes": self.codes.astype(np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Part:
        """Read the result of :meth:`to_arrays`."""
        a = {name: np.asarray(value) for name, value in arrays.items()}
        return cls(
            Calibration.from_arrays(a),
            LabelCentres(a["whitening"].astype(np.float64), a["centres"].astype(np.float64)),
            _read(a, ""),
            {size: _read(a, f"{size}_") for size in SIZES if f"{size}_distances" in a},
            a["own"],
            a["codes"],
        )


def _named(scale: Novelty, prefix: str) -> dict[str, np.ndarray]:
    return {f"{prefix}distances": scale.knots, f"{prefix}tail": np.array([scale.tail])}


def _read(arrays: Mapping[str, np.ndarray], prefix: str) -> Novelty:
    return Novelty(arrays[f"{prefix}distances"], float(arrays[f"{prefix}tail"][0]))


@dataclass(frozen=True)
class Confidence:
    """Confidence in a Student's answers, by what a cell was measured in.

    Attributes
    ----------
    kinds
        The model's modalities, in order.
    parts
        By set of modalities, its kinds in the order of ``kinds``.
    profiles
        By modality the mean scaled values of each label's cells, shape ``(n_labels, n_features)``, float32; empty where novelty
        goes by single cells.
    note
        How the held-out cells were made, in words.
    """

    kinds: Subset
    parts: dict[Subset, Part]
    profiles: dict[str, np.ndarray]
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
        for part, _, rows in self._by_part(measured):
            found[rows] = part.calibration.probabilities(logits[rows])
        return found

    def novelty(
        self, latent: np.ndarray, logits: np.ndarray, measured: np.ndarray, places: Places | None = None
    ) -> tuple[np.ndarray, float]:
        """Return each cell's novelty, in [0, 1], and the largest shift that was taken out.

        Parameters
        ----------
        latent
            Shape ``(n_obs, n_latent)``.
        logits, measured
            As in :meth:`probabilities`.
        places
            Of the cells; None: each cell is judged by itself.
        """
        if places is None:
            return self.novelty_of(self.distances(latent, logits, measured), measured)
        around = self.surroundings(latent, logits, measured, places)
        own = self.numbers(measured, places.sample)
        return self.novelty_of(self.distances(latent, logits, measured, places.cells, around, own), measured)

    def surroundings(
        self, latent: np.ndarray, logits: np.ndarray, measured: np.ndarray, places: Places
    ) -> dict[Subset, Surroundings]:
        """Return for each set of modalities the cells in which neighbours are looked for; sets without are judged by single cells.

        Parameters
        ----------
        latent, logits, measured, places
            As in :meth:`novelty`; of the cells outside of the sample nothing is asked.
        """
        found = {}
        for part, kinds, rows in self._by_part(measured):
            # A part that serves cells of other modalities knows nothing of distances in theirs.
            if part.surrounded and part is self.parts.get(kinds):
                around = places.of(rows, kinds).surroundings(part.centres.distance(latent[rows]), logits[rows])
                if around is not None:
                    found[kinds] = around
        return found

    def numbers(self, measured: np.ndarray, sample: np.ndarray) -> np.ndarray:
        """Return for each cell its number in the sample of its set of modalities, -1 where it is not in it, shape ``(n_obs,)``.

        Parameters
        ----------
        measured
            As in :meth:`probabilities`, of all cells.
        sample
            Of ``Places``.
        """
        found = np.empty(len(sample), dtype=np.int64)
        for _, _, rows in self._by_part(measured):
            found[rows] = numbers_in(sample[rows])
        return found

    def distances(
        self,
        latent: np.ndarray,
        logits: np.ndarray,
        measured: np.ndarray,
        places: Mapping[str, np.ndarray] | None = None,
        surroundings: Mapping[Subset, Surroundings] | None = None,
        own: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return how far each cell lies from the labels, by itself and with its neighbours, shape ``(n_obs, 2)``.

        The second is NaN where cells are judged by themselves. Cells may come in any parts.

        Parameters
        ----------
        latent, logits, measured
            As in :meth:`novelty`.
        places
            By modality where the cells lie, as of ``Places``; needed with ``surroundings``.
        surroundings
            Of :meth:`surroundings`; None: all cells are judged by themselves.
        own
            The cells' :meth:`numbers`; needed with ``surroundings``.
        """
        found = np.full((len(latent), 2), np.nan)
        for part, kinds, rows in self._by_part(measured):
            found[rows, 0] = part.centres.distance(latent[rows])
            if surroundings and kinds in surroundings and places is not None and own is not None:
                cells = np.hstack([places[kind][rows] for kind in kinds])
                found[rows, 1] = surroundings[kinds].distances(found[rows, 0], logits[rows], cells, own[rows])
        return found

    def novelty_of(self, distances: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, float]:
        """Return what :meth:`novelty` does, from the :meth:`distances` of all cells.

        Parameters
        ----------
        distances
            Shape ``(n_obs, 2)``.
        measured
            As in :meth:`probabilities`.
        """
        found, most = np.empty(len(distances)), 1.0
        for part, _, rows in self._by_part(measured):
            (distance, surrounded), scale, least = distances[rows].T, part.alone, 1.0
            if not np.isnan(surrounded).any():
                distance, scale = surrounded, part.scale_for(len(rows))
                least = LEAST_SHIFT if len(rows) > 2 * max(part.surrounded) else 1.0
            shift = scale.shift(distance, least=least)
            found[rows], most = scale.score(distance, shift), max(most, shift)
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
        for part, _, rows in self._by_part(measured):
            thresholds = set_thresholds(part.own, part.codes, probabilities.shape[1], coverage)
            found[rows] = prediction_sets(probabilities[rows], thresholds)
        return found

    def _by_part(self, measured: np.ndarray) -> list[tuple[Part, Subset, np.ndarray]]:
        """Return for each set of modalities that cells have: the part that serves it, the set, and the cells."""
        bits = 1 << np.arange(len(self.kinds))
        codes = measured @ bits
        patterns = np.unique(codes)
        sets = [tuple(kind for kind, bit in zip(self.kinds, bits, strict=True) if own & bit) for own in patterns]
        return [
            (self._nearest(own), own, np.flatnonzero(codes == code)) for code, own in zip(patterns, sets, strict=True)
        ]

    def _nearest(self, kinds: Subset) -> Part:
        """Return the part of a set of modalities or, where no held-out cell had it, of the set most like it."""
        own = set(kinds)
        return self.parts[max(self.parts, key=lambda subset: (-len(own ^ set(subset)), -len(subset)))]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the note as arrays, named by set of modalities and content."""
        of_parts = {
            f"{'+'.join(subset)}.{name}": value
            for subset, part in self.parts.items()
            for name, value in part.to_arrays().items()
        }
        return of_parts | {f"{_PROFILES}.{kind}": profile for kind, profile in self.profiles.items()}

    @classmethod
    def from_arrays(cls, kinds: Sequence[str], arrays: Mapping[str, Any], note: str) -> Confidence:
        """Read the result of :meth:`to_arrays`."""
        parts: dict[Subset, dict[str, np.ndarray]] = {}
        profiles: dict[str, np.ndarray] = {}
        for name, value in arrays.items():
            subset, _, content = name.partition(".")
            if subset == _PROFILES:
                profiles[content] = np.asarray(value)
                continue
            parts.setdefault(tuple(subset.split("+")), {})[content] = value
        return cls(tuple(kinds), {subset: Part.from_arrays(own) for subset, own in parts.items()}, profiles, note)
