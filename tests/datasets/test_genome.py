"""Coordinates that a tool for linking genes and peaks can be tested on."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from plkd.datasets import simulate
from plkd.datasets._genome import place_genes, place_peaks

SIZES = [(60, 150), (2000, 5000), (20_000, 3000), (40, 6000)]
#: Shortest of the first ten chromosomes in GRCh38, GRCm38 and GRCm39, in base pairs, rounded down.
SHORTEST = 124_000_000


@pytest.fixture(scope="module", params=SIZES, ids=lambda sizes: f"{sizes[0]} genes, {sizes[1]} peaks")
def places(request) -> tuple[pd.DataFrame, pd.DataFrame]:
    n_genes, n_peaks = request.param
    rng = np.random.default_rng(0)
    genes = place_genes([f"g{i}" for i in range(n_genes)], rng)
    return genes, place_peaks(genes, np.arange(n_genes) % 10 - 5, n_peaks, rng)


def overlaps(frame: pd.DataFrame) -> int:
    ordered = frame.sort_values(["chrom", "start"])
    follows = ordered["chrom"].to_numpy()[1:] == ordered["chrom"].to_numpy()[:-1]
    return int((follows & (ordered["start"].to_numpy()[1:] < ordered["end"].to_numpy()[:-1])).sum())


def test_intervals_lie_on_chromosomes_and_do_not_overlap(places):
    for frame in places:
        assert frame["chrom"].str.fullmatch(r"chr([1-9]|10)").all()
        assert (frame["start"] >= 0).all()
        assert (frame["end"] > frame["start"]).all()
        assert (frame["end"] < SHORTEST).all()
        assert overlaps(frame) == 0
    assert set(places[0]["strand"]) == {"+", "-"}


def test_peaks_are_named_by_their_interval_in_the_order_of_the_genome(places):
    peaks = places[1]
    assert peaks.index.is_unique
    for name, row in peaks.head(50).iterrows():
        chrom, start, end = re.fullmatch(r"(chr\d+):(\d+)-(\d+)", name).groups()
        assert (chrom, int(start), int(end)) == (row["chrom"], row["start"], row["end"])
    number = peaks["chrom"].str[3:].astype(int)
    assert number.is_monotonic_increasing
    assert peaks.groupby(number)["start"].is_monotonic_increasing.all()
    assert (peaks["end"] - peaks["start"]).between(200, 600).all()


def test_linked_peak_is_nearest_to_the_start_of_its_gene(places):
    genes, peaks = places
    tss = genes["start"].where(genes["strand"] == "+", genes["end"])
    linked = peaks[peaks["gene"] != ""]
    for _, peak in linked.iloc[:: max(1, len(linked) // 200)].iterrows():
        distance = (tss - (peak["start"] + peak["end"]) / 2).abs()[genes["chrom"] == peak["chrom"]]
        assert distance.idxmin() == peak["gene"]


def test_each_gene_with_peaks_has_one_at_its_start(places):
    genes, peaks = places
    tss = genes["start"].where(genes["strand"] == "+", genes["end"])
    linked = peaks[peaks["gene"] != ""]
    distance = ((linked["start"] + linked["end"]) / 2 - tss[linked["gene"]].to_numpy()).abs()
    nearest = distance.groupby(linked["gene"]).agg(lambda values: sorted(values)[:2])
    assert all(found[0] <= 201 for found in nearest)
    assert all(found[1] > 1000 for found in nearest if len(found) > 1)


def test_linked_peak_is_close_and_the_others_are_far():
    mdata = simulate(10, n_genes=500, n_peaks=1000)
    genes, peaks = mdata["rna"].var, mdata["atac"].var
    tss = genes["start"].where(genes["strand"] == "+", genes["end"])
    centre = (peaks["start"] + peaks["end"]) / 2
    linked = peaks["gene"] != ""
    assert (centre[linked] - tss[peaks["gene"][linked]].to_numpy()).abs().max() <= 50_000
    for name, peak in peaks[~linked].iterrows():
        assert (tss - centre[name]).abs()[genes["chrom"] == peak["chrom"]].min() > 200_000


def test_peak_shares_the_programme_of_its_gene_and_each_programme_has_one(places):
    genes, peaks = places
    programme = pd.Series(np.arange(len(genes)) % 10 - 5, index=genes.index)
    programme[programme < 0] = -1
    linked = peaks["gene"] != ""
    assert (peaks["programme"][linked].clip(lower=-1).to_numpy() == programme[peaks["gene"][linked]].to_numpy()).all()
    assert (peaks["programme"][~linked] == -1).all()
    assert set(peaks["programme"]) >= set(range(5))
    assert linked.mean() == pytest.approx(0.8, abs=0.01)


def test_largest_genome_has_no_overlap():
    rng = np.random.default_rng(0)
    genes = place_genes([f"g{i}" for i in range(100_000)], rng)
    peaks = place_peaks(genes, np.full(100_000, -1), 300_000, rng)
    assert overlaps(genes) == overlaps(peaks) == 0
    assert peaks["end"].max() < SHORTEST
