"""What decoupler is asked for, in our words where it fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import pandas as pd

from plkd._arguments import check_type

logger = logging.getLogger("plkd")

#: Those of decoupler.op.show_organisms(), and human.
ORGANISMS = (
    *("human", "mouse", "rat", "macaque", "chimpanzee", "dog", "cat", "cattle", "pig", "horse", "opossum", "platypus"),
    *("chicken", "anole_lizard", "xenopus", "zebrafish", "fruitfly", "c.elegans", "s.cerevisiae", "s.pombe"),
)


def check_organism(organism: str) -> None:
    """Refuse a species for which there are no orthologues."""
    check_type("organism", organism, str, "'human', 'mouse', ...")
    if organism not in ORGANISMS:
        raise ValueError(f"organism={organism!r} is unknown. Fix: pass one of {', '.join(map(repr, ORGANISMS))}.")


@contextmanager
def asking(what: str, fix: str) -> Iterator[Any]:
    """Give ``decoupler.op``, and say in our words why something cannot be had from it."""
    try:
        import decoupler
    except ImportError as error:
        msg = f'{what} come through decoupler, which is not installed. Fix: pip install "plkd[decoupler]"'
        raise ImportError(msg) from error
    logger.info("patterns: downloading %s through decoupler", what)
    try:
        yield decoupler.op
    except OSError as error:  # also what requests and urllib raise
        raise OSError(f"{what} could not be downloaded through decoupler ({error}). Fix: {fix}") from error
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        msg = (
            f"decoupler {version('decoupler')} could not make sense of what came for {what} ({error!r}). "
            f"Fix: pip install -U decoupler, or {fix}"
        )
        raise RuntimeError(msg) from error


def with_genes(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows without a gene: HCOP writes a dash where an orthologue has no symbol."""
    return frame[frame["target"] != "-"]
