"""Neighbours against scikit-learn's and against sorting all distances."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from plkd.confidence._neighbours import nearest

NOBODY = -1


@pytest.mark.parametrize(("n_known", "k"), [(50, 4), (57, 19), (700, 19), (2500, 19), (20, 19)])
@pytest.mark.parametrize("away", [0.0, 30.0])
def test_they_are_those_of_scikit_learn(n_known, k, away):
    rng = np.random.default_rng(n_known)
    known, cells = (away + rng.normal(size=(n, 30)) for n in (n_known, 600))
    apart, which = nearest(cells.astype(np.float32), known.astype(np.float32), k, np.full(600, NOBODY))
    expected, theirs = NearestNeighbors(n_neighbors=k).fit(known).kneighbors(cells)
    np.testing.assert_allclose(np.sqrt(apart), expected, rtol=1e-5)
    assert (which == theirs).mean() > 0.999  # float32 may swap two that are equally far


def test_a_cell_is_not_its_own_neighbour_but_its_double_is():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(60, 5)).astype(np.float32)
    known[1] = known[0]
    apart, which = nearest(known, known, 4, np.arange(60))
    assert not (which == np.arange(60)[:, None]).any()
    assert (which[0, 0], which[1, 0]) == (1, 0)
    np.testing.assert_allclose(apart[:2, 0], 0, atol=1e-6)


def test_of_equally_near_cells_the_first_count():
    # On a line, at whole numbers: 30 cells at each of 0, 1, 2; float32 has no rounding here.
    known = np.repeat(np.array([[0.0], [1.0], [2.0]], dtype=np.float32), 30, axis=0)
    apart, which = nearest(np.array([[1.0], [0.0]], dtype=np.float32), known, 35, np.array([31, NOBODY]))
    assert which[0].tolist() == [30, *range(32, 60), *range(6)]
    assert which[1].tolist() == list(range(35))
    assert apart[0].tolist() == [0.0] * 29 + [1.0] * 6


def test_no_cells_have_no_neighbours():
    known = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    apart, which = nearest(known[:0], known, 4, np.empty(0, dtype=int))
    assert apart.shape == which.shape == (0, 4)
