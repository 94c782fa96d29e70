"""Refuse labels that cannot be learned, and say how doubtful ones are read."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd.data import as_text, is_writable, obs_column, text_of

logger = logging.getLogger("plkd")

#: How tables write a missing value where it has become text, in small letters.
_MISSING_AS_TEXT = {"nan", "none", "na", "n/a", "<na>", "nat", "null"}


def unlabeled_text(unlabeled_category: Any) -> str:
    """Return the value that marks cells without a label, as labels are compared: as text.

    Raises
    ------
    ValueError
        If it is missing, empty, or several values.
    """
    text = text_of(unlabeled_category) if np.ndim(unlabeled_category) == 0 and pd.notna(unlabeled_category) else ""
    if not text:
        raise ValueError(
            f"unlabeled_category={unlabeled_category!r}; expected one value, neither missing nor empty. Cells whose label is "
            "missing or empty count as unlabelled in any case. Fix: leave it out; where several values mean unlabelled, set "
            "them to missing first."
        )
    return text


def check_labels(
    data: AnnData | MuData,
    labels_key: str,
    unlabeled_category: str,
    measured: Mapping[str, np.ndarray],
    *,
    least: int = 2,
) -> None:
    """Check the labels of a reference.

    Parameters
    ----------
    data
        The reference.
    labels_key
        Column of ``obs``.
    unlabeled_category
        As text.
    measured
        By modality, which cells were measured in it.
    least
        How many labels must be in use: 2, or 1 where a model brings others.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If fewer labels are in use, or files cannot hold a label.
    """
    column = obs_column(data, labels_key, "labels_key")
    labels = as_text(column)
    is_known = (labels != "") & (labels != unlabeled_category)
    counts = Counter(labels[is_known])
    n_known = int(is_known.sum())
    if not counts and least == 1:
        raise ValueError(
            f"obs[{labels_key!r}] holds no label besides {unlabeled_category!r}; expected some to learn. Fix: pass cells without "
            "labels as a query, `model.train(unlabeled=query)`."
        )
    if len(counts) < least:
        raise ValueError(
            f"obs[{labels_key!r}] holds {len(counts)} labels ({_some(map(repr, counts)) or 'none'}) besides "
            f"{unlabeled_category!r}; expected at least 2, since with one there is nothing to tell apart. Fix: name another "
            "column as labels_key, or pass labels_key=None to integrate without labels."
        )
    unwritable = [repr(_short(name)) for name in counts if not is_writable(name)]
    if unwritable:
        raise ValueError(
            f"obs[{labels_key!r}] holds labels that no file can hold: {_some(unwritable)}; expected text without null characters "
            "and halves of characters. Fix: read the column again with its right encoding, or rename these labels."
        )
    _say_how_values_are_read(column, labels, labels_key)
    _say_what_looks_alike(counts, labels_key, unlabeled_category)
    if n_known < 3 * len(counts):
        logger.warning(
            "obs[%r] has %d labels for %d cells, fewer than 3 cells each on average: does it hold cell types?",
            labels_key,
            len(counts),
            n_known,
        )
    few = [f"{_short(name)} ({count})" for name, count in sorted(counts.items()) if count < 3]
    if few:
        logger.warning("Labels with fewer than 3 cells are learned poorly and cannot be validated: %s", _some(few))
    if n_known < len(labels):
        logger.info(
            "%d of %d cells have no label (missing, empty or %r)",
            len(labels) - n_known,
            len(labels),
            unlabeled_category,
        )
    for called, there in measured.items():
        own = sorted(set(labels[is_known & there]))
        if len(own) < 2:
            logger.warning(
                "The labelled cells measured in %r have %d labels (%s); expected at least 2. Cells with no other modality "
                "will be labelled by chance",
                called,
                len(own),
                _some(own) or "none",
            )


def _say_how_values_are_read(column: pd.Series, labels: np.ndarray, key: str) -> None:
    """Warn of values of several types, and of different values that are one label."""
    values = zip(column.astype(object), labels, strict=True)
    # Numbers by their text: 1 and 1.0 are equal to everyone. Text as it was, with its spaces.
    found = {(_type_of(value), str(value) if isinstance(value, str) else text, text) for value, text in values if text}
    types = sorted({kind for kind, _, _ in found})
    if len(types) > 1:
        logger.warning("obs[%r] holds values of several types (%s); labels are compared as text", key, ", ".join(types))
    written = defaultdict(list)
    for kind, value, text in sorted(found):
        written[text].append(repr(_short(value)) if kind == "text" else value)
    merged = [" and ".join(values) for values in written.values() if len(values) > 1]
    if merged:
        logger.warning(
            "Values of obs[%r] that count as one label, since labels are text without spaces around it: %s",
            key,
            _some(merged),
        )


def _say_what_looks_alike(counts: Mapping[str, int], key: str, unlabeled_category: str) -> None:
    """Warn of labels that may be meant as one, or as none."""
    for name in sorted(counts):
        if name != unlabeled_category and _plain(name) == _plain(unlabeled_category):
            logger.warning(
                "%d cells of obs[%r] are labelled %r, which is learned as a type. If they have no label: unlabeled_category=%r",
                counts[name],
                key,
                name,
                name,
            )
    alike = defaultdict(list)
    for name in sorted(counts):
        alike[_plain(name)].append(repr(_short(name)))
    doubtful = [" and ".join(names) for names in alike.values() if len(names) > 1]
    if doubtful:
        logger.warning(
            "Labels of obs[%r] that differ only by case, spaces or the way characters or numbers "
            "are written, and count as different: %s",
            key,
            _some(doubtful),
        )
    missing = [f"{name!r} ({counts[name]} cells)" for name in sorted(counts) if name.casefold() in _MISSING_AS_TEXT]
    if missing:
        logger.warning(
            "Labels of obs[%r] that look like missing values turned into text, and count as labels: %s. If they are none, "
            "set them to missing, or name the value as unlabeled_category",
            key,
            _some(missing),
        )


def _type_of(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "bool"
    return "number" if isinstance(value, Number) else "text" if isinstance(value, str) else type(value).__name__


def _plain(label: str) -> str:
    try:
        return repr(float(label))
    except ValueError:
        visible = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
        return " ".join(visible.casefold().split())


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _some(items: Iterable[str]) -> str:
    items = list(items)
    return ", ".join(items[:10]) + (f" and {len(items) - 10} more" if len(items) > 10 else "")
