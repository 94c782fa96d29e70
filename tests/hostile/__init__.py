"""A hostile afternoon: wrong, odd and broken inputs to every public entry."""

from __future__ import annotations

from tests.hostile import files, models, queries, setups

ALL = [case for family in (queries, setups, models, files) for case in family.cases()]
