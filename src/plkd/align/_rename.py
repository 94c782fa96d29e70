"""New names for the features of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def name_map(mapping: Mapping[str, str] | pd.Series) -> dict[str, str]:
    """Return ``{old name: new name}`` as text, without those whose new name is missing or empty.

    Raises
    ------
    TypeError
        If ``mapping`` is neither a dict nor a Series, or gives something else than one name.
    ValueError
        If it gives one feature two names.
    """
    if not isinstance(mapping, Mapping | pd.Series):
        raise TypeError(
            f"The map is a {type(mapping).__name__}; expected a dict or a Series, old name -> new name. "
            'Fix: of a table, `table.set_index("old")["new"]`.'
        )
    new: dict[str, str] = {}
    for old, name in mapping.items():
        if not pd.api.types.is_scalar(name):
            raise TypeError(f"The map gives {str(old)!r} a {type(name).__name__}; expected one name, as text.")
        if pd.isna(name) or not str(name).strip():
            continue
        if new.setdefault(str(old), str(name)) != str(name):
            raise ValueError(
                f"The map gives {str(old)!r} two names, {new[str(old)]!r} and {str(name)!r}; expected one. Fix: choose "
                "one, e.g. `map[~map.index.duplicated()]`."
            )
    return new


def renamed(names: Sequence[str], new_names: Mapping[str, str], *, called: str = "the model") -> tuple[str, ...]:
    """Return names with those in the map exchanged.

    Parameters
    ----------
    names
        Unique names.
    new_names
        Old name to new name; other names stay.
    called
        What messages call the owner of the names.

    Raises
    ------
    ValueError
        If two features would get one name; both are named.
    """
    found = tuple(new_names.get(name, name) for name in names)
    twice = np.flatnonzero(pd.Index(found).duplicated())
    if len(twice):
        clash = found[twice[0]]
        first, second = [name for name, new in zip(names, found, strict=True) if new == clash][:2]
        raise ValueError(
            f"{len(twice)} features of {called} would get a name that another has, e.g. {first!r} and {second!r} would "
            f"both be {clash!r}; expected a name for each. Fix: leave one of them out of the map, or map it to another name."
        )
    return found
