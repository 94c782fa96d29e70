"""The bundled collection of human immune lineages and states."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files

from plkd.patterns._set import PatternSet


def immune() -> PatternSet:
    """Return the bundled collection: 50 lineages and states of human immune cells, as gene symbols.

    Compiled by hand for plkd from widely used markers of blood, bone marrow, lymphoid and other tissues; each pattern's
    source cites a paper that supports them. The genes of receptors and immunoglobulins are missing from some annotations.

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
