"""The scvi-tools module: input scaling, Teacher and Student around one mini-batch format."""

from __future__ import annotations

from plkd.module._module import PLKDModule

__all__ = ["PLKDModule"]
