"""The report in words."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from plkd.align import AlignmentReport


@pytest.fixture
def report() -> AlignmentReport:
    modalities = pd.DataFrame(
        [("rna", 30, 24, 0.8, "var_names", "24 of 30 ..."), ("prot", 10, 0, 0.0, "", "not in the query")],
        columns=["modality", "n_features", "n_found", "fraction", "names", "found"],
    )
    patterns = pd.DataFrame(
        [("P", "prot", 10, 0, 0.0), ("B", "rna", 4, 1, 0.25), ("T", "rna", 4, 3, 0.75), ("NK", "rna", 5, 5, 1.0)],
        columns=["pattern", "modality", "n_features", "n_found", "fraction"],
    )
    return AlignmentReport(modalities, patterns)


def test_a_modality_that_the_query_lacks_does_not_count(report):
    assert report.fraction == 0.8


def test_reads_as_a_few_lines(report):
    assert str(report).splitlines() == [
        "24 of 30 features found (80%)",
        "  rna: 24 of 30 ...",
        "  prot: not in the query",
        "  3 patterns: median 75% of their features found, 1 with less than half; "
        "least: B (1 of 4), T (3 of 4), NK (5 of 5)",
    ]


def test_is_frozen(report):
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.patterns = None
