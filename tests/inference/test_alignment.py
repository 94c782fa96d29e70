"""The report counts what annotating finds, pattern by pattern."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from plkd import PatternSet
from plkd.data import ModalitySpec
from plkd.inference import alignment_report
from plkd.patterns import concat

GENES = tuple(f"GENE{i}" for i in range(10))
PROTEINS = ("CD3", "CD4", "CD19", "GENE1")
PEAKS = tuple(f"chr1:{i}000-{i}500" for i in range(1, 5))
SPECS = (
    ModalitySpec("rna", GENES, name="gex"),
    ModalitySpec("protein", PROTEINS, name="adt"),
    ModalitySpec("atac", PEAKS),
)
SETS = {
    "rna": {"first": GENES[:4], "last": GENES[6:], "all": GENES},
    "protein": {"t cells": PROTEINS[:2], "odd": PROTEINS[2:]},
    "atac": {"near": PEAKS[:2], "far": PEAKS[2:]},
}


def patterns(*specs):
    parts = {}
    for spec in specs:
        own = PatternSet.from_dict(SETS[spec.kind])
        parts[spec.kind] = own.for_features(spec.features, kind=spec.kind, min_size=1, max_overlap=1)
    return next(iter(parts.values())) if len(parts) == 1 else concat(**parts)


def table(names, **var):
    return AnnData(np.ones((3, len(names)), dtype="float32"), var=pd.DataFrame(var, index=list(names)))


def report_of(data, specs=SPECS):
    return alignment_report(data, patterns(*specs), specs)


def test_of_one_modality_counts_each_patterns_genes_least_first():
    report = report_of(table(["x", *GENES[8:1:-1]]), SPECS[:1])
    assert report.fraction == 0.7
    assert report.patterns.to_dict("list") == {
        "pattern": ["first", "all", "last"],
        "modality": ["gex"] * 3,
        "n_features": [4, 10, 4],
        "n_found": [2, 7, 3],
        "fraction": [0.5, 0.7, 0.75],
    }
    (row,) = report.modalities.to_dict("records")
    assert row == {
        "modality": "gex",
        "n_features": 10,
        "n_found": 7,
        "fraction": 0.7,
        "names": "var_names",
        "found": "7 of 10 features found (70%), 3 missing and left out of the library size, "
        "1 unknown to the model ignored, reordered",
    }


def test_of_several_modalities_counts_proteins_by_their_names_and_peaks_by_overlap():
    query = MuData(
        {
            "gex": table(GENES[:5]),
            "adt": table(["CD3_TotalSeqB", "GENE1", "CD8"]),
            "atac": table(["1-1100-1400", "1-3450-3650", "1-9000-9500"]),
        }
    )
    report = report_of(query)
    assert report.modalities["n_found"].tolist() == [5, 2, 1]
    assert report.fraction == pytest.approx(8 / 18)
    found = report.patterns.set_index("pattern")["n_found"].to_dict()
    # The gene GENE1 and the protein of that name are counted each in its own modality's patterns.
    assert found == {"first": 4, "last": 0, "all": 5, "t cells": 1, "odd": 1, "near": 1, "far": 0}
    assert report.patterns["fraction"].is_monotonic_increasing


def test_of_a_modality_that_the_query_lacks_is_0_and_does_not_count():
    report = report_of(MuData({"gex": table(GENES)}))
    assert report.fraction == 1
    assert report.modalities["found"].tolist()[1:] == ["not in the query"] * 2
    assert report.modalities["names"].tolist() == ["var_names", "", ""]
    assert set(report.patterns.loc[report.patterns["fraction"] == 0, "modality"]) == {"adt", "atac"}
    assert "least: first (4 of 4)" in str(report)


def test_says_which_column_the_names_are_from():
    report = report_of(table(list("abcdefghij"), symbol=list(GENES)), SPECS[:1])
    assert report.modalities["names"].tolist() == ["var['symbol']"]
    assert "names taken from var['symbol']" in str(report)
    assert report.fraction == 1


def test_does_not_look_at_the_values_nor_change_anything():
    query = table(GENES)
    query.X[0, 0] = np.nan
    before = query.copy()
    assert report_of(query, SPECS[:1]).fraction == 1
    np.testing.assert_array_equal(query.X, before.X)
    assert query.var.equals(before.var)


def test_refuses_what_annotating_refuses():
    with pytest.raises(ValueError, match="Only 1 of the model's 10 features"):
        report_of(table(GENES[:1]), SPECS[:1])
    with pytest.raises(TypeError, match="expected an AnnData or a MuData"):
        report_of(np.ones((2, 2)))
