"""The bundled collection of human immune lineages and states."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files

from plkd.patterns._set import PatternSet


def immune() -> PatternSet:
    """Return the bundled collection: lineages and states of human blood, as gene symbols.

    Compiled by hand for plkd from widely used markers; each pattern's source cites a paper that supports them.

    Examples
    --------
    >>> sets = immune()
    >>> sets["Mitochondrial"][:2]
    ['MT-ATP6', 'MT-ATP8']
    >>> sets.sources[sets.names.index("Plasmacytoid_DC")]
    'immune: Villani 2017 Science 356:eaah4573'
    """
    with as_file(files("plkd.patterns") / "immune.gmt") as path:
        sets = PatternSet.from_gmt(path)
    sources = tuple(f"immune: {text.removeprefix('plkd immune;').strip()}" for text in sets.sources)
    return replace(sets, sources=sources)
