"""Genome builds: their names, the lengths of their chromosomes, and whether intervals fit."""

from __future__ import annotations

import logging
import re

import numpy as np

logger = logging.getLogger("plkd")

_ALIASES = {"grch37": "hg19", "b37": "hg19", "hs37d5": "hg19", "grch38": "hg38", "grcm38": "mm10", "grcm39": "mm39"}

# Chromosomes 1, 2, ..., then X and Y; the mitochondrial one below. From the assembly reports of the Genome Reference Consortium.
_LENGTHS = {
    "hg19": (
        "249250621 243199373 198022430 191154276 180915260 171115067 159138663 146364022 141213431 135534747 135006516 "
        "133851895 115169878 107349540 102531392 90354753 81195210 78077248 59128983 63025520 48129895 51304566 "
        "155270560 59373566"
    ),
    "hg38": (
        "248956422 242193529 198295559 190214555 181538259 170805979 159345973 145138636 138394717 133797422 135086622 "
        "133275309 114364328 107043718 101991189 90338345 83257441 80373285 58617616 64444167 46709983 50818468 "
        "156040895 57227415"
    ),
    "mm10": (
        "195471971 182113224 160039680 156508116 151834684 149736546 145441459 129401213 124595110 130694993 122082543 "
        "120129022 120421639 124902244 104043685 98207768 94987271 90702639 61431566 171031299 91744698"
    ),
    "mm39": (
        "195154279 181755017 159745316 156860686 151758149 149588044 144995196 130127694 124359700 130530862 121973369 "
        "120092757 120883175 125139656 104073951 98008968 95294699 90720763 61420004 169476592 91455967"
    ),
}
# hg19 has UCSC's mitochondrial sequence, two bases longer than that of GRCh37.
_MITOCHONDRIAL = {"hg19": 16571, "hg38": 16569, "mm10": 16299, "mm39": 16299}


def plain_genome(name: str) -> str:
    """Return UCSC's name of a build where it is known under several (GRCh38.p14 is hg38), otherwise the name in lower case."""
    plain = re.sub(r"\.p\d+$", "", str(name).strip().lower())
    return _ALIASES.get(plain, plain)


def chromosome_lengths(genome: str) -> dict[str, int] | None:
    """Return the lengths in bases of a build's chromosomes, named without ``chr``; None for an unknown build."""
    if plain_genome(genome) not in _LENGTHS:
        return None
    build = plain_genome(genome)
    lengths = [int(length) for length in _LENGTHS[build].split()]
    names = [str(number) for number in range(1, len(lengths) - 1)] + ["X", "Y"]
    return dict(zip(names, lengths, strict=True)) | {"M": _MITOCHONDRIAL[build]}


def refuse_other_build(chrom: np.ndarray, end: np.ndarray, genome: str, *, what: str) -> None:
    """Raise where intervals lie past the end of a chromosome of the stated build, or on a chromosome that it lacks.

    Parameters
    ----------
    chrom, end
        Plain names of chromosomes and the ends of the intervals.
    genome
        The stated build; of unknown ones, and of scaffolds, nothing is known, which the log says.
    what
        What the intervals are, for the message.
    """
    lengths = chromosome_lengths(genome)
    if lengths is None:
        logger.info("genome=%r: no chromosome lengths are known for it, so the %s were not checked", genome, what)
        return
    outside = np.flatnonzero(_outside(chrom, end, lengths))
    if not outside.size:
        return
    first = outside[np.argmax(end[outside])]
    if chrom[first] in lengths:
        reason = f"chromosome {chrom[first]} of {genome} has {lengths[chrom[first]]:,} bases, but one of them ends at {end[first]:,}"
    else:
        reason = f"{genome} has no chromosome {chrom[first]}"
    fitting = [build for build in _LENGTHS if not _outside(chrom, end, chromosome_lengths(build) or {}).any()]
    advice = f"They would fit {' and '.join(fitting)}" if fitting else "They fit none of " + ", ".join(_LENGTHS)
    msg = (
        f"{outside.size:,} of {chrom.size:,} {what} do not lie on genome={genome!r}: {reason}. {advice}; state the build "
        "that peaks and genes are both on, and lift one of them over where they differ."
    )
    raise ValueError(msg)


def _outside(chrom: np.ndarray, end: np.ndarray, lengths: dict[str, int]) -> np.ndarray:
    # A number that the build does not have is a chromosome of another species; other unknown names are scaffolds.
    length = {name: lengths.get(name, 0 if str(name).isdigit() else np.inf) for name in set(chrom)}
    return end > np.asarray([length[name] for name in chrom], dtype=np.float64)
