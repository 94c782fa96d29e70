"""Cells that are named in two ways, and so do not meet between the modalities of a MuData."""

from __future__ import annotations

import logging
import os.path
import re
from collections.abc import Callable, Mapping
from itertools import combinations

import pandas as pd

logger = logging.getLogger("plkd")

#: So large a share of the cells that one modality alone has must be in the other under another name. Barcodes of two
#: samples meet by chance, and few of them do.
_SHARE = 0.5
_BARCODE = re.compile(r"[ACGTN]{10,}")


def say_unmet(names: Mapping[str, pd.Index]) -> None:
    """Warn where cells of one modality are in another under names that are written otherwise.

    Parameters
    ----------
    names
        Names of the cells by modality.
    """
    for one, other in combinations(names, 2):
        left, right = names[one].difference(names[other]), names[other].difference(names[one])
        for plain in (_without_number, _barcode, _without_what_all_have):
            met = _met(left, right, plain)
            if met is None:
                continue
            n_cells, first, second = met
            logger.warning(
                "%d cells seem to be named in two ways, such as %r in %r and %r in %r: they do not meet, and are read as cells of "
                "one modality alone. Fix: give both the same `obs_names`, and make the MuData anew.",
                n_cells,
                first,
                one,
                second,
                other,
            )
            break


def _met(left: pd.Index, right: pd.Index, plain: Callable[[pd.Index], pd.Index]) -> tuple[int, str, str] | None:
    """Return how many names are the same once they are plain, and a pair of them; None where these are few."""
    if not len(left) or not len(right):
        return None
    plain_left, plain_right = plain(left), plain(right)
    if not plain_left.is_unique or not plain_right.is_unique:
        return None
    both = plain_left.intersection(plain_right)
    if len(both) < _SHARE * min(len(left), len(right)):
        return None
    return len(both), str(left[plain_left.get_loc(both[0])]), str(right[plain_right.get_loc(both[0])])


def _without_number(names: pd.Index) -> pd.Index:
    return pd.Index([re.sub(r"[-_.#:]\d+$", "", str(name)) for name in names], dtype=object)


def _barcode(names: pd.Index) -> pd.Index:
    found = [_BARCODE.search(str(name)) for name in names]
    return pd.Index([match[0] if match else str(name) for match, name in zip(found, names, strict=True)], dtype=object)


def _without_what_all_have(names: pd.Index) -> pd.Index:
    if len(names) < 2:
        return names
    texts = [str(name) for name in names]
    start = len(os.path.commonprefix(texts))
    end = len(os.path.commonprefix([text[start:][::-1] for text in texts]))
    return pd.Index([text[start : len(text) - end] for text in texts], dtype=object)
