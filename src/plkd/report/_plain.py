"""Values as JSON and as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

#: More items of a sequence are counted, not named.
_MOST_NAMED = 8
_NAME_OF_TIME = re.compile("seconds$")


def plain(value: Any) -> Any:
    """Return a value as dicts, lists, texts, numbers, booleans and None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (str, bool, int, type(None))):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (Iterable, np.ndarray, pd.Index)):
        return [plain(each) for each in value]
    return str(value)


def facts(section: Any) -> list[tuple[str, str]]:
    """Return the names and values of a section of ``about`` as text; one without a name where it is a text."""
    if not isinstance(section, Mapping):
        return [("", in_words(section))]
    return [
        (_NAME_OF_TIME.sub("time", str(name)).replace("_", " "), in_words(value, seconds=str(name).endswith("seconds")))
        for name, value in section.items()
    ]


def in_words(value: Any, *, seconds: bool = False) -> str:
    """Return a value as a line of text."""
    value = plain(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {in_words(each, seconds=seconds)}" for key, each in value.items()) or "none"
    if isinstance(value, list):
        named = [in_words(each, seconds=seconds) for each in value[:_MOST_NAMED]]
        more = [f"and {len(value) - _MOST_NAMED:,} more"] if len(value) > _MOST_NAMED else []
        return ", ".join(named + more) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return duration(value) if seconds else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    return "none" if value is None or value == "" else value


def duration(seconds: float) -> str:
    """Return a time in the two largest units it has: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
