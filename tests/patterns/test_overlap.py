"""Peaks of two data sets by genomic overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.patterns import overlap_map

intervals = st.tuples(st.sampled_from("12"), st.integers(0, 40), st.integers(1, 20))


def named(rows, form="chr{}:{}-{}"):
    return [form.format(chrom, start, start + width) for chrom, start, width in rows]


@given(st.lists(intervals, max_size=10), st.lists(intervals, max_size=10), st.sampled_from([0.01, 0.3, 0.5, 0.75, 1.0]))
@settings(max_examples=300, deadline=None)
def test_agrees_with_a_double_loop(model, query, least):
    expected = np.zeros((len(query), len(model)), dtype=np.float32)
    for i, (chrom_q, start_q, width_q) in enumerate(query):
        for j, (chrom_m, start_m, width_m) in enumerate(model):
            shared = min(start_q + width_q, start_m + width_m) - max(start_q, start_m)
            expected[i, j] = chrom_q == chrom_m and shared > 0 and shared >= least * min(width_q, width_m)
    found = overlap_map(named(model), named(query, "{}_{}_{}"), min_overlap=least)
    assert sparse.issparse(found)
    assert found.format == "csr"
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), expected)


def test_intervals_that_only_touch_do_not_overlap():
    assert overlap_map(["chr1:0-100"], ["chr1:100-200"], min_overlap=0.001).nnz == 0


def test_equal_names_match_also_where_they_are_no_intervals():
    found = overlap_map(["peak_a", "chr1:1-9", "peak_b"], ["peak_b", "chr1:1-9"])
    assert found.toarray().tolist() == [[0, 0, 1], [0, 1, 0]]


def test_one_wide_peak_is_all_the_peaks_in_it():
    assert overlap_map(["chr1:0-1000"], ["chr1:0-10", "chr1:500-510", "chr1:995-1005"]).toarray().ravel().tolist() == [
        1,
        1,
        1,
    ]


def test_far_chromosome_ends_do_not_meet_the_next_chromosome():
    assert overlap_map(["chr1:0-9999999999"], ["chr2:0-5", "chr3:5-6"]).nnz == 0


@pytest.mark.parametrize("least", [0, -0.1, 1.5])
def test_share_out_of_range_is_refused(least):
    with pytest.raises(ValueError, match=f"min_overlap={least}"):
        overlap_map(["chr1:1-2"], ["chr1:1-2"], min_overlap=least)
