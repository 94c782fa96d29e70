"""Patterns: named sets of features, each one biological function.

Reading (`read`, `PatternSet.from_*`), matching to the features of a data set (`PatternSet.for_features`, with a
`CoverageReport`), the bundled collection (`immune`), sets learned from data (`learn`), and joining (`concat`).
"""

from __future__ import annotations

from plkd.patterns._concat import concat
from plkd.patterns._coverage import CoverageReport
from plkd.patterns._immune import immune
from plkd.patterns._learn import learn
from plkd.patterns._read import read
from plkd.patterns._set import PatternSet

__all__ = ["CoverageReport", "PatternSet", "concat", "immune", "learn", "read"]
