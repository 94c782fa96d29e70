"""Peaks to the genes near them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from plkd._arguments import check_type, check_whole, names_of
from plkd.patterns._genome import plain_genome, refuse_other_build
from plkd.patterns._peaks import find_column, intervals_of, overlapping_pairs, parse_peaks

logger = logging.getLogger("plkd")

_GENE = ("gene_name", "gene_symbol", "symbol", "gene", "external_gene_name", "hgnc_symbol", "mgi_symbol", "gene_id")
_STRANDS = {"+": 1, "1": 1, "1.0": 1, "-": -1, "-1": -1, "-1.0": -1}


class PeakGenes(dict[str, list[str]]):
    """Hold the genes near each peak: a dict ``{peak: genes}`` that knows its genome build.

    Made by :func:`plkd.patterns.from_peaks` and taken by :meth:`plkd.PatternSet.for_features` as ``genes``.

    Parameters
    ----------
    genes
        The genes near each peak, an empty list where there is none.
    genome
        The build that peaks and genes are on, as it was stated.
    """

    def __init__(self, genes: Mapping[str, list[str]], *, genome: str) -> None:
        super().__init__(genes)
        self.genome = genome

    def __repr__(self) -> str:
        n_near = sum(bool(genes) for genes in self.values())
        n_genes = len({gene for genes in self.values() for gene in genes})
        return f"PeakGenes: {n_near:,} of {len(self):,} peaks near {n_genes:,} genes; genome {self.genome}"


def from_peaks(
    peaks: Iterable[str] | pd.DataFrame,
    genes_table: pd.DataFrame,
    *,
    genome: str,
    upstream: int = 2000,
    downstream: int = 0,
) -> PeakGenes:
    """Find the genes near each peak, so that sets of genes can serve peaks.

    A peak belongs to a gene whose body, extended upstream of its start, it overlaps: the rule of gene activity scores.

    Parameters
    ----------
    peaks
        Names such as ``chr1:100-200`` (``adata.var_names``; see :func:`parse_peaks`), or a table of intervals whose index
        holds the peaks' names (``adata.var``).
    genes_table
        One row per gene (or transcript) with columns ``gene``, ``chrom``, ``start``, ``end`` and ``strand`` under these or
        other usual names, capitals do not matter; without a column of names the index holds them. Of a table with a column
        ``feature`` the rows ``gene`` are used. Rows with missing entries are left out, which the log says.
    genome
        Name of the build that both are on, such as ``"hg38"`` or ``"GRCh38"``. It is stored and checked, never guessed:
        peaks and genes must lie on the chromosomes of hg19, hg38, mm10 or mm39; other builds cannot be checked.
    upstream
        Bases before the start of a gene, on its strand, that still count as the gene.
    downstream
        Bases after the end of a gene that still count as the gene.

    Returns
    -------
    ``{peak: genes}`` for all peaks in their order, with the attribute ``genome``; an empty list where no gene is near.

    Raises
    ------
    KeyError
        If the table of genes lacks a column. ``strand`` is needed unless ``upstream`` equals ``downstream``.
    ValueError
        If peak names are no intervals, peaks or genes do not fit the build, the table names another build (in
        ``attrs["genome"]`` or a column ``genome`` or ``assembly``), a strand is unknown, or no peak is near any gene.

    Notes
    -----
    Intervals are taken as half-open; tables that count from 1 shift genes by one base, which does not matter here.

    Examples
    --------
    >>> rows = [["A", "chr1", 5000, 6000, "+"], ["B", "chr1", 9000, 9500, "-"]]
    >>> genes = pd.DataFrame(rows, columns=["gene", "chrom", "start", "end", "strand"])
    >>> near = from_peaks(["chr1:3500-3600", "chr1:10000-10100", "chr2:1-9"], genes, genome="hg38")
    >>> dict(near), near.genome
    ({'chr1:3500-3600': ['A'], 'chr1:10000-10100': ['B'], 'chr2:1-9': []}, 'hg38')
    """
    if not isinstance(genome, str) or not genome.strip():
        msg = f"genome={genome!r}: expected the name of the build that peaks and genes are on, such as genome='hg38'."
        raise ValueError(msg)
    check_whole("upstream", upstream, 0)
    check_whole("downstream", downstream, 0)
    check_type("genes_table", genes_table, pd.DataFrame, "a DataFrame with columns gene, chrom, start, end and strand")
    _refuse_named_build(genes_table, genome)
    if isinstance(peaks, pd.DataFrame):
        _refuse_named_build(peaks, genome, what="table of peaks")
        names = [str(name) for name in peaks.index]
    else:
        peaks = names = [str(name) for name in names_of("peaks", peaks)]
    intervals = parse_peaks(peaks)
    refuse_other_build(intervals[0], intervals[2], genome, what="peaks")
    symbols, windows = _windows(genes_table, genome, upstream=upstream, downstream=downstream)
    of_peak, of_gene = overlapping_pairs(intervals, windows)
    if not of_peak.size:
        msg = (
            f"none of the {len(names):,} peaks is near any of the {len(symbols):,} genes (chromosomes of the peaks: "
            f"{_some(intervals[0])}; of the genes: {_some(windows[0])}). Pass peaks and genes of one species and build, "
            "with chromosomes named alike."
        )
        raise ValueError(msg)
    order = np.lexsort((of_gene, of_peak))
    near = PeakGenes({name: [] for name in names}, genome=genome)
    for peak, gene in zip(of_peak[order].tolist(), of_gene[order].tolist(), strict=True):
        genes = near[names[peak]]
        if symbols[gene] not in genes:
            genes.append(symbols[gene])
    logger.info("peaks: %r", near)
    return near


def _windows(
    table: pd.DataFrame, genome: str, *, upstream: int, downstream: int
) -> tuple[list[str], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Read the genes' names and their extended intervals."""
    feature = find_column(table, "feature", ("feature",))
    if feature is not None and (table[feature] == "gene").any():
        table = table[table[feature] == "gene"]
    gene = find_column(table, "gene", _GENE)
    columns = {what: find_column(table, what) for what in ("chrom", "start", "end")}
    columns["strand"] = find_column(table, "strand", ("strand",))
    missing = [what for what, column in columns.items() if column is None]
    if upstream == downstream and missing == ["strand"]:
        missing = []
    if missing:
        msg = (
            f"genes_table has no column for {', '.join(missing)}; its columns are {[str(column) for column in table.columns]}. "
            "Rename them to gene, chrom, start, end and strand"
            + (", or pass upstream=0 to do without the strand." if missing == ["strand"] else ".")
        )
        raise KeyError(msg)
    names = table.index.to_series() if gene is None else table[gene]
    used = [column for column in columns.values() if column is not None]
    whole = (table[used].notna().all(axis=1) & names.notna() & (names.astype(str).str.strip() != "")).to_numpy()
    if not whole.all():
        logger.info("genes_table: %d of %d rows lack a name or a position and are left out", (~whole).sum(), len(whole))
        table, names = table[whole], names[whole]
    chrom, start, end = intervals_of(table, used[:3])
    if (end < start).any() or (start < 0).any():
        first = int(np.flatnonzero((end < start) | (start < 0))[0])
        msg = (
            f"genes_table: gene {names.iloc[first]!r} lies from {start[first]} to {end[first]}; expected start <= end, "
            "whatever the strand."
        )
        raise ValueError(msg)
    refuse_other_build(chrom, end, genome, what="genes of genes_table")
    before, after = np.full(len(names), upstream), np.full(len(names), downstream)
    if columns["strand"] is not None and upstream != downstream:
        forward = _forward(table[columns["strand"]])
        before, after = np.where(forward, upstream, downstream), np.where(forward, downstream, upstream)
    # A gene of one base in a table that counts from 1 has start == end.
    return [str(name).strip() for name in names], (
        chrom,
        np.maximum(start - before, 0),
        np.maximum(end, start + 1) + after,
    )


def _forward(strand: pd.Series) -> np.ndarray:
    signs = strand.astype(str).str.strip().map(_STRANDS)
    if signs.isna().any():
        found = strand[signs.isna().to_numpy()]
        msg = (
            f"genes_table: the strand of {len(found):,} genes is {found.iloc[0]!r} or alike; expected + or - (or 1 and -1). "
            "Leave these rows out, or pass upstream=0 to do without the strand."
        )
        raise ValueError(msg)
    return (signs > 0).to_numpy()


def _refuse_named_build(table: pd.DataFrame, genome: str, what: str = "genes_table") -> None:
    named = {str(table.attrs["genome"])} if table.attrs.get("genome") else set()
    column = find_column(table, "genome", ("genome", "assembly"))
    if column is not None:
        named |= {str(name) for name in table[column].dropna().unique()}
    other = sorted(name for name in named if plain_genome(name) != plain_genome(genome))
    if other:
        msg = (
            f"genome={genome!r}, but the {what} says it is on {', '.join(other[:3])}; pass a table on {genome}, or state "
            "the build that both are on."
        )
        raise ValueError(msg)


def _some(chromosomes: np.ndarray) -> str:
    names = sorted(set(chromosomes))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
