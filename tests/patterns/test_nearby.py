"""The genes near each peak."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.patterns import PatternSet, from_peaks

GENES = pd.DataFrame(
    [
        ["FWD", "chr1", 10_000, 20_000, "+"],
        ["REV", "chr1", 50_000, 60_000, "-"],
        ["OTHER", "chr2", 10_000, 20_000, "+"],
    ],
    columns=["gene", "chrom", "start", "end", "strand"],
)


def test_body_and_two_kilobases_upstream_on_the_gene_s_strand():
    near = from_peaks(
        [
            "chr1:7900-8000",  # ends where the promoter of FWD starts
            "chr1:7900-8001",
            "chr1:15000-15100",
            "chr1:20000-20100",  # past the end of FWD
            "chr1:49000-50000",  # past the end of REV, which runs the other way
            "chr1:61999-62500",
            "chr1:62000-62500",
        ],
        GENES,
        genome="hg38",
    )
    assert list(near.values()) == [[], ["FWD"], ["FWD"], [], [], ["REV"], []]
    assert near.genome == "hg38"


def test_reach_is_the_caller_s_choice():
    peaks = ["chr1:1000-1100", "chr1:20500-20600", "chr1:15000-15001"]
    wide = from_peaks(peaks, GENES, genome="hg38", upstream=9000, downstream=600)
    assert list(wide.values()) == [["FWD"], ["FWD"], ["FWD"]]
    body = from_peaks(peaks, GENES.drop(columns="strand"), genome="hg38", upstream=0)
    assert list(body.values()) == [[], [], ["FWD"]]


def test_a_peak_has_all_its_genes_once_and_in_the_order_of_the_table():
    table = pd.concat([GENES, GENES.assign(gene="TWIN"), GENES], ignore_index=True)
    near = from_peaks(["1_15000_15100", "2_15000_55000"], table, genome="GRCh38")
    assert dict(near) == {"1_15000_15100": ["FWD", "TWIN"], "2_15000_55000": ["OTHER", "TWIN"]}


@given(
    st.lists(st.tuples(st.sampled_from("12"), st.integers(0, 90), st.integers(1, 30)), min_size=1, max_size=8),
    st.lists(
        st.tuples(st.sampled_from("12"), st.integers(0, 90), st.integers(1, 30), st.booleans()), min_size=1, max_size=8
    ),
    st.integers(0, 20),
    st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_agrees_with_a_double_loop(peaks, genes, upstream, downstream):
    names = list(dict.fromkeys(f"chr{chrom}:{start}-{start + width}" for chrom, start, width in peaks))
    rows = [[f"G{i}", c, s, s + w, "+" if forward else "-"] for i, (c, s, w, forward) in enumerate(genes)]
    expected: dict[str, list[str]] = {}
    for name in names:
        chrom, position = name[3:].split(":")
        start, end = map(int, position.split("-"))
        expected[name] = []
        for gene, on, first, last, strand in rows:
            before, after = (upstream, downstream) if strand == "+" else (downstream, upstream)
            if on == chrom and start < last + after and first - before < end:
                expected[name].append(gene)
    table = pd.DataFrame(rows, columns=["symbol", "seqnames", "start", "end", "strand"])
    arguments = {"genome": "hg19", "upstream": upstream, "downstream": downstream}
    if not any(expected.values()):
        with pytest.raises(ValueError, match="is near any"):
            from_peaks(names, table, **arguments)
        return
    assert dict(from_peaks(names, table, **arguments)) == expected


@pytest.mark.parametrize(
    "columns",
    [
        ["gene_name", "Chromosome", "Start", "End", "Strand"],
        ["symbol", "seqname", "start", "end", "strand"],
        ["external_gene_name", "chromosome_name", "start_position", "end_position", "strand"],
    ],
)
def test_usual_names_of_columns_and_strands_are_understood(columns):
    table = GENES.assign(strand=[1, -1, 1]).set_axis(columns, axis=1)
    assert from_peaks(["chr1:61000-61100"], table, genome="hg38")["chr1:61000-61100"] == ["REV"]


def test_gene_rows_of_a_gtf_are_used_and_the_index_may_hold_the_names():
    gtf = pd.concat([GENES.assign(Feature="gene"), GENES.assign(Feature="exon", gene="EXON")])
    assert from_peaks(["chr1:15000-15001"], gtf, genome="hg38")["chr1:15000-15001"] == ["FWD"]
    assert from_peaks(["chr1:15000-15001"], GENES.set_index("gene"), genome="hg38")["chr1:15000-15001"] == ["FWD"]


def test_rows_that_lack_an_entry_are_left_out_aloud(caplog):
    table = pd.concat([GENES, GENES.assign(gene=[None, "", "X"], chrom=["chr1", "chr1", None])], ignore_index=True)
    with caplog.at_level("INFO", "plkd"):
        assert from_peaks(["chr1:15000-15001"], table, genome="hg38")["chr1:15000-15001"] == ["FWD"]
    assert "3 of 6 rows lack" in caplog.text


def test_table_of_peaks_is_named_by_its_index():
    peaks = pd.DataFrame({"chrom": ["chr1"], "start": [15_000], "end": [15_100]}, index=["peak_1"])
    assert dict(from_peaks(peaks, GENES, genome="hg38")) == {"peak_1": ["FWD"]}


def test_build_is_required_and_kept():
    with pytest.raises(TypeError, match="genome"):
        from_peaks(["chr1:1-2"], GENES)
    with pytest.raises(ValueError, match="name of the build"):
        from_peaks(["chr1:1-2"], GENES, genome="")
    near = from_peaks(["chr1:15000-15001"], GENES, genome="GRCh38")
    for kept in (near, copy.deepcopy(near), pickle.loads(pickle.dumps(near))):
        assert kept.genome == "GRCh38"
        assert repr(kept) == "PeakGenes: 1 of 1 peaks near 1 genes; genome GRCh38"


@pytest.mark.parametrize(
    ("genome", "peak", "message"),
    [
        ("hg38", "chr1:249000000-249000500", r"1 of 2 peaks do not lie on genome='hg38': chromosome 1 .* fit hg19;"),
        ("GRCh38", "chr1:249000000-249000500", "genome='GRCh38'"),
        ("mm10", "chr22:5000-5100", "mm10 has no chromosome 22.*fit hg19 and hg38"),
        ("mm39", "chr1:195200000-195200100", "ends at 195,200,100.*mm10"),
        ("hg19", "chr1:900000000-900000001", "fit none of hg19, hg38, mm10, mm39"),
    ],
)
def test_peaks_that_do_not_fit_the_build_are_refused(genome, peak, message):
    with pytest.raises(ValueError, match=message):
        from_peaks(["chr1:15000-15001", peak], GENES, genome=genome)


def test_genes_that_do_not_fit_the_build_are_refused():
    table = pd.concat([GENES, GENES.assign(end=248_960_000)], ignore_index=True)
    with pytest.raises(ValueError, match="genes of genes_table do not lie on genome='hg38'"):
        from_peaks(["chr1:15000-15001"], table, genome="hg38")


def test_scaffolds_and_unknown_builds_are_not_checked(caplog):
    scaffold, peak = GENES.assign(chrom="GL000220.1"), "GL000220.1:15000-15001"
    assert from_peaks([peak], scaffold, genome="hg38")[peak] == ["FWD", "OTHER"]
    with caplog.at_level("INFO", "plkd"):
        from_peaks(["chr1:15000-15001", "chr99:1-9999999999"], GENES, genome="danRer11")
    assert "genome='danRer11': no chromosome lengths are known" in caplog.text


def test_table_that_names_another_build_is_refused():
    attributed = GENES.copy()
    attributed.attrs["genome"] = "hg19"
    for table in (attributed, GENES.assign(genome="hg19"), GENES.assign(assembly="GRCh37")):
        with pytest.raises(ValueError, match="genes_table says it is on"):
            from_peaks(["chr1:15000-15001"], table, genome="hg38")
    same = GENES.assign(assembly="GRCh38.p13")
    assert from_peaks(["chr1:15000-15001"], same, genome="hg38")["chr1:15000-15001"] == ["FWD"]


def test_nothing_near_is_an_error_that_shows_the_chromosomes():
    with pytest.raises(
        ValueError, match=r"none of the 1 peaks is near any of the 3 genes \(chromosomes of the peaks: 3"
    ):
        from_peaks(["chr3:1-2"], GENES, genome="hg38")


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (GENES.drop(columns="strand"), KeyError, "no column for strand.*upstream=0"),
        (GENES.drop(columns=["start", "chrom"]), KeyError, "no column for chrom, start"),
        (GENES.assign(strand="."), ValueError, "strand of 3 genes is '.'"),
        (GENES.assign(end=5), ValueError, "gene 'FWD' lies from 10000 to 5"),
    ],
)
def test_bad_tables_of_genes_are_refused(table, error, message):
    with pytest.raises(error, match=message):
        from_peaks(["chr1:15000-15001"], table, genome="hg38")


def test_bad_reach_is_refused():
    with pytest.raises(ValueError, match="upstream=-1"):
        from_peaks(["chr1:15000-15001"], GENES, genome="hg38", upstream=-1)


def test_sets_of_genes_serve_peaks():
    peaks = ["chr1:15000-15001", "chr1:16000-16001", "chr2:15000-15001", "chr5:1-2"]
    near = from_peaks(peaks, GENES, genome="hg38")
    sets = PatternSet.from_dict({"both": ["FWD", "OTHER"], "none": ["REV", "ELSE"]})
    matched = sets.for_features(peaks, kind="atac", genes=near, min_size=2)
    assert matched.to_dict() == {"both": peaks[:3]}
    assert matched.kinds == ("atac",)
    assert matched.report.uncovered == ("chr5:1-2",)
    np.testing.assert_array_equal(matched.report.kept["n_found"], [2])
