"""Match the features of a data set to those of a model: names in, index map and one line of report out.

Every public entry (fit, predict, annotate, latent, attention, Annotator, command line) goes through
:func:`align_features`, by way of :func:`plkd.data.open_query`.
"""

from __future__ import annotations

from plkd.align._align import align_features, holds_panel, likeness, slip
from plkd.align._alignment import Alignment
from plkd.align._constants import ALIKE, COMFORT, FLOOR, PANEL
from plkd.align._rename import name_map, renamed
from plkd.align._report import AlignmentReport

__all__ = [
    "ALIKE",
    "COMFORT",
    "FLOOR",
    "PANEL",
    "Alignment",
    "AlignmentReport",
    "align_features",
    "holds_panel",
    "likeness",
    "name_map",
    "renamed",
    "slip",
]
