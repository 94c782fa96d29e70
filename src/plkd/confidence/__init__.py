"""How far answers can be trusted: calibrated probabilities, novelty, prediction sets. Arrays in, arrays out."""

from __future__ import annotations

from plkd.confidence._calibration import Calibration, fit_calibration, fit_temperature, matched_temperature
from plkd.confidence._confidence import Confidence, Part
from plkd.confidence._crossed import crossed_probabilities
from plkd.confidence._doubt import doubtful_labels
from plkd.confidence._novelty import LabelCentres, Novelty, fit_centres, fit_novelty
from plkd.confidence._sets import prediction_sets, set_thresholds
from plkd.confidence._surroundings import SIZES, Places, Surroundings, surrounded_distance

__all__ = [
    "SIZES",
    "Calibration",
    "Confidence",
    "LabelCentres",
    "Novelty",
    "Part",
    "Places",
    "Surroundings",
    "crossed_probabilities",
    "doubtful_labels",
    "fit_calibration",
    "fit_centres",
    "fit_novelty",
    "fit_temperature",
    "matched_temperature",
    "prediction_sets",
    "set_thresholds",
    "surrounded_distance",
]
