"""Figures: how good the calls are, what they rest on, how training went, where the cells lie.

Every function draws with matplotlib, returns the Axes and shows nothing. Colours are told apart by colour-blind readers;
where there are many labels, numbers help.
"""

from __future__ import annotations

from plkd.pl._confidence import confidence_histogram
from plkd.pl._confusion import confusion_matrix
from plkd.pl._coverage import pattern_coverage
from plkd.pl._modality import modality_weights
from plkd.pl._novelty import novelty_histogram
from plkd.pl._pattern_umap import pattern_umap
from plkd.pl._patterns import pattern_heatmap
from plkd.pl._ranked import ranked_patterns
from plkd.pl._reliability import reliability
from plkd.pl._training import training_curves
from plkd.pl._umap import umap

__all__ = [
    "confidence_histogram",
    "confusion_matrix",
    "modality_weights",
    "novelty_histogram",
    "pattern_coverage",
    "pattern_heatmap",
    "pattern_umap",
    "ranked_patterns",
    "reliability",
    "training_curves",
    "umap",
]
