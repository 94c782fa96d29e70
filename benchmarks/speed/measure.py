"""Times of several things in turn, and peak memory."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def in_turn(things: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each thing, done in turn so that a machine that slows down slows them all; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for repeat in range(repeats + 1):
        for name, thing in things.items():
            start = perf_counter()
            thing()
            if repeat:
                seconds[name].append(perf_counter() - start)
    return seconds


def table(seconds: Mapping[str, list[float]], n_cells: int) -> str:
    """Format a line per thing: median, least and largest seconds, cells per second."""
    width = max(map(len, seconds))
    lines = [f"{'':{width}} {'seconds':>9} {'(min':>8} {'max)':>8} {'cells/s':>11}"]
    for name, values in seconds.items():
        middle = statistics.median(values)
        lines.append(f"{name:{width}} {middle:9.3f} {min(values):8.3f} {max(values):8.3f} {n_cells / middle:11,.0f}")
    return "\n".join(lines)


def ratio(seconds: Mapping[str, list[float]], one: str, other: str) -> float:
    """Return the ratio of two medians."""
    return statistics.median(seconds[one]) / statistics.median(seconds[other])


def peak_mib() -> float:
    """Return the highest resident memory of this process so far, or since ``forget_peak``."""
    if _STATUS.exists():
        # Not getrusage: on Linux a child's begins with what its parent held.
        return int(_STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def forget_peak() -> float:
    """Let ``peak_mib`` begin anew, on Linux; return the memory that is held now, elsewhere its peak so far."""
    with suppress(OSError):
        _FORGET.write_text("5")
    return peak_mib()
