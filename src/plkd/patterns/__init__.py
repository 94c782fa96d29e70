"""Patterns: named sets of features, each one biological function.

Reading (`read`, `PatternSet.from_*`), matching to the features of a data set (`PatternSet.for_features`, with a
`CoverageReport`), the genes of proteins (`protein_genes`) and of peaks (`from_peaks`), collections by name
(`collection`; bundled: `immune`) and their orthologues (`translate`), sets learned from data (`learn`), and joining (`concat`).
"""

from __future__ import annotations

from plkd.patterns._collections import COLLECTIONS as COLLECTIONS
from plkd.patterns._collections import collection
from plkd.patterns._concat import concat
from plkd.patterns._coverage import CoverageReport
from plkd.patterns._immune import immune
from plkd.patterns._kinds import KIND as KIND
from plkd.patterns._kinds import KINDS as KINDS
from plkd.patterns._learn import learn
from plkd.patterns._nearby import PeakGenes, from_peaks
from plkd.patterns._overlap import overlap_map as overlap_map
from plkd.patterns._peaks import interval_columns as interval_columns
from plkd.patterns._peaks import looks_like_peaks as looks_like_peaks
from plkd.patterns._peaks import parse_peaks
from plkd.patterns._proteins import plain_protein_name as plain_protein_name
from plkd.patterns._proteins import protein_genes
from plkd.patterns._read import read
from plkd.patterns._set import PatternSet
from plkd.patterns._translate import translate

# COLLECTIONS, KIND, KINDS, overlap_map, interval_columns, looks_like_peaks and plain_protein_name serve the other parts of plkd and are not promised to users.
__all__ = [
    "CoverageReport",
    "PatternSet",
    "PeakGenes",
    "collection",
    "concat",
    "from_peaks",
    "immune",
    "learn",
    "parse_peaks",
    "protein_genes",
    "read",
    "translate",
]
