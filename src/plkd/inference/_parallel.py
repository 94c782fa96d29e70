"""Work on several mini-batches at once, each in a thread of its own, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

#: More mini-batches at once would hold much memory; further processors help within each.
_MOST_AT_ONCE = 4


def at_once() -> int:
    """Return how many mini-batches are computed at once on a CPU."""
    return min(torch.get_num_threads(), _MOST_AT_ONCE)


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], device: torch.device | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` in order, of as many items at once as torch has threads, at most four.

    Threads that each compute a mini-batch wait for nothing; threads that share one wait for the slowest at each of its
    many small steps, and for long where another process or the thread that reads has its processor.

    Parameters
    ----------
    function
        Called in threads, for different items at once.
    items
        Drawn in the caller's thread, no more of them ahead than are computed at once.
    device
        What computes; other than None or a CPU: one item at a time, in the caller's thread.

    Notes
    -----
    Errors of the function come out where the result would have, of the items before results not given yet. However the loop over it ends, the threads end with the items they are at.
    """
    n_threads, n_workers = torch.get_num_threads(), at_once()
    if n_workers == 1 or (device is not None and device.type != "cpu"):
        yield from map(function, items)
        return
    upcoming: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(
        n_workers,
        thread_name_prefix="plkd-compute",
        initializer=torch.set_num_threads,
        initargs=(n_threads // n_workers,),
    )
    try:
        with pool:
            for item in items:
                upcoming.append(pool.submit(function, item))
                if len(upcoming) > n_workers:
                    yield upcoming.popleft().result()
            while upcoming:
                yield upcoming.popleft().result()
    finally:
        # Threads that start later take over what the last one was told.
        torch.set_num_threads(n_threads)


def numbered(items: Iterable[Any], size: Callable[[Any], int]) -> Iterator[tuple[slice, Any]]:
    """Yield items with the rows that they are of a whole, one item after the other."""
    start = 0
    for item in items:
        stop = start + size(item)
        yield slice(start, stop), item
        start = stop
