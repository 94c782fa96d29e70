"""Recognise why names of patterns and of data do not meet: Ensembl against symbols, or letter case."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ENSEMBL = re.compile(r"^(ENS[A-Z]{0,4})G\d{11}(\.\d+)?$")
FEW = 0.05
"""Below this share of names met, the two sides do not speak the same language."""


def mismatch(wanted: Sequence[str], available: Sequence[str], *, n_found: int, argument: str) -> str | None:
    """Explain why few of the wanted names are available, where the reason can be recognised.

    Parameters
    ----------
    wanted
        Feature names of the patterns.
    available
        Names of the data that they were matched against.
    n_found
        How many of the wanted names are available as they stand; a remedy must find several times more.
    argument
        What ``available`` is, in the caller's words, for the message.

    Returns
    -------
    Sentences naming the kind of mismatch, examples from both sides and the line that fixes it; None where nothing
    was recognised.
    """
    if not wanted or not available:
        return None
    sides = f"(patterns: {_examples(wanted)}; {argument}: {_examples(available)})"
    in_sets, in_data = _ensembl_prefix(wanted), _ensembl_prefix(available)
    if in_data and not in_sets:
        return (
            f"Ensembl and symbols: the patterns hold gene symbols, {argument} hold Ensembl identifiers {sides}. "
            'Pass the symbols, one per feature: genes=adata.var["gene_symbols"].'
        )
    if in_sets and not in_data:
        return (
            f"Ensembl and symbols: the patterns hold Ensembl identifiers, {argument} hold gene symbols {sides}. "
            'Pass the identifiers, one per feature: genes=adata.var["gene_ids"].'
        )
    if in_sets and in_data:
        return _ensembl_mismatch(wanted, available, in_sets, in_data, n_found, argument, sides)
    return _case_mismatch(wanted, available, n_found, argument)


def _ensembl_mismatch(
    wanted: Sequence[str], available: Sequence[str], in_sets: str, in_data: str, n_found: int, argument: str, sides: str
) -> str | None:
    if in_sets != in_data:
        return (
            f"Ensembl identifiers of two species: {in_sets}G in the patterns, {in_data}G in {argument} {sides}. "
            "Use sets of the data's species, or map orthologues and pass them as genes=."
        )
    if _met(_unversioned(wanted), available, n_found):
        return (
            f"Ensembl versions: the patterns' identifiers carry a version suffix, {argument} do not {sides}. "
            "Remove it: {name: [g.split('.')[0] for g in genes] for name, genes in patterns.to_dict().items()}."
        )
    if _met(wanted, _unversioned(available), n_found):
        return (
            f"Ensembl versions: {argument} carry a version suffix, the patterns do not {sides}. "
            'Remove it: genes=adata.var_names.str.split(".").str[0].'
        )
    return None


def _case_mismatch(wanted: Sequence[str], available: Sequence[str], n_found: int, argument: str) -> str | None:
    if not _met([name.upper() for name in wanted], [name.upper() for name in available], n_found):
        return None
    in_sets, in_data = letter_case(wanted), letter_case(available)
    in_sets_by_upper = {name.upper(): name for name in wanted}
    pairs = [(in_sets_by_upper[name.upper()], name) for name in available if name.upper() in in_sets_by_upper]
    differing = [pair for pair in pairs if pair[0] != pair[1]][:3]
    sides = f"({', '.join(f'{ours} in the patterns, {theirs} in the {argument}' for ours, theirs in differing)})"
    if in_sets == "upper":
        species = " Human sets and mouse data?" if in_data == "title" else ""
        return (
            f"letter case: the names differ only by case {sides}.{species} Use sets of the data's species, or match "
            "upper-cased symbols (right only for orthologues of equal name): genes=adata.var_names.str.upper()."
        )
    species = " Mouse sets and human data?" if in_sets == "title" and in_data == "upper" else ""
    return (
        f"letter case: the names differ only by case {sides}.{species} Use sets of the data's species, or rewrite them: "
        "{name: [g.upper() for g in genes] for name, genes in patterns.to_dict().items()}, "
        "with genes=adata.var_names.str.upper() where the data are not upper case."
    )


def _ensembl_prefix(names: Sequence[str]) -> str | None:
    """Species prefix (``ENS``, ``ENSMUS``) where most names are Ensembl genes, otherwise None."""
    hits = [match for match in map(_ENSEMBL.match, names) if match]
    return hits[0].group(1) if 2 * len(hits) > len(names) else None


def _unversioned(names: Sequence[str]) -> list[str]:
    return [name.split(".")[0] for name in names]


def _met(wanted: Sequence[str], available: Sequence[str], n_found: int) -> bool:
    """Whether the rewritten names meet well, and far better than the names as they stand."""
    one, other = set(wanted), set(available)
    return len(one & other) >= max(1.0, FEW * min(len(one), len(other)), 4 * n_found)


def letter_case(names: Sequence[str]) -> str:
    """Return the letter case that most names have: ``upper`` (CD3D), ``title`` (Cd3d), ``lower`` or ``mixed``."""
    for case, test in (("upper", str.isupper), ("title", _is_title), ("lower", str.islower)):
        if 2 * sum(map(test, names)) > len(names):
            return case
    return "mixed"


def _is_title(name: str) -> bool:
    return name[:1].isupper() and name[1:] == name[1:].lower() and name != name.upper()


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:3])
