"""What a benchmark prints beside its numbers."""

from __future__ import annotations

import logging
import warnings


def quiet(own: logging.Logger | None = None) -> None:
    """Show the messages of a benchmark's own logger alone: no warnings, and nothing of the libraries below an error."""
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "lightning.fabric", "scvi", "scib_metrics", "plkd"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if own is not None:
        own.setLevel(logging.INFO)
