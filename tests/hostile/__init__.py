"""A hostile afternoon: wrong, odd and broken inputs to every public entry."""

from __future__ import annotations

from tests.hostile import commands, files, models, others, patterns, queries, setups

ALL = [case for family in (queries, setups, models, files, patterns, others, commands) for case in family.cases()]
