"""A hostile afternoon: wrong, odd and broken inputs to every public entry."""

from __future__ import annotations

from tests.hostile import queries

ALL = [*queries.cases()]
