"""Features matched by name: the index map, the one line of report, and the floor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.align import align_features, likeness, slip

SYMBOLS = ["CD3D", "MS4A1", "LYZ", "NKG7", "PPBP"]

names = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=5)


def refusal(model, query, **kwargs):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the callers look at the whole message
        align_features(model, query, **kwargs)
    return str(caught.value)


@given(model=st.lists(names, unique=True, min_size=1, max_size=8), extra=st.lists(names, max_size=6), data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_map_names_each_features_column_for_any_order_missing_and_extra_ones(model, extra, data):
    kept = data.draw(st.lists(st.sampled_from(model), unique=True))
    # Names that the model does not know may even repeat.
    query = data.draw(st.permutations(kept + [name for name in extra if name not in model]))
    alignment = align_features(model, query, floor=0.0)
    assert alignment.columns.dtype == np.int64
    assert alignment.columns.tolist() == [query.index(name) if name in query else -1 for name in model]
    assert alignment.present.tolist() == [name in kept for name in model]
    assert alignment.fraction == pytest.approx(len(kept) / len(model))
    assert alignment.n_query == len(query)
    assert alignment.is_identity == (list(query) == model)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Index, lambda n: pd.Index(n, dtype="string")])
def test_names_may_come_in_any_sequence(kind):
    assert align_features(kind(SYMBOLS), kind(SYMBOLS[::-1])).columns.tolist() == [4, 3, 2, 1, 0]


class TestReport:
    @pytest.mark.parametrize(
        ("query", "line"),
        [
            (SYMBOLS, "all 5 features found, in the model's order"),
            (SYMBOLS[::-1], "5 of 5 features found (100%), reordered"),
            ([*SYMBOLS, "x", "y"], "5 of 5 features found (100%), 2 unknown to the model ignored"),
            (SYMBOLS[1:], "4 of 5 features found (80%), 1 missing and left out of the library size"),
            (
                ["x", "LYZ", "CD3D"],
                "2 of 5 features found (40%), 3 missing and left out of the library size, "
                "1 unknown to the model ignored, reordered",
            ),
        ],
    )
    def test_is_one_line_of_what_was_found(self, query, line):
        assert str(align_features(SYMBOLS, query)) == line


class TestRepeatedNames:
    def test_of_features_in_use_are_refused_by_name(self):
        message = refusal(SYMBOLS, [*SYMBOLS, "LYZ", "CD3D", "x", "x"])
        assert message.startswith("2 feature names that the model uses occur more than once in the query")
        assert "'LYZ'" in message
        assert "'CD3D'" in message
        assert "'x'" not in message
        assert "var_names_make_unique()" in message

    def test_of_other_features_do_no_harm(self):
        assert align_features(["A", "B"], ["x", "B", "x", "A"]).columns.tolist() == [3, 1]

    def test_are_refused_even_if_too_few_features_are_found(self):
        assert "more than once" in refusal(SYMBOLS, ["LYZ", "LYZ"])


class TestFloor:
    def test_just_enough_is_accepted_and_one_fewer_refused(self):
        model = [f"G{i}" for i in range(10)]
        assert align_features(model, model[:2]).fraction == 0.2
        assert refusal(model, model[:1]).startswith(
            "Only 1 of the model's 10 features are in the query (10%); expected at least 20%. "
            "Model: 'G0', 'G1', 'G2'; query: 'G0'. "
        )

    def test_can_be_set(self):
        assert align_features(SYMBOLS, SYMBOLS[:4], floor=0.8).fraction == 0.8
        assert "expected at least 90%" in refusal(SYMBOLS, SYMBOLS[:4], floor=0.9)

    def test_a_targeted_panel_may_have_less_of_it(self):
        """A hundred genes, most of those that it has: few were measured. Few of many others: something else is wrong."""
        model = [f"G{i}" for i in range(1000)]
        found = align_features(model, [*model[:100], *(f"other {i}" for i in range(49))])
        assert found.fraction == 0.1
        assert "taken for a targeted panel (if more genes were measured, pass them all)" in str(found)
        assert "Only 99 of" in refusal(model, model[:99])
        assert "Only 100 of" in refusal(model, [*model[:100], *(f"other {i}" for i in range(50))])
        assert "Only 100 of" in refusal(model, model[:100], floor=0.2)
        assert "Only 100 of" in refusal(model, model[:100], kind="protein")
        assert "panel" not in str(align_features(model, model[:200]))

    def test_a_panel_is_known_by_the_column_that_holds_its_names(self):
        model = [f"G{i}" for i in range(2000)]
        var = pd.DataFrame({"length": range(150), "symbol": model[:150]}, index=[f"ENSG{i:011d}" for i in range(150)])
        found = align_features(model, var.index, var=var)
        assert found.columns[:151].tolist() == [*range(150), -1]
        assert "names taken from var['symbol']" in str(found)
        assert not slip(model, var.index, kind="rna", var=var)

    def test_a_panels_column_is_used_only_if_it_has_clearly_more_of_its_names(self):
        model = [f"ENSG{i:011d}" for i in range(2000)]
        own = [*model[:110], *(f"ENSG{i:011d}" for i in range(5000, 5040))]
        names = [*model[:120], *own[120:]]  # ten more, less than a tenth of 150
        assert align_features(model, own, var=pd.DataFrame({"ids": names})).names == "var_names"
        names = [*model[:125], *own[125:]]
        assert align_features(model, own, var=pd.DataFrame({"ids": names})).names == "var['ids']"

    def test_antibodies_are_no_panel_of_genes(self):
        model = [f"G{i}" for i in range(2000)]
        antibodies = pd.DataFrame({"gene": model[:150]}, index=[f"CD{i}_TotalSeqB" for i in range(150)])
        assert "Only 0 of" in refusal(model, antibodies.index, var=antibodies)
        named = pd.DataFrame({"feature_types": "Antibody Capture"}, index=model[:150])
        assert "Only 150 of" in refusal(model, named.index, var=named)
        assert (
            align_features(model, named.index, var=named.replace("Antibody Capture", "Gene Expression")).fraction < 0.1
        )

    def test_an_empty_query_is_refused(self):
        assert "Only 0 of the model's 5 features" in refusal(SYMBOLS, [])


def test_peaks_found_by_name_do_not_take_those_they_overlap_too():
    model = ["chr1:100-600", "chr1:300-800", "chr1:2000-2500", "chr1:4000-4500"]
    found = align_features(model, [*model[:2], "1-2100-2600"], kind="atac")
    np.testing.assert_array_equal(found.columns.toarray(), np.eye(3, 4))


def test_likeness_tells_genes_from_proteins_that_bear_their_names():
    genes = [f"GENE{i}" for i in range(40)]
    proteins, query = genes[:4], genes[:30]
    as_genes, as_proteins = (
        likeness(names, query, kind=kind) for names, kind in ((genes, "rna"), (proteins, "protein"))
    )
    assert as_genes == (0.75, 0.75)
    assert as_proteins == (1.0, 4 / 30)
