"""Tests; a package, so that they can share modules and `python -m tests.hostile` finds its own."""

from __future__ import annotations
