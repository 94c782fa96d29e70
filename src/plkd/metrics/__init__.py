"""Scores of probabilities and of prediction sets against true labels.

Every function takes the true labels and a frame cells x labels as ``predict(soft=True)`` returns it. Cells without a
true label are left out; a true label without a column counts as one to which every cell gives probability 0, so that
cells of types that the reference lacks are wrong however they are called.
"""

from __future__ import annotations

from plkd.metrics._brier import brier_score
from plkd.metrics._calibration import calibration_error
from plkd.metrics._coverage import coverage
from plkd.metrics._reliability import reliability

__all__ = ["brier_score", "calibration_error", "coverage", "reliability"]
