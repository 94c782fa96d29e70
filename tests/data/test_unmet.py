"""Cells that are named in two ways are found; cells that are others are not taken for them."""

from __future__ import annotations

from time import perf_counter

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
    assert f"({200 - n_met} and {200 - n_met} are)" in caplog.text
    pair = caplog.text.split("such as ")[1].split("'")
    assert pair[1] in first
    assert pair[5] in second
    assert BARCODES.index(_barcode(pair[1])) == BARCODES.index(_barcode(pair[5]))


def _barcode(name):
    return next(part for part in BARCODES if part in name)


def test_two_samples_may_share_barcodes(caplog):
    """Of 10,000 cells of 737,000 barcodes some are in both samples."""
    first = [f"{code}-1-{sample}" for sample in (0, 1) for code in BARCODES[100 * sample : 100 * sample + 110]]
    second = [f"{code}-{sample}" for sample in (0, 1) for code in BARCODES[100 * sample : 100 * sample + 110]]
    say_unmet({"rna": pd.Index(first), "adt": pd.Index(second)})
    assert caplog.text.count("named in two ways") == 1


@pytest.mark.parametrize(("one", "other"), [("{}", "x{}"), ("{}", "{}_adt"), ("run1.{}", "run1.{}.b")])
def test_what_is_added_to_all_names_does_not_matter(one, other, caplog):
    say_unmet(
        {
            "rna": pd.Index([one.format(f"cell_{i}") for i in range(40)]),
            "adt": pd.Index([other.format(f"cell_{i}") for i in range(39, -1, -1)]),
        }
    )
    assert caplog.text.count("named in two ways") == 1
    pair = caplog.text.split("such as ")[1].split("'")
    assert pair[1].removeprefix("run1.") in pair[5]


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
        ([f"cell_{i:03d}" for i in range(100)], [f"cell_{i:03d}" for i in range(200, 300)]),
        ([f"s1_{i}" for i in range(100)], [f"s2_{i}" for i in range(100)]),
        ([f"{i}-0" for i in range(100)], [f"{i}-1" for i in range(100)]),
        ([str(i) for i in range(100, 200)], [str(i) for i in range(200, 300)]),
        ([f"D1_{i}" for i in range(100)], [f"D1_{i}" for i in range(100, 200)]),
        (
            [f"P1_{row}{i}" for row in "ABCDEFGH" for i in range(12)],
            [f"P2_{row}{i}" for row in "ABCDEFGH" for i in range(12)],
        ),
        ([], BARCODES[:50]),
        (["cell_1", "cell_2", "cell_17"], ["cell_1", "cell_2", "cell_42"]),
        ([f"{BARCODES[i]}-1" for i in range(5)], BARCODES[:5]),
    ],
)
def test_other_cells_are_left_alone(first, second, caplog):
    say_unmet({"rna": pd.Index(first, dtype=object), "adt": pd.Index(second, dtype=object)})
    assert not caplog.text


def test_every_pair_of_modalities_is_looked_at(caplog):
    suffixed = pd.Index([f"{code}-1" for code in BARCODES[:50]])
    say_unmet({"rna": pd.Index(BARCODES[:50]), "prot": pd.Index(BARCODES[:50]), "atac": suffixed})
    assert caplog.text.count("named in two ways") == 2


def test_of_many_names_some_are_looked_at():
    """Work grows with the names, not with their pairs."""
    first, second = (pd.Index([f"{side}{i:06d}" for i in range(500_000)]) for side in "ab")
    start = perf_counter()
    say_unmet({"rna": first, "adt": second})
    assert perf_counter() - start < 10
