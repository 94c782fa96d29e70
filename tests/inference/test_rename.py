"""Features of a model and of its patterns under new names."""

from __future__ import annotations

import pandas as pd
import pytest

from plkd import PatternSet
from plkd.data import ModalitySpec
from plkd.inference import membership_by_kind, rename_features
from plkd.patterns import concat

GENES, PROTEINS = ("A", "B", "C"), ("C", "D")
RNA, PROTEIN = ModalitySpec("rna", GENES, layer="counts"), ModalitySpec("protein", PROTEINS)
SETS = {"rna": {"one": ["A", "C"], "two": ["B", "C"]}, "protein": {"both": ["C", "D"], "last": ["D"]}}


def own(spec):
    return PatternSet.from_dict(SETS[spec.kind]).for_features(spec.features, kind=spec.kind, min_size=1, max_overlap=1)


def joint():
    return concat(rna=own(RNA), protein=own(PROTEIN))


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_order_memberships_and_all_else_stay(kind):
    before = own(RNA)
    patterns, (spec,) = rename_features(before, [RNA], kind({"A": "a", "C": "A", "elsewhere": "x"}))
    assert spec == ModalitySpec("rna", ("a", "B", "A"), layer="counts")
    assert patterns.features == spec.features
    assert patterns.to_dict() == {"one": ["a", "A"], "two": ["B", "A"]}
    assert (patterns.kinds, patterns.sources) == (before.kinds, before.sources)
    assert before.to_dict() == {"one": ["A", "C"], "two": ["B", "C"]}


@pytest.mark.parametrize("mapping", [{"C": "c"}, {"A": "D"}, {"D": "A", "B": "x"}, {"D": "C", "C": "D", "A": "C"}])
def test_each_modality_keeps_its_memberships_whatever_names_they_come_to_share(mapping):
    specs = [RNA, PROTEIN]
    before = membership_by_kind(joint(), specs)
    patterns, renamed = rename_features(joint(), specs, mapping)
    after = membership_by_kind(patterns, renamed)
    for spec, new in zip(specs, renamed, strict=True):
        assert new.features == tuple(mapping.get(name, name) for name in spec.features)
        assert after[spec.kind].toarray().tolist() == before[spec.kind].toarray().tolist()


def test_a_clash_within_a_modality_is_refused_naming_it():
    with pytest.raises(ValueError, match=r"features of protein .*'C' and 'D' would both be 'D'"):
        rename_features(joint(), [RNA, PROTEIN], {"C": "D"})


def test_a_map_of_nothing_in_the_model_is_refused_and_one_the_other_way_told():
    with pytest.raises(ValueError, match=r"None of the map's 1 names .*look them up in `annotator.features`"):
        rename_features(own(RNA), [RNA], {"x": "y"})
    other_way = {"a": "A", "b": "B"}
    with pytest.raises(ValueError, match="It runs the other way") as caught:
        rename_features(own(RNA), [RNA], other_way)
    fixed = eval(str(caught.value).split("`")[1], {"map": other_way})
    assert rename_features(own(RNA), [RNA], fixed)[1][0].features == ("a", "b", "C")
