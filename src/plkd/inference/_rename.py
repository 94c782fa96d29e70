"""New names for the features of a model and of its patterns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from plkd.align import name_map, renamed
from plkd.data import ModalitySpec
from plkd.patterns import PatternSet

logger = logging.getLogger("plkd")


def rename_features(
    patterns: PatternSet, specs: Sequence[ModalitySpec], mapping: Mapping[str, str] | pd.Series
) -> tuple[PatternSet, tuple[ModalitySpec, ...]]:
    """Return patterns and modalities under new names; the order of the features stays.

    Parameters
    ----------
    patterns
        Over the features of all modalities.
    specs
        The modalities; a name that stands in several is exchanged in each.
    mapping
        Old name to new name. Names that are not in it, or have no new name there, stay.

    Raises
    ------
    TypeError
        If the map is neither a dict nor a Series.
    ValueError
        If it holds no feature of the model, gives one two names, or two features of a modality would get one name.
    """
    new_names = name_map(mapping)
    features = [name for spec in specs for name in spec.features]
    n_known = sum(name in new_names for name in features)
    if not n_known:
        raise ValueError(
            f"None of the map's {len(new_names)} names is a feature of the model; map: {list(new_names)[:3]}, model: "
            f"{features[:3]}. {_fix(set(new_names.values()) & set(features))}"
        )
    logger.info("%d of %d features renamed", n_known, len(features))
    changed = tuple(replace(spec, features=renamed(spec.features, new_names, called=spec.called)) for spec in specs)
    return _of_patterns(patterns, new_names), changed


def _fix(other_way: set[str]) -> str:
    if other_way:
        return "It runs the other way. Fix: `{old: new for new, old in map.items()}`."
    return "Expected the model's names as keys. Fix: look them up in `annotator.features`."


def _of_patterns(patterns: PatternSet, new_names: Mapping[str, str]) -> PatternSet:
    """Rename the rows of the memberships, and add up those that are one feature name in two modalities now."""
    rows, features = pd.factorize(np.array([new_names.get(name, name) for name in patterns.features], dtype=object))
    ones = np.ones(len(rows), dtype=np.float32)
    added = sparse.csr_matrix((ones, (rows, np.arange(len(rows)))), shape=(len(features), len(rows)))
    membership = (added @ patterns.membership).tocsc()
    return replace(patterns, features=tuple(features), membership=membership, report=None)
