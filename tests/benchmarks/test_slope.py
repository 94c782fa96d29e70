"""Slopes of cost between neighbouring sizes."""

from __future__ import annotations

import pytest
from benchmarks.speed.slope import slopes


def test_slopes_join_neighbours_in_cells_and_in_genes():
    # Time grows as cells * genes ** 0.5; sizes in no order.
    sizes = [(1000, 400), (10, 100), (100, 100), (100, 400), (1000, 100), (10, 400)]
    found = slopes({size: size[0] * size[1] ** 0.5 for size in sizes})
    assert {(one, other) for one, other, _ in found} == {
        *(((10, genes), (100, genes)) for genes in (100, 400)),
        *(((100, genes), (1000, genes)) for genes in (100, 400)),
        *(((cells, 100), (cells, 400)) for cells in (10, 100, 1000)),
    }
    assert len(found) == 7
    for one, other, slope in found:
        assert slope == pytest.approx(1.0 if one[1] == other[1] else 0.5)
