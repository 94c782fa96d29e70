"""Several items at once: in order, no more than said, errors where they belong, nothing left behind."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from plkd.inference._parallel import at_once, in_parallel, numbered


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        yield
        assert torch.get_num_threads() == fresh_threads() == 3
    finally:
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


@pytest.mark.parametrize(("n_threads", "workers"), [(1, 1), (2, 2), (4, 4), (5, 4), (6, 3), (7, 3), (8, 4), (64, 4)])
def test_as_many_at_once_as_leave_least_threads_over(n_threads, workers):
    torch.set_num_threads(n_threads)
    found, elsewhere = at_once(), at_once(torch.device("meta"))
    torch.set_num_threads(3)
    assert (found, elsewhere) == (workers, 1)


def test_many_processors_are_shared_by_four():
    torch.set_num_threads(8)
    barrier = threading.Barrier(4)

    def meet(_):
        barrier.wait(timeout=10)
        return torch.get_num_threads()

    assert list(in_parallel(meet, range(8))) == [2] * 8
    assert torch.get_num_threads() == fresh_threads() == 8
    torch.set_num_threads(3)


def test_threads_that_start_meanwhile_have_all_of_torch_s():
    """A thread that meets torch first while others work keeps what it finds then for good."""
    at_it, over, found = threading.Event(), threading.Event(), []

    def wait(i):
        at_it.set()
        assert over.wait(10)
        return i

    def second():
        assert at_it.wait(10)
        found.append((torch.get_num_threads(), at_once()))
        found.extend(in_parallel(lambda _: torch.get_num_threads(), range(2)))
        over.set()

    other = threading.Thread(target=second)
    other.start()
    assert list(in_parallel(wait, range(2))) == [0, 1]
    other.join()
    assert found == [(3, 3), 1, 1]


def test_a_number_that_is_set_while_a_generator_is_open_stays():
    loop = in_parallel(lambda i: i, range(9))
    assert next(loop) == 0
    torch.set_num_threads(2)
    loop.close()
    found = torch.get_num_threads(), fresh_threads()
    torch.set_num_threads(3)
    assert found == (2, 2)


def test_numpy_multiplies_in_one_thread_and_as_before_afterwards():
    def of_blas():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = of_blas()
        assert list(in_parallel(lambda _: set(of_blas()), range(2))) == [{1}] * 2
        assert of_blas() == before
    assert 2 in before


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
    assert len(drawn) == 4
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


def test_an_error_ends_what_waits_and_the_items_below():
    started, closed = [], []

    def items():
        try:
            yield from range(20)
        finally:
            closed.append(True)

    def fail(i):
        started.append(i)
        if i == 0:
            raise ValueError("here")
        time.sleep(0.2)
        return i

    with pytest.raises(ValueError, match="here") as kept:
        list(in_parallel(fail, items()))
    # The traceback that is kept here keeps nothing running.
    assert kept.value is not None
    assert closed == [True]
    assert max(started) <= 3
    assert not computing()


def test_stages_one_above_the_other_end_together():
    lower = in_parallel(lambda i: i, range(50))

    def fail(part):
        if part[1] == 5:
            raise ValueError("here")
        return part

    with pytest.raises(ValueError, match="here") as kept:
        list(in_parallel(fail, numbered(lower, lambda _: 1)))
    assert kept.value is not None
    assert not computing()


def test_rows_of_a_whole():
    assert list(numbered(["ab", "", "c"], len)) == [(slice(0, 2), "ab"), (slice(2, 2), ""), (slice(2, 3), "c")]
