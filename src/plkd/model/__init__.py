"""The model class: set up a reference, train, annotate queries, explain, save and load."""

from __future__ import annotations

from plkd.model._plkd import PLKD

__all__ = ["PLKD"]
