"""Peak names and tables to intervals, and which intervals overlap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.patterns import interval_columns, looks_like_peaks, parse_peaks
from plkd.patterns._peaks import overlapping_pairs

chromosomes = st.sampled_from(["1", "2", "X", "M", "GL000220.1", "Un_KI270742v1"])
intervals = st.tuples(st.sampled_from("12"), st.integers(0, 30), st.integers(1, 12)).map(
    lambda parts: (parts[0], parts[1], parts[1] + parts[2])
)


def as_arrays(rows):
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    return np.asarray(columns[0], dtype=object), *(np.asarray(column, dtype=np.int64) for column in columns[1:])


@given(
    chromosomes,
    st.integers(0, 10**9),
    st.integers(1, 10**6),
    st.sampled_from(["", "chr", "Chr", "CHR"]),
    st.sampled_from([":-", "--", "__", ":_"]),
)
@settings(max_examples=200, deadline=None)
def test_every_form_of_a_name_is_read(chrom, start, width, prefix, separators):
    name = f"{prefix}{chrom}{separators[0]}{start}{separators[1]}{start + width}"
    read = parse_peaks([name])
    assert (read[0][0], read[1][0], read[2][0]) == (chrom, start, start + width)


def test_mitochondrial_chromosome_and_capitals_are_made_alike():
    chrom, _, _ = parse_peaks(["MT:1-2", "chrM:1-2", "chrMT-1-2", "m_1_2", "chrx:1-2"])
    assert chrom.tolist() == ["M", "M", "M", "M", "X"]


@pytest.mark.parametrize("wrong", ["peak_1", "chr1:100", "chr1:200-100", "chr1:100-100", "CD3D", "1:1-99999999999"])
def test_names_that_are_no_intervals_are_named(wrong):
    with pytest.raises(
        ValueError, match=r"1 of 2 peak names are not intervals, such as .*expected chr1:100-200"
    ) as caught:
        parse_peaks(["chr1:1-2", wrong])
    assert repr(wrong) in str(caught.value)


def test_no_names_are_no_peaks():
    assert [len(array) for array in parse_peaks([])] == [0, 0, 0]


@pytest.mark.parametrize(
    "columns", [["chrom", "start", "end"], ["Chromosome", "Start", "End"], ["seqnames", "start", "stop"]]
)
def test_tables_under_their_usual_names(columns):
    table = pd.DataFrame([["chr1", 5, 9], ["MT", 0, 3]], columns=columns, index=["a", "b"])
    chrom, start, end = parse_peaks(table)
    assert (chrom.tolist(), start.tolist(), end.tolist()) == (["1", "M"], [5, 0], [9, 3])


def test_table_with_a_column_of_intervals():
    assert parse_peaks(pd.DataFrame({"interval": ["chr2:5-9"]}))[1].tolist() == [5]


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pd.DataFrame({"chrom": ["1"], "start": [1]}), KeyError, "expected chrom, start and end"),
        (pd.DataFrame({"chrom": ["1"], "start": [5], "end": [5]}, index=["p"]), ValueError, "'p': 1:5-5"),
        (pd.DataFrame({"chrom": ["1"], "start": [5], "end": [None]}, index=["p"]), ValueError, "lacks a position"),
    ],
)
def test_bad_tables_are_refused(table, error, message):
    with pytest.raises(error, match=message):
        parse_peaks(table)


def test_most_names_decide_whether_they_are_peaks():
    assert looks_like_peaks(["chr1:1-2", "chr1:3-4", "odd"])
    assert not looks_like_peaks(["CD3D", "HLA-DRB1", "chr1:1-2"])
    assert not looks_like_peaks([])


@given(st.lists(intervals, max_size=12), st.lists(intervals, max_size=12))
@settings(max_examples=300, deadline=None)
def test_pairs_are_those_of_a_double_loop(one, other):
    expected = {
        (i, j) for i, a in enumerate(one) for j, b in enumerate(other) if a[0] == b[0] and a[1] < b[2] and b[1] < a[2]
    }
    rows, columns = overlapping_pairs(as_arrays(one), as_arrays(other))
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected


@pytest.mark.parametrize(
    ("var", "expected"),
    [
        ({"chr": ["chr1", "X"], "start": [5, 7], "end": [9, 8]}, (["chr", "start", "end"], ["chr1:5-9", "X:7-8"])),
        ({"interval": ["chr1:5-9", "chr2:7-8"], "start": [0, 0]}, (["interval"], ["chr1:5-9", "chr2:7-8"])),
        ({"interval": ["open", "open"]}, None),
        (
            {"chrom": ["chr1", "chr1"], "start": [5.0, 7.0], "end": ["9", "8"]},
            (["chrom", "start", "end"], ["chr1:5-9", "chr1:7-8"]),
        ),
        ({"chrom": ["chr1", "chr1", None], "start": [5.0, np.nan, 1], "end": [9, 8, 2]}, None),
        (
            {"chrom": ["chr1"] * 3, "start": [5.0, np.nan, 1], "end": [9, 8, 2]},
            (["chrom", "start", "end"], ["chr1:5-9", None, "chr1:1-2"]),
        ),
        ({"interval": ["chr1:5-9", None, "chr1:1-2"]}, (["interval"], ["chr1:5-9", None, "chr1:1-2"])),
        ({"chrom": ["chr1", "chr1"], "start": [9, 8], "end": [5, 7]}, None),
        ({"gene": ["a", "b"]}, None),
    ],
)
def test_columns_that_tell_intervals(var, expected):
    found = interval_columns(pd.DataFrame(var))
    assert (found if found is None else (found[0], list(found[1]))) == expected


def test_of_two_columns_of_one_name_the_first_is_taken_and_unusable_ones_are_passed_over():
    var = pd.DataFrame([["chr1", 5, 6, 9], ["chr1", 7, 8, 9]], columns=["chrom", "start", "start", "end"])
    assert list(interval_columns(var)[1]) == ["chr1:5-9", "chr1:7-9"]
    var = pd.DataFrame({"chrom": ["chr1"], "start": ["?"], "end": ["?"], "interval": ["chr1:5-9"]})
    assert interval_columns(var)[0] == ["interval"]
