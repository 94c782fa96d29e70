"""A hostile afternoon: wrong, odd and broken inputs to every public entry.

``python -m tests.hostile`` throws all of them and prints what came of each entry; the test suite throws some.
"""

from __future__ import annotations

from tests.hostile import commands, files, models, others, patterns, queries, setups
from tests.hostile.world import Case

ALL = [case for family in (queries, setups, models, files, patterns, others, commands) for case in family.cases()]
#: Entries that share their checks with others: of these the suite takes every third case, of each entry other ones.
_SHARED = (
    *(entry for entry in queries.METHODS if entry != "PLKD.predict"),
    "PLKD()",
    "PLKD.train",
    "datasets.simulate",
)


def by_entry(*, all_cases: bool = False) -> dict[str, list[Case]]:
    """Return the cases by entry: those of the suite, or all."""
    found: dict[str, list[Case]] = {}
    for case in ALL:
        found.setdefault(case.entry, []).append(case)
    if all_cases:
        return found
    return {
        entry: cases[number % 3 :: 3] if entry in _SHARED else cases
        for number, (entry, cases) in enumerate(found.items())
    }
