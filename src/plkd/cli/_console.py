"""What the command line says while it works: plkd's log on stderr, nothing of the libraries below."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Annotated, Any, TextIO, cast

import typer

logger = logging.getLogger("plkd")


class _Once(logging.Filter):
    """Lets each message through once: several questions to one query would each say what was found in it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        new = text not in self._said
        self._said.add(text)
        return new


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"warning: {text}" if record.levelno == logging.WARNING else text


@contextmanager
def console() -> Iterator[None]:
    """Show plkd's log on stderr, hide warnings about the inside of libraries; all as before afterwards."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(message)s"))
    handler.addFilter(_Once())
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # else said twice where a library gives the root logger a handler
    try:
        with warnings.catch_warnings():
            for module in (r"lightning\.", r"torch\.", r"scvi\.", r"anndata\.", r"scanpy\.", r"umap\.", r"mudata\."):
                warnings.filterwarnings("ignore", module=module)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Bars:
    """Stands in for stdout: sends progress bars to stderr, drops the lines on why training stopped early.

    scvi-tools prints both; stdout is for results, and plkd's log says how many epochs there were.
    """

    def __init__(self) -> None:
        self._dropping = False

    def write(self, text: str) -> int:
        self._dropping = text.startswith("Monitored metric") or (self._dropping and text == "\n")
        return len(text) if self._dropping else sys.stderr.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide what Lightning and scvi-tools log and print at every run; progress bars stay.

    Both set their loggers up when imported, so they are imported here first.
    """
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "scvi")
    for name in names:
        import_module(name)
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with redirect_stdout(cast("TextIO", _Bars())):
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _set_level(verbose: bool) -> bool:
    if verbose:
        logger.setLevel(logging.DEBUG)
    return verbose


Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_set_level, help="Say more; show where in the code an error arose.")
]
