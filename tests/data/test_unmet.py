"""Cells that are named in two ways are found; cells that are others are not taken for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd.data import say_unmet

RNG = np.random.default_rng(0)
BARCODES = ["".join(RNG.choice(list("ACGT"), 16)) for _ in range(400)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}-1", "{}"),
        ("{}-1", "{}-2"),
        ("s1_{}-1", "s1#{}-1"),
        ("{}_gex", "{}_adt"),
    ],
)
@pytest.mark.parametrize("n_met", [0, 100])
def test_names_written_otherwise_are_found(one, other, n_met, caplog):
    first = BARCODES[:n_met] + [one.format(name) for name in BARCODES[n_met:200]]
    second = BARCODES[:n_met] + [other.format(name) for name in BARCODES[n_met:200]]
    say_unmet({"rna": pd.Index(first), "adt": pd.Index(second[::-1])})
    assert caplog.text.count("named in two ways") == 1
    assert f"{200 - n_met} cells seem" in caplog.text
    pair = caplog.text.split("such as ")[1].split("'")
    assert pair[1] in first
    assert pair[5] in second
    assert BARCODES.index(_barcode(pair[1])) == BARCODES.index(_barcode(pair[5]))


def _barcode(name):
    return next(part for part in BARCODES if part in name)


@pytest.mark.parametrize("names", [{"prefix": "cell_", "other": "x"}, {"prefix": "run1.", "other": "run1_adt."}])
def test_whatever_all_names_begin_with_does_not_matter(names, caplog):
    say_unmet(
        {
            "rna": pd.Index([f"{names['prefix']}{i}" for i in range(40)]),
            "adt": pd.Index([f"{names['other']}{i}" for i in range(40)]),
        }
    )
    assert "40 cells seem" in caplog.text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BARCODES[:100], BARCODES[:100]),
        (BARCODES[:100], BARCODES[100:200]),
        (BARCODES[:100], BARCODES[50:150]),
        (BARCODES[:100], BARCODES[:50]),
        ([f"a_{name}" for name in BARCODES[:100]], [f"b_{name}" for name in BARCODES[95:200]]),
        ([f"cell_{i}" for i in range(40)], [f"cell_{i}" for i in range(40, 80)]),
        ([f"cell_{i}" for i in range(0, 80, 2)], [f"cell_{i}" for i in range(1, 80, 2)]),
        ([], BARCODES[:5]),
        (["a"], ["b"]),
    ],
)
def test_other_cells_are_left_alone(first, second, caplog):
    say_unmet({"rna": pd.Index(first, dtype=object), "adt": pd.Index(second, dtype=object)})
    assert not caplog.text


def test_every_pair_of_modalities_is_looked_at(caplog):
    say_unmet(
        {
            "rna": pd.Index(BARCODES[:50]),
            "prot": pd.Index(BARCODES[:50]),
            "atac": pd.Index([f"{b}-1" for b in BARCODES[:50]]),
        }
    )
    assert caplog.text.count("named in two ways") == 2
