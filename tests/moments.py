"""The moments of writing a file, and what happens to a process in one of them: an error, or SIGKILL."""

from __future__ import annotations

import errno
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import safetensors.torch
import torch

#: Calls by which files and their names come to be and go.
SYSTEM = ("mkdir", "replace", "fsync", "unlink", "rmdir")


class Full(OSError):
    """The disk is full; told from any other error of the test's own."""

    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "No space left on device")


@contextmanager
def struck(number: int, act: Callable[[], None], *, only: str | None = None) -> Iterator[list[str]]:
    """Call ``act`` in place of the ``number``-th call, from 0, that writes; give the list of the calls so far.

    With ``only``, calls of that name are counted, e.g. ``"torch.save"``.

    A call that writes content (torch, safetensors, a file object) leaves some bytes behind when it is struck.
    """
    calls: list[str] = []

    def counted(name: str, original: Callable, half: Callable | None = None) -> Callable:
        def call(*args, **kwargs):
            calls.append(name)
            if only in (None, name) and (len(calls) if only is None else calls.count(only)) - 1 == number:
                if half is not None:
                    half(*args)
                act()
            return original(*args, **kwargs)

        return call

    def half_file(_, place, *args):
        Path(place).write_bytes(b"half")

    with ExitStack() as stack:
        for name in SYSTEM:
            stack.enter_context(mock.patch.object(os, name, counted(name, getattr(os, name))))
        stack.enter_context(mock.patch.object(torch, "save", counted("torch.save", torch.save, half_file)))
        for module in (safetensors.torch, __import__("plkd.train._checkpoint", fromlist=["save_file"])):
            write = counted("save_file", module.save_file, half_file)
            stack.enter_context(mock.patch.object(module, "save_file", write))
        original = Path.write_bytes
        write_bytes = counted("write_bytes", original, lambda path, data: original(path, data[:7]))
        stack.enter_context(mock.patch.object(Path, "write_bytes", write_bytes))
        yield calls


def fail() -> None:
    """Run out of disk."""
    raise Full


def die() -> None:
    """Be killed, as by the system when memory runs out: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(
    work: Callable[[], object], *, killed_after: float | None = None, killed_once: Callable[[], bool] | None = None
) -> int:
    """Do something in a forked process, killed after some seconds or once something is so; return its exit code, -9 if killed."""
    child = os.fork()
    if child == 0:
        # The threads of OpenMP are not forked: torch would wait for them for ever. The alarm ends what waits all the same.
        torch.set_num_threads(1)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(200)
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must never reach pytest
            try:
                traceback.print_exc()
            finally:
                os._exit(1)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    if killed_once is not None:
        ended, status = 0, 0
        try:
            while not ended and not killed_once():
                time.sleep(0.01)
                ended, status = os.waitpid(child, os.WNOHANG)
        finally:
            if not ended:
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)[1]
    else:
        status = os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    assert code != -signal.SIGALRM, "the child waited for ever"
    return code
