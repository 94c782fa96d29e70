"""What a method says of the query cells, scored and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotation.scores import accuracy, calibration_error, confusion, macro_f1, weighted_f1

#: Methods that are fitted to the query's counts too; tables list them below the others.
TRANSDUCTIVE = ("plkd-transductive", "plkd-transductive-teacher", "scanvi")


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
    """

    labels: np.ndarray
    probabilities: pd.DataFrame | None
    fit_s: float
    predict_s: float


@dataclass(frozen=True)
class Cells:
    """True and predicted label codes of the query cells, and the predicted labels' probabilities (NaN for none)."""

    names: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, prediction: Prediction) -> Cells:
        """Encode a prediction beside the truth."""
        labels = np.asarray(prediction.labels, dtype=str)
        if labels.shape != truth.shape:
            raise ValueError(f"{labels.shape[0]} labels were predicted for {truth.shape[0]} query cells.")
        names, codes = np.unique(np.concatenate([truth, labels]), return_inverse=True)
        if prediction.probabilities is None:
            confidence = np.full(len(truth), np.nan, dtype=np.float32)
        else:
            confidence = prediction.probabilities.to_numpy().max(axis=1).astype(np.float32)
        return cls(names, codes[: len(truth)], codes[len(truth) :], confidence)

    @classmethod
    def load(cls, path: Path) -> Cells:
        """Read what ``save`` wrote."""
        with np.load(path) as arrays:
            return cls(**{k: arrays[k] for k in ("names", "truth", "predicted", "confidence")})

    def save(self, path: Path) -> None:
        """Write one compressed .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    def confusion(self) -> np.ndarray:
        """Count cells by true and predicted label."""
        return confusion(self.truth, self.predicted, len(self.names))

    def scores(self) -> dict[str, float]:
        """Return the scores of this fold; the macro average is over the labels present in the query."""
        matrix = self.confusion()
        return {
            "accuracy": accuracy(matrix),
            "macro_f1": macro_f1(matrix),
            "weighted_f1": weighted_f1(matrix),
            "calibration_error": calibration_error(self.confidence, self.truth == self.predicted)
            if np.isfinite(self.confidence).all()
            else float("nan"),
        }


def cells_path(results: Path, task: str, fold: str, method: str, seed: int) -> Path:
    """Where the single cells of one row of a results file lie: a folder beside it."""
    fold = fold.replace("->", "_to_").replace("/", "_")
    return results.with_suffix("") / task / f"{fold}__{method}__{seed}.npz"
