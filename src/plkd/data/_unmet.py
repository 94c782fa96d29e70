"""Cells that are named in two ways, and so do not meet between the modalities of a MuData."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

logger = logging.getLogger("plkd")

_BARCODE = re.compile(r"[ACGTN]{10,}")
#: So large a share of the barcodes must be the same: samples share some by chance, one in a hundred or so.
_BARCODE_SHARE = 0.5
#: So large a share of the names must be the others with something added: numbered cells of two samples may look a little so.
_NAME_SHARE = 0.9
_FEWEST = 10
#: So many names are looked at.
_LOOKED_AT = 2000


def say_unmet(names: Mapping[str, pd.Index]) -> None:
    """Warn where cells of one modality are in another under names that are written otherwise.

    Known by their barcodes, or by what is added to all names of one modality before or behind those of the other.

    Parameters
    ----------
    names
        Names of the cells by modality.
    """
    for one, other in combinations(names, 2):
        left, right = _lacking(names[one], names[other]), _lacking(names[other], names[one])
        if min(len(left), len(right)) < _FEWEST:
            continue
        pair = _same_barcode(left, right) or _added(left, right) or _added(right, left, swapped=True)
        if pair is not None:
            logger.warning(
                "Cells seem to be named in two ways, such as %r in %r and %r in %r: they do not meet, and are read as cells of one "
                "modality alone (%d and %d are). Fix: give both the same `obs_names`, and make the MuData anew.",
                pair[0],
                one,
                pair[1],
                other,
                len(left),
                len(right),
            )


def _lacking(names: pd.Index, others: pd.Index) -> list[str]:
    return [str(name) for name in names[~names.isin(others)]]


def _some(names: list[str]) -> list[str]:
    return names[:: -(-len(names) // _LOOKED_AT)]


def _same_barcode(left: list[str], right: list[str]) -> tuple[str, str] | None:
    """Return a pair of names with one barcode, if most of the names of the smaller set have such a pair."""
    if any(_BARCODE.search(names[0]) is None for names in (left, right)):
        return None
    small, large = sorted((left, right), key=len)
    whose = {match[0]: name for name in large if (match := _BARCODE.search(name))}
    found = [(name, whose.get(match[0]) if (match := _BARCODE.search(name)) else None) for name in _some(small)]
    pairs = [(name, met) for name, met in found if met is not None]
    if len(pairs) < _BARCODE_SHARE * len(found):
        return None
    return pairs[0] if small is left else pairs[0][::-1]


def _added(longer: list[str], shorter: list[str], *, swapped: bool = False) -> tuple[str, str] | None:
    """Return a pair of names of which one is the other with something before or behind it, if that is so of most names."""
    within = [name for name in shorter if name in longer[0] and name != longer[0]]
    some, known = _some(longer), set(shorter)
    for name in sorted(within, key=len)[-1:]:
        before, _, behind = longer[0].partition(name)
        plain = [
            text[len(before) : len(text) - len(behind)]
            for text in some
            if text.startswith(before) and text.endswith(behind)
        ]
        if np.sum([one in known for one in plain]) >= _NAME_SHARE * len(some):
            return (name, longer[0]) if swapped else (longer[0], name)
    return None
