"""The command line: `plkd demo`, `plkd train`, `plkd annotate`, `plkd patterns`."""

from __future__ import annotations

from plkd.cli._app import main

__all__ = ["main"]
