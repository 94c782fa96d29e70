"""The exported Student: annotates without scvi-tools, Lightning or the Teacher."""

from __future__ import annotations

from plkd.annotator._annotator import Annotator

__all__ = ["Annotator"]
