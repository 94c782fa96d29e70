"""A made-up genome: where genes lie, and which peaks lie near them."""

from __future__ import annotations

import numpy as np
import pandas as pd

GENOME = "simulated"
"""What ``uns["genome"]`` says: coordinates fit into the human and the mouse chromosomes, but belong to no build."""
MAX_GENES = 100_000
MAX_PEAKS = 300_000
_N_CHROMOSOMES = 10
_CHROMOSOME_LENGTH = 120_000_000
_LINKED = 0.8
"""Share of the peaks that lie near a gene."""
_MAX_DISTANCE = 50_000
_PROMOTER = 800
"""Base pairs on each side of a gene's start that belong to its first peak."""
_SPACING = 1000
"""Base pairs between the centres of neighbouring peaks, at least; they jitter by a fifth of it, so none overlap."""
_WIDTHS = (200, 600)


def _territory(n_genes: int) -> tuple[int, int]:
    """Return how many genes lie on a chromosome, and how many base pairs each of them has to itself."""
    per_chromosome = -(-n_genes // _N_CHROMOSOMES)
    return per_chromosome, _CHROMOSOME_LENGTH // per_chromosome


def place_genes(names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Put genes on chromosomes, in random order, each in the middle of a stretch of its own.

    Returns
    -------
    Frame indexed by gene: ``chrom``, ``start`` and ``end`` (0-based, ``end`` not included), ``strand``.
    """
    n_genes = len(names)
    per_chromosome, width = _territory(n_genes)
    slot = rng.permutation(n_genes)
    length = np.clip(rng.lognormal(np.log(20_000), 1.0, n_genes), 300, 0.3 * width).astype(np.int64)
    first, last = int(0.35 * width), int(0.65 * width)
    start = slot % per_chromosome * width + first + (rng.random(n_genes) * (last - first - length)).astype(np.int64)
    return pd.DataFrame(
        {
            "chrom": [f"chr{i + 1}" for i in slot // per_chromosome],
            "start": start,
            "end": start + length,
            "strand": np.where(rng.random(n_genes) < 0.5, "+", "-"),
        },
        index=names,
    )


def place_peaks(genes: pd.DataFrame, programme: np.ndarray, n_peaks: int, rng: np.random.Generator) -> pd.DataFrame:
    """Put four of five peaks near genes, the others far from any; a peak near a gene shares its programme.

    Parameters
    ----------
    genes
        What `place_genes` gives.
    programme
        Programme of each gene, -1 for none, shape ``(n_genes,)``.
    n_peaks
        At least as many as there are programmes, so that each has a peak.
    rng
        Says which genes and where.

    Returns
    -------
    Frame in the order of the genome, indexed by ``chrom:start-end``: ``chrom``, ``start``, ``end``, ``gene`` (empty
    where the peak is far from genes) and ``programme`` (-1 for none). Peaks do not overlap. The first peak of each gene
    that has any is centred within 200 base pairs of the gene's start; the others within 50,000 (less in a crowded
    genome, more where a gene has over 100 peaks), and farther from the start of any other gene.
    """
    n_genes = len(genes)
    per_chromosome, width = _territory(n_genes)
    of_programmes = [np.flatnonzero(programme == i)[:1] for i in range(programme.max(initial=-1) + 1)]
    one_each = np.concatenate([*of_programmes, np.empty(0, dtype=np.int64)]).astype(np.int64)
    others = rng.permutation(np.setdiff1d(np.arange(n_genes), one_each))
    n_linked = min(n_peaks, max(len(one_each), round(_LINKED * n_peaks)))

    owner = np.concatenate([one_each, others])[np.arange(n_linked) % n_genes]
    rank, count = _rank_and_count(owner, n_genes)
    # The first peak of a gene is its promoter's; the next ones lie to its left and right in turn.
    pairs = count // 2
    reach = max(min(_MAX_DISTANCE, int(0.15 * width)), _PROMOTER + _SPACING * int(pairs.max(initial=0)))
    step = (reach - _PROMOTER) / np.maximum(pairs, 1)
    jitter = rng.uniform(-0.2, 0.2, n_linked)
    away = np.where(rank == 0, _SPACING * jitter, _PROMOTER + step * ((rank + 1) // 2 - 0.5 + jitter))
    gene_start = np.where(genes["strand"] == "+", genes["start"], genes["end"])[owner]
    linked = gene_start + np.where(rank % 2 == 0, away, -away)

    host = rng.permutation(n_genes)[np.arange(n_peaks - n_linked) % n_genes]
    rank, count = _rank_and_count(host, n_genes)
    stretch = genes["start"].to_numpy()[host] // width * width
    distal = stretch + 0.1 * width / count * (rank + 0.5 + rng.uniform(-0.2, 0.2, len(host)))

    at = np.concatenate([owner, host])
    centre = np.concatenate([linked, distal]).astype(np.int64)
    peak_width = rng.integers(*_WIDTHS, n_peaks, endpoint=True)
    start = np.maximum(centre - peak_width // 2, 0)
    # Chromosomes in the order of their numbers, in which chr10 is not the second.
    number = genes["chrom"].str.removeprefix("chr").astype(int).to_numpy()[at]
    names, is_linked = genes.index.to_numpy(), np.arange(n_peaks) < n_linked
    peaks = pd.DataFrame(
        {
            "chrom": genes["chrom"].to_numpy()[at],
            "start": start,
            "end": start + peak_width,
            "gene": np.where(is_linked, names[at], ""),
            "programme": np.where(is_linked, programme[at], -1),
        }
    ).iloc[np.lexsort((start, number))]
    peaks.index = pd.Index(
        [f"{chrom}:{a}-{b}" for chrom, a, b in zip(peaks["chrom"], peaks["start"], peaks["end"], strict=True)]
    )
    return peaks


def _rank_and_count(owner: np.ndarray, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each peak, how many of its gene's peaks came before it and how many there are."""
    count = np.bincount(owner, minlength=n_genes)[owner]
    # Peaks are dealt round by round, so that a peak's round is its rank.
    rank = np.arange(len(owner)) // n_genes
    return rank, count
