"""Names of antibodies to the genes of the proteins they bind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from plkd._arguments import names_of

_GREEK = {"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "κ": "k", "λ": "l"}
_WORDS = re.compile("alpha|beta|gamma|delta|epsilon|zeta|kappa|lambda")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[^0-9a-z]+(?=\d)")
_TAIL = re.compile(
    r"""(?: [_.\-] prot(?:ein)?           # not after a blank: prion protein
          | [\s_.\-]+ (?: total[\s_]?(?:seq)?[\s_\-]?[abcd]? | ts[abcd]\d* | adt | ab | antibody | cite
                          | [abcd]\d{4}      # number of the oligonucleotide
                          | [acgt]{8,} )     # its sequence
          | \s* \| \s* ahs\d+ (?: \s* \| .* )? ) $""",
    re.IGNORECASE | re.VERBOSE,
)
_HEAD = re.compile(r"^(?: (?:adt|ab|prot|protein|cite|anti) [\s_.:\-]+ )", re.IGNORECASE | re.VERBOSE)
_SPECIES = re.compile(r"^(?: (?:human|hu|mouse|ms|mu|rat|rt)+ [\s_.:\-]+ | [hm](?=cd\d) )", re.IGNORECASE | re.VERBOSE)
_CONTROL = re.compile(
    r"isotype|isoytpe|hashtag|^hto|^cmo\d|streptavidin|^(?:biotin|fitc|pe|phycoerythrin|apc|allophycocyanin|histag|ha11|annexinv)$"
    r"|^(?:htk888|mopc\d+|mpc11|rtk\d{4})$|^(?:m|ms|mu|r|rt|rag)?igg(?:1|2|2[abc]|3)[kl]?$|^(?:m|r)igg$"
)
_CONTROL_WORD = re.compile(r"mouse|rat|hamster|rabbit|goat|control|ctrl|iso|^m|^r")
_STRONG = re.compile(r"\s*(?:\||:|;|--|\.\.|\(|\)|,)\s*")
_WEAK = re.compile(r"[\s_.\-/]+")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]+(?:-[A-Z0-9]+)*|CD\d+[a-z]?|[A-Z][a-z]+[a-z0-9]*")
_WHOLE_NAME_ONLY = frozenset({"tcr", "cadherin", "folate", "tnf"})
"""Too general to be recognised as a part of a longer name: TCR Vb3 is not any TCR."""


def protein_genes(names: Iterable[str], *, mouse: bool = False) -> list[list[str]]:
    """Return the genes of the proteins that the antibodies of a CITE-seq panel bind.

    A map that comes with plkd covers the common human panels and some mouse antibodies. Upper and lower case, separators,
    Greek letters, and what panels add to a name (``anti-human``, ``Hu.``, ``ADT_``, ``_TotalSeqB``, ``_PROT``, clones,
    oligonucleotides) do not matter; of several names for one protein (``CD197-CCR7``) the first that is known counts.

    Parameters
    ----------
    names
        Names of antibodies or proteins.
    mouse
        Return mouse symbols instead of human ones: those of the map, otherwise the human symbol in mouse capitals.

    Returns
    -------
    For each name its gene symbols, several where the protein is made by several genes (CD3) or the antibody binds
    several proteins (HLA-ABC). A name that is unknown and looks like a gene symbol is taken as one. Empty for isotype
    controls, hashtags, and what is not recognised.

    Notes
    -----
    For carbohydrates the map names the gene of the enzyme that makes them: FUT4 for CD15, B3GAT1 for CD57. Variants of
    a protein (CD45RA, CD45RO) share its gene.

    Examples
    --------
    >>> protein_genes(["CD3_TotalSeqB", "anti-human CD45RA", "CD197-CCR7", "Mouse-IgG1", "FOXP3"])
    [['CD3D', 'CD3E', 'CD3G'], ['PTPRC'], ['CCR7'], [], ['FOXP3']]
    >>> protein_genes(["CD19", "Ly-6C"], mouse=True)
    [['Cd19'], ['Ly6c1', 'Ly6c2']]
    """
    genes = []
    for name in names_of("names", names):
        plain, protein = _look_up(str(name))
        if protein is not None:
            genes.append(list(protein.mouse if mouse else protein.human))
        else:
            genes.append([] if _is_control(plain) else _as_symbol(plain, mouse=mouse))
    return genes


def plain_protein_name(name: str) -> str:
    """Return the name that antibodies of one protein share, so that panels can be compared.

    Parameters
    ----------
    name
        Name of an antibody or protein.

    Returns
    -------
    The first name that the map of :func:`protein_genes` has for the protein, ``CD279`` for ``PD-1``; for an unknown one
    the name without what panels add to it.

    Examples
    --------
    >>> plain_protein_name("anti-human CD3"), plain_protein_name("PD-1_TotalSeqB"), plain_protein_name("CD45RA-PTPRC")
    ('CD3', 'CD279', 'CD45RA')
    """
    name, protein = _look_up(str(name))
    return protein.name if protein is not None else name


class _Protein(NamedTuple):
    name: str
    human: tuple[str, ...]
    mouse: tuple[str, ...]


@lru_cache(maxsize=1)
def _table() -> dict[str, _Protein]:
    """Read the map, by normalised name; genes that have no entry of their own are names too."""
    rows = []
    table: dict[str, _Protein] = {}
    text = (files("plkd.patterns") / "protein_genes.tsv").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        names, human, *mouse = line.split("\t")
        genes = _genes(human)
        of_mouse = _genes(mouse[0]) if mouse else tuple(gene.capitalize() for gene in genes)
        rows.append(_Protein(names.split("; ")[0], genes, of_mouse))
        table |= {_key(name): rows[-1] for name in names.split("; ")}
    made_by: dict[str, list[_Protein]] = {}
    for row in rows:
        for gene in row.human:
            made_by.setdefault(gene, []).append(row)
    for gene, proteins in made_by.items():
        alone = len(proteins) == 1 and len(proteins[0].human) == 1
        table.setdefault(_key(gene), proteins[0] if alone else _Protein(gene, (gene,), (gene.capitalize(),)))
    return table


def _genes(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _key(text: str) -> str:
    """Lower case, Greek as letters, without separators, except between digits: CD4.1 is not CD41."""
    text = "".join(_GREEK.get(letter, letter) for letter in text.lower())
    text = _WORDS.sub(lambda word: word.group()[0], text)
    return re.sub(r"[^0-9a-z.]|(?<!\d)\.|\.(?!\d)", "", _BETWEEN_DIGITS.sub(".", text))


def _look_up(name: str) -> tuple[str, _Protein | None]:
    """Return the name without what panels add to it, and its entry in the map; None where there is none."""
    table = _table()
    name = _stripped(name.strip(), _TAIL, _HEAD)
    if _key(name) in table:
        return name, table[_key(name)]
    if _is_control(name):
        return name, None
    name = _stripped(name, _HEAD, _SPECIES)
    return name, _first_known([part for part in _STRONG.split(name) if part])


def _stripped(name: str, *patterns: re.Pattern[str]) -> str:
    """Cut off what the patterns match until the name is known or nothing changes; a name is never cut to nothing."""
    before = ""
    while before != name:
        before = name
        for pattern in patterns:
            if _key(name) in _table():
                return name
            name = pattern.sub("", name) or name
    return name


def _is_control(name: str) -> bool:
    squashed = re.sub(r"[^0-9a-z]", "", name.lower())
    return bool(
        _CONTROL.search(squashed) or ("igg" in squashed or "igm" in squashed) and _CONTROL_WORD.search(squashed)
    )


def _first_known(parts: list[str]) -> _Protein | None:
    """Find a known name among the parts of a name: whole parts first, then the longest run of their words."""
    table = _table()
    for part in parts:
        if _key(part) in table:
            return table[_key(part)]
        words = [word for word in _WEAK.split(part) if word]
        for start in range(len(words)):
            for stop in range(len(words), start, -1):
                key = _key("-".join(words[start:stop]))
                if key in table and key not in _WHOLE_NAME_ONLY and len(key) > 2:
                    return table[key]
    return None


def _as_symbol(name: str, *, mouse: bool) -> list[str]:
    """Take an unknown name as a gene symbol where it looks like one; BD's names carry the symbol second."""
    fields = [field.strip() for field in name.split("|")]
    symbol = re.sub(r"[.]\d$", "", fields[1] if len(fields) > 1 else fields[0])
    if not _SYMBOL.fullmatch(symbol):
        return []
    return [symbol.capitalize() if mouse else symbol.upper()]
