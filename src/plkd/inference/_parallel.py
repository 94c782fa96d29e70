"""Work on several mini-batches at once, each in a thread of its own, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

#: More mini-batches at once would hold much memory; further processors help within each.
_MOST_AT_ONCE = 4


class _Shared:
    """What the calls that share threads out just now have in common."""

    lock = Lock()
    callers = 0
    #: Torch's threads before the first of them.
    n_threads = 1
    #: Keeps numpy's products to one thread: another would wait by spinning, on a processor that a worker needs.
    limits: threadpool_limits | None = None


def at_once(device: torch.device | None = None) -> int:
    """Return how many mini-batches are computed at once: as many, up to four, as leave least of torch's threads over.

    1 on a device other than a CPU, where mini-batches wait for one another.
    """
    n_threads = _Shared.n_threads if _Shared.callers else torch.get_num_threads()
    if n_threads == 1 or (device is not None and device.type != "cpu"):
        return 1
    return max(range(2, _MOST_AT_ONCE + 1), key=lambda n: (n * (n_threads // n), n))


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], device: torch.device | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` in order, of some items at once (:func:`at_once`), each with its share of torch's threads.

    Threads that each compute a mini-batch wait for nothing; threads that share one wait for the slowest at each of its
    many small steps, and for long where another process or the thread that reads has its processor.

    Parameters
    ----------
    function
        Called in threads, for different items at once.
    items
        Drawn in the caller's thread, one more ahead than are computed at once.
    device
        What computes; None: a CPU.

    Notes
    -----
    An error of the function is raised in place of its result; one of the items at once, results not given yet are lost.
    However the loop over it ends, the threads end with the items they are at, and items that can be closed are.
    """
    n_workers, upcoming = at_once(device), deque[Future[Result]]()
    if n_workers == 1:
        try:
            yield from map(function, items)
        finally:
            close(items)
        return
    with _threads_for(n_workers) as each:
        pool = ThreadPoolExecutor(
            n_workers, thread_name_prefix="plkd-compute", initializer=torch.set_num_threads, initargs=(each,)
        )
        try:
            for item in items:
                upcoming.append(pool.submit(function, item))
                if len(upcoming) > n_workers:
                    yield upcoming.popleft().result()
            while upcoming:
                yield upcoming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            close(items)


def numbered(items: Iterable[Any], size: Callable[[Any], int]) -> Iterator[tuple[slice, Any]]:
    """Yield items with the rows that they are of a whole, one item after the other."""
    start = 0
    try:
        for item in items:
            stop = start + size(item)
            yield slice(start, stop), item
            start = stop
    finally:
        close(items)


def close(items: Iterable[Any]) -> None:
    """End a generator now, not when it is forgotten; a traceback would keep it alive."""
    getattr(items, "close", lambda: None)()


@contextmanager
def _threads_for(n_workers: int) -> Iterator[int]:
    """Give the number of torch's threads for each worker, and see that all have what they had before once the workers end.

    Torch keeps a number for each thread and one that new threads start with, which any thread that is told a number changes:
    another call that starts meanwhile must not take it for the user's.
    """
    with _Shared.lock:
        if not _Shared.callers:
            _Shared.n_threads = torch.get_num_threads()
            _Shared.limits = threadpool_limits(1, user_api="blas")
        _Shared.callers += 1
        n_threads = _Shared.n_threads
    try:
        yield n_threads // n_workers
    finally:
        with _Shared.lock:
            _Shared.callers -= 1
            if not _Shared.callers and _Shared.limits is not None:
                _Shared.limits.restore_original_limits()
            torch.set_num_threads(n_threads)
