"""Read the next block while this one is worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items in order; a thread makes the next one meanwhile, and no more than that.

    Errors come out where the item would have. However the loop over it ends, the thread ends with the item it is at.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="plkd-read") as reader:
        upcoming = reader.submit(next, source, _END)
        while (item := upcoming.result()) is not _END:
            upcoming = reader.submit(next, source, _END)
            yield item
