from __future__ import annotations

from pathlib import Path

import pytest

from plkd._migrate import migrate

FILE = Path("a.file")
#: Doubling, then adding one: the order of the hops shows in the result.
HOPS = {1: lambda saved: {**saved, "x": 2 * saved["x"]}, 2: lambda saved: {**saved, "x": saved["x"] + 1, "new": None}}


def up(saved, to=3, hops=HOPS):
    return migrate(saved, hops, to=to, key="format", file=FILE)


def test_each_format_takes_the_hops_that_it_lacks_in_their_order():
    assert up({"format": 1, "x": 5}) == {"format": 3, "x": 11, "new": None}
    assert up({"format": 2, "x": 5}) == {"format": 3, "x": 6, "new": None}
    assert up({"format": 1, "x": 5}, to=2) == {"format": 2, "x": 10}


def test_the_present_format_comes_back_as_it_is():
    saved = {"format": 3, "x": 5}
    assert up(saved) is saved


def test_what_was_read_is_not_changed_by_a_hop_that_edits_in_place():
    def edit(saved):
        del saved["x"]
        return saved

    saved = {"format": 1, "x": 5}
    assert up(saved, to=2, hops={1: edit}) == {"format": 2}
    assert saved == {"format": 1, "x": 5}


def test_newer_format_names_both_numbers():
    with pytest.raises(ValueError, match=r"a\.file has format 4; this plkd reads up to 3\. Fix: update plkd"):
        up({"format": 4})


def test_format_whose_hop_is_gone_names_those_that_are_read():
    with pytest.raises(ValueError, match=r"a\.file has format 1; this plkd reads 2 to 3\. Fix: load it with the plkd"):
        up({"format": 1, "x": 5}, hops={2: HOPS[2]})


@pytest.mark.parametrize("saved", [{}, {"format": None}, {"format": "1"}, {"format": 1.0}])
def test_without_a_number_nothing_is_guessed(saved):
    with pytest.raises(ValueError, match="no format number"):
        up(saved)
