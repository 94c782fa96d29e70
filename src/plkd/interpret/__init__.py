"""What calls rest on: patterns that mark labels, genes behind them, and how far attention and attribution agree."""

from __future__ import annotations

from plkd.interpret._rank import rank_patterns

__all__ = ["rank_patterns"]
