"""New names for features: some, all, none, and those that clash."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd.align import name_map, renamed


def test_names_in_the_map_are_exchanged_and_others_stay_in_their_order():
    assert renamed(["A", "B", "C"], {"B": "b", "x": "y"}) == ("A", "b", "C")


def test_names_may_be_swapped():
    assert renamed(["A", "B"], {"A": "B", "B": "A"}) == ("B", "A")


@pytest.mark.parametrize("new", [{"A": "x", "C": "x"}, {"A": "C"}])
def test_one_name_for_two_features_is_refused_naming_both(new):
    with pytest.raises(ValueError, match=r"1 features of prot .*'A' and 'C' would both be '[xC]'.*Fix:"):
        renamed(["A", "B", "C"], new, called="prot")


@pytest.mark.parametrize(
    "mapping",
    [
        {"A": "a", "B": None, "C": np.nan, "D": " ", "E": 5},
        pd.Series(["a", None, np.nan, "", 5], index=list("ABCDE")),
        pd.Series(["a", "a", 5], index=["A", "A", "E"]),
        pd.Series(["a", "5"], index=["A", "E"], dtype="string"),
        pd.Series(pd.Categorical(["a", "5"]), index=pd.CategoricalIndex(["A", "E"])),
    ],
)
def test_a_map_is_a_dict_or_a_series_and_missing_names_are_none(mapping):
    assert name_map(mapping) == {"A": "a", "E": "5"}


def test_two_names_for_one_feature_are_refused_and_the_fix_works():
    several = pd.Series(["Lyz1", "Lyz2", "Cd3d"], index=["LYZ", "LYZ", "CD3D"])
    with pytest.raises(ValueError, match=r"gives 'LYZ' two names, 'Lyz1' and 'Lyz2'") as caught:
        name_map(several)
    fixed = eval(str(caught.value).split("`")[1], {"map": several})
    assert name_map(fixed) == {"LYZ": "Lyz1", "CD3D": "Cd3d"}


@pytest.mark.parametrize("name", [["a", "b"], np.array([1, 2]), {"a"}])
def test_several_names_for_one_feature_are_refused(name):
    with pytest.raises(TypeError, match=rf"gives 'A' a {type(name).__name__}; expected one name"):
        name_map({"A": name})


@pytest.mark.parametrize("mapping", [[("A", "a")], "A", None, pd.DataFrame({"old": ["A"], "new": ["a"]})])
def test_what_is_no_map_is_refused(mapping):
    with pytest.raises(TypeError, match=r"expected a dict or a Series.*set_index\(\"old\"\)\[\"new\"\]"):
        name_map(mapping)
