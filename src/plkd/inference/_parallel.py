"""Work on several mini-batches at once, each in a thread of its own, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, RLock, current_thread
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

#: More mini-batches at once would hold much memory; further processors help within each.
_MOST_AT_ONCE = 4
_NAME = "plkd-compute"


class _Shared:
    """What the calls that work in parallel just now have in common."""

    #: A generator that is collected takes it too, in whatever thread that happens.
    lock = RLock()
    callers = 0
    #: Keeps numpy's products to one thread: another would wait by spinning, on a processor that a worker needs.
    limits: Any = None


def at_once(device: torch.device | None = None) -> int:
    """Return how many mini-batches are computed at once: as many, up to four, as leave least of torch's threads over.

    1 on a device other than a CPU, where mini-batches wait for one another.
    """
    with _Shared.lock:
        n_threads = torch.get_num_threads()
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
    with _workers(n_workers) as pool:
        try:
            for item in items:
                upcoming.append(pool.submit(function, item))
                if len(upcoming) > n_workers:
                    yield upcoming.popleft().result()
            while upcoming:
                yield upcoming.popleft().result()
        finally:
            try:
                # A generator that is forgotten may be collected in a worker, which cannot wait for itself.
                pool.shutdown(wait=not current_thread().name.startswith(_NAME), cancel_futures=True)
            finally:
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
def _workers(n_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool whose threads share torch's threads out; those of numpy's products are one as long as there are such pools.

    Torch keeps a number for each thread, and one that new threads start with, which a thread that is told its number changes too. So all
    workers start at once, and new threads of others start with the caller's number again before anything is computed.
    """
    pool, started = ThreadPoolExecutor(n_workers, thread_name_prefix=_NAME), Barrier(n_workers + 1)

    def start(n_threads: int) -> None:
        torch.get_num_threads()  # a thread that has not asked yet would take the common number later
        torch.set_num_threads(n_threads)
        started.wait()

    with _Shared.lock:
        n_threads = torch.get_num_threads()
        for _ in range(n_workers):
            pool.submit(start, n_threads // n_workers)
        started.wait()
        torch.set_num_threads(n_threads)
        if not _Shared.callers:
            # Of these libraries alone: the end of threadpool_limits would set torch's number too.
            _Shared.limits = ThreadpoolController().select(user_api="blas").limit(limits=1)
        _Shared.callers += 1
    try:
        yield pool
    finally:
        with _Shared.lock:
            _Shared.callers -= 1
            if not _Shared.callers and _Shared.limits is not None:
                _Shared.limits.restore_original_limits()
