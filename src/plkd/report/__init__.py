"""How good a model's calls are, as frames, as text and as one page."""

from __future__ import annotations

from plkd.report._report import Report

__all__ = ["Report"]
