"""Files of earlier formats, brought up to the present one hop at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Saved = dict[str, Any]
#: By format number, the function that turns what such a file holds into what the next format holds.
Hops = Mapping[int, Callable[[Saved], Saved]]


def migrate(saved: Saved, hops: Hops, *, to: int, key: str, file: Path) -> Saved:
    """Return what a file holds as the present format would hold it.

    Parameters
    ----------
    saved
        What the file holds; not changed.
    hops
        A function for each format before the present one. It gets a shallow copy; the number is raised here.
    to
        The present format.
    key
        Key of the format number in ``saved``.
    file
        For messages.

    Raises
    ------
    ValueError
        If there is no number, or it is that of a newer version of plkd or of one whose files are no longer read.
    """
    found = saved.get(key)
    if not isinstance(found, int):
        raise ValueError(
            f"{file} has no format number (found {found!r}), so plkd did not write it. Fix: save it again."
        )
    if found > to:
        raise ValueError(f"{file} has format {found}; this plkd reads up to {to}. Fix: update plkd.")
    for number in range(found, to):
        if number not in hops:
            raise ValueError(
                f"{file} has format {found}; this plkd reads {min(hops, default=to)} to {to}. Fix: load it with the plkd "
                "that wrote it and save it with one that reads both."
            )
        saved = {**hops[number](dict(saved)), key: number + 1}
    return saved
