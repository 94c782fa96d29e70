"""What a method says of the query cells, scored and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotation.scores import accuracy, calibration_error, confusion, macro_f1, weighted_f1

#: Methods that are fitted to the query's counts too; tables list them below the others.
TRANSDUCTIVE = (
    "plkd-adapted",
    "plkd-transductive",
    "plkd-transductive-teacher",
    "scanvi",
    "totalvi+knn",
    "multivi+knn",
    "wnn",
)


@dataclass(frozen=True)
class Prediction:
    """One method's answer for the query of one task fold.

    Attributes
    ----------
    labels
        Predicted labels, in the order of the query cells.
    probabilities
        Cells x labels, or None where the method has none.
    fit_s, predict_s
        Seconds, preparation of the reference and of the query included.
    peak_mib
        Memory at most, where another process does the work; NaN: that of this process, which whoever asks for the answer measures.
    """

    labels: np.ndarray
    probabilities: pd.DataFrame | None
    fit_s: float
    predict_s: float
    peak_mib: float = float("nan")


@dataclass(frozen=True)
class Cells:
    """True and predicted label codes of the query cells, the predicted labels' probabilities (NaN for none), and batch codes."""

    names: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    batch: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, prediction: Prediction, batches: np.ndarray | None = None) -> Cells:
        """Encode a prediction beside the truth; ``batches`` of the query cells, None for a single one."""
        labels = np.asarray(prediction.labels, dtype=str)
        if labels.shape != truth.shape:
            raise ValueError(f"{labels.shape[0]} labels were predicted for {truth.shape[0]} query cells.")
        names, codes = np.unique(np.concatenate([truth, labels]), return_inverse=True)
        if prediction.probabilities is None:
            confidence = np.full(len(truth), np.nan, dtype=np.float32)
        else:
            confidence = prediction.probabilities.to_numpy().max(axis=1).astype(np.float32)
        _, batch = np.unique(np.zeros(len(truth)) if batches is None else batches, return_inverse=True)
        return cls(names, codes[: len(truth)], codes[len(truth) :], confidence, batch)

    @classmethod
    def load(cls, path: Path) -> Cells:
        """Read what ``save`` wrote."""
        with np.load(path) as arrays:
            parts = {k: arrays[k] for k in ("names", "truth", "predicted", "confidence")}
            # Written before batches were kept.
            batch = arrays["batch"] if "batch" in arrays else np.zeros(len(parts["truth"]), dtype=np.int64)
            return cls(**parts, batch=batch)

    def save(self, path: Path) -> None:
        """Write one compressed .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    def confusion(self) -> np.ndarray:
        """Count cells by true and predicted label."""
        return confusion(self.truth, self.predicted, len(self.names))

    def scores(self, parents: Mapping[str, str] | None = None) -> dict[str, float]:
        """Return the scores of this fold; macro averages are over the labels present in the query, or in the batch.

        Parameters
        ----------
        parents
            Coarser labels of some labels, one level up; others are their own.
        """
        matrix = self.confusion()
        of_batches = [
            confusion(self.truth[own], self.predicted[own], len(self.names))
            for own in (self.batch == code for code in np.unique(self.batch))
        ]
        return {
            "accuracy": accuracy(matrix),
            "macro_f1": macro_f1(matrix),
            "weighted_f1": weighted_f1(matrix),
            "accuracy_parents": self.accuracy_of_parents(parents or {}),
            "macro_f1_worst_batch": min(map(macro_f1, of_batches), default=float("nan")),
            "calibration_error": calibration_error(self.confidence, self.truth == self.predicted)
            if np.isfinite(self.confidence).all()
            else float("nan"),
        }

    def accuracy_of_parents(self, parents: Mapping[str, str]) -> float:
        """Return the share of cells whose called label has the parent of the true one, or is it."""
        own = np.array([parents.get(name, name) for name in self.names])
        return float(np.mean(own[self.truth] == own[self.predicted]))


def cells_path(results: Path, task: str, fold: str, method: str, seed: int) -> Path:
    """Where the single cells of one row of a results file lie: a folder beside it."""
    fold = fold.replace("->", "_to_").replace("/", "_")
    return results.with_suffix("") / task / f"{fold}__{method}__{seed}.npz"
