"""Several items at once: in order, no more than said, errors where they belong, nothing left behind."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from plkd.inference._parallel import in_parallel, numbered


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def computing():
    return [thread for thread in threading.enumerate() if thread.name.startswith("plkd-compute")]


def fresh_threads():
    """Return how many threads torch has in a thread that starts now."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_results_come_in_order_though_the_first_take_longest(n):
    def slow(i):
        time.sleep(0.01 * (n - i))
        return i * i

    assert list(in_parallel(slow, range(n))) == [i * i for i in range(n)]
    assert not computing()


def test_three_at_once_with_a_processor_each():
    barrier = threading.Barrier(3)

    def meet(_):
        barrier.wait(timeout=10)  # broken unless three are at it together
        return torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    assert list(in_parallel(meet, range(6))) == [(1, False)] * 6
    assert fresh_threads() == 3


def test_many_processors_are_shared_by_four():
    torch.set_num_threads(9)
    barrier = threading.Barrier(4)

    def meet(_):
        barrier.wait(timeout=10)
        return torch.get_num_threads()

    assert list(in_parallel(meet, range(8))) == [2] * 8
    assert torch.get_num_threads() == fresh_threads() == 9
    torch.set_num_threads(3)


@pytest.mark.parametrize(("n_threads", "device"), [(1, None), (3, torch.device("meta"))])
def test_one_processor_or_another_device_needs_no_thread(n_threads, device):
    torch.set_num_threads(n_threads)
    found = list(in_parallel(lambda _: threading.current_thread() is threading.main_thread(), range(3), device))
    torch.set_num_threads(3)
    assert found == [True] * 3


def test_items_are_drawn_no_further_than_needed():
    drawn = []

    def items():
        for i in range(20):
            drawn.append(i)
            yield i

    loop = in_parallel(lambda i: i, items())
    assert next(loop) == 0
    assert len(drawn) <= 5
    loop.close()
    assert not computing()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("by", ["function", "items"])
def test_an_error_comes_where_its_result_would_and_nothing_is_left(error, by):
    def function(i):
        if by == "function" and i == 2:
            raise error("here")
        return i

    def items():
        yield from range(2)
        if by == "items":
            raise error("here")
        yield from range(2, 9)

    found = []

    def collect():
        for value in in_parallel(function, items()):
            found.append(value)

    with pytest.raises(error, match="here"):
        collect()
    assert found == [0, 1][: len(found)]
    assert by == "items" or found == [0, 1]
    assert not computing()
    assert fresh_threads() == 3


def test_rows_of_a_whole():
    assert list(numbered(["ab", "", "c"], len)) == [(slice(0, 2), "ab"), (slice(2, 2), ""), (slice(2, 3), "c")]
