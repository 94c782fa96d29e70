"""Reading ahead: the same items, one ahead, errors where they belong, no thread left."""

from __future__ import annotations

import threading

import pytest

from plkd.data._ahead import read_ahead


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("plkd-read")]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_the_same_items_in_order(n):
    assert list(read_ahead(iter(range(n)))) == list(range(n))
    assert not readers()


def test_one_item_is_made_while_one_is_used_and_no_more():
    second, made = threading.Event(), []

    def items():
        for i in range(4):
            made.append((i, threading.current_thread() is threading.main_thread()))
            if i == 1:
                second.set()
            yield i

    loop = read_ahead(items())
    assert next(loop) == 0
    assert second.wait(5)  # made although nobody asked for it yet
    assert [i for i, _ in made] == [0, 1]
    assert list(loop) == [1, 2, 3]
    assert not any(in_main for _, in_main in made)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_comes_where_its_item_would(error):
    def items():
        yield 1
        yield 2
        raise error("here")

    found = []
    with pytest.raises(error, match="here"):
        found.extend(item for item in _collected(read_ahead(items()), found))
    assert found == [1, 2]
    assert not readers()


def _collected(items, found):
    for item in items:
        found.append(item)
    return
    yield


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_no_thread_is_left_where_the_loop_ends_early(error):
    def use():
        loop = read_ahead(iter(range(10)))
        try:
            for _ in loop:
                raise error
        finally:
            loop.close()

    with pytest.raises(error):
        use()
    assert not readers()
