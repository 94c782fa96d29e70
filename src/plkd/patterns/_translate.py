"""Human genes to those of another species."""

from __future__ import annotations

import logging
from dataclasses import replace

from plkd._arguments import check_type
from plkd.patterns._decoupler import asking, check_organism, with_genes
from plkd.patterns._set import PatternSet

logger = logging.getLogger("plkd")


def translate(patterns: PatternSet, organism: str) -> PatternSet:
    """Replace human genes by their orthologues in another species, through decoupler.

    Orthologues are those that at least three of the resources behind HCOP (Yates 2021, Brief Bioinform 22:bbab155) name;
    genes with more than five are left out. The table of orthologues, some megabytes, is downloaded at each call: keep the
    result, for example with :meth:`PatternSet.to_gmt <plkd.PatternSet.to_gmt>`.

    Parameters
    ----------
    patterns
        Sets of human gene symbols, all of kind ``rna``.
    organism
        The species, such as ``mouse``; an unknown one lists all.

    Returns
    -------
    The sets in their order, without genes that have no orthologue; sets that have none left are left out, which the log
    says. A gene that is the orthologue of several gets the mean of their weights.

    Raises
    ------
    ValueError
        If the species is unknown or human, if patterns are not of genes, or if no gene has an orthologue.
    ImportError, OSError, RuntimeError
        As :func:`collection`.

    Examples
    --------
    >>> sets = PatternSet.from_dict({"T": ["CD3D", "CD3E"]})
    >>> translate(sets, "mouse").to_dict()  # doctest: +SKIP
    {'T': ['Cd3d', 'Cd3e']}
    """
    check_type("patterns", patterns, PatternSet, "a PatternSet, such as plkd.patterns.read(...) returns")
    check_organism(organism)
    if organism == "human":
        raise ValueError("organism='human': the patterns hold human genes already. Fix: pass another species.")
    if set(patterns.kinds) != {"rna"}:
        raise ValueError(
            f"the patterns are of kinds {sorted(set(patterns.kinds))}; only sets of genes, of kind 'rna', can be "
            "translated. Fix: translate the sets of genes, then match them to the other features by for_features."
        )
    with asking("orthologues", "try again with a network.") as op:
        found = op.translate(patterns.to_frame(), columns=["target"], target_organism=organism)
        found = with_genes(found).groupby(["source", "target"], sort=False, as_index=False)["weight"].mean()
    if found.empty:
        raise ValueError(
            f"none of {patterns.n_features:,} genes ({', '.join(patterns.features[:3])}) has an orthologue in {organism}; "
            "expected human gene symbols."
        )
    made = PatternSet.from_frame(found)
    lost = [name for name in patterns.names if name not in made]
    if lost:
        logger.warning("patterns: %d set(s) have no gene in %s: %s", len(lost), organism, ", ".join(lost[:5]))
    sources = dict(zip(patterns.names, patterns.sources, strict=True))
    return replace(made, sources=tuple(f"{sources[name]}; orthologues in {organism}" for name in made.names))
