"""What holds for any features in any order, with any missing and any beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.align import align_features
from plkd.data import Rows

names = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=6)
quick = settings(max_examples=60, deadline=None)


@st.composite
def data_sets(draw, genes=names):
    """Return a model's features, and the names and values of a query that has some of them, in any order."""
    model = draw(st.lists(genes, unique_by=str.casefold, min_size=1, max_size=10))
    known = {name.casefold() for name in model}
    kept = draw(st.lists(st.sampled_from(model), unique=True))
    extra = draw(st.lists(names.filter(lambda name: name.casefold() not in known), unique=True, max_size=5))
    query = draw(st.permutations(kept + extra))
    values = np.random.default_rng(draw(st.integers(0, 99))).poisson(3, (4, len(query))).astype(np.float32)
    return model, list(query), values


def aligned(model, query, values, **kwargs):
    found = align_features(model, query, floor=0.0, **kwargs)
    return Rows(values, found.columns).read(slice(None)).toarray(), found.present


def by_hand(model, query, values):
    """Column by column, with a dict."""
    column = dict(zip(query, values.T, strict=True))
    return np.stack([column.get(name, np.zeros(len(values))) for name in model], axis=1)


@given(data_sets())
@quick
def test_each_feature_gets_the_column_of_its_name(data):
    model, query, values = data
    matrix, present = aligned(*data)
    np.testing.assert_array_equal(matrix, by_hand(*data))
    assert present.tolist() == [name in query for name in model]


@given(data_sets(), st.randoms(use_true_random=False))
@quick
def test_the_order_of_the_querys_genes_never_changes_the_matrix(data, random):
    model, query, values = data
    order = random.sample(range(len(query)), len(query))
    np.testing.assert_array_equal(aligned(model, [query[i] for i in order], values[:, order])[0], aligned(*data)[0])


@given(data_sets(), st.data())
@quick
def test_dropping_genes_and_aligning_is_masking_them(data, draw):
    model, query, values = data
    kept = draw.draw(st.lists(st.sampled_from(range(len(query))), unique=True) if query else st.just([]))
    matrix, present = aligned(model, [query[i] for i in kept], values[:, kept])
    mask = np.isin(model, [query[i] for i in kept])
    whole, found = aligned(*data)
    np.testing.assert_array_equal(matrix, np.where(mask, whole, 0))
    np.testing.assert_array_equal(present, found & mask)


@given(data_sets(st.integers(0, 999).map("ENSG{:011d}".format)), st.data())
@quick
def test_versions_on_either_side_give_the_same_matrix_as_plain_identifiers(data, draw):
    model, query, values = data
    versions = st.sampled_from(["", ".1", ".12"])
    model_names, query_names = (
        [name + draw.draw(versions) if name.startswith("ENSG") else name for name in side] for side in (model, query)
    )
    np.testing.assert_array_equal(aligned(model_names, query_names, values)[0], aligned(*data)[0])


@given(data_sets(), st.lists(st.sampled_from(["biotype", "chromosome", "length"]), unique=True))
@quick
def test_names_in_a_column_give_the_same_matrix_as_in_var_names(data, others):
    model, query, values = data
    plain, present = aligned(*data)
    var = pd.DataFrame({name: [7 if name == "length" else "x"] * len(query) for name in [*others, "symbol"]})
    var["symbol"] = pd.Series(query, dtype=object)
    found, there = aligned(model, [f"row {i}" for i in range(len(query))], values, var=var)
    # A column with hardly a feature of the model is none that holds its names.
    is_used = present.mean() >= 0.2
    np.testing.assert_array_equal(found, plain if is_used else np.zeros_like(plain))
    np.testing.assert_array_equal(there, present & is_used)


@given(data_sets(st.integers(0, 999).map("Gene{}a".format)), st.data())
@quick
def test_a_name_of_another_case_is_matched_to_none_but_its_own(data, draw):
    model, query, values = data
    changed = [name.upper() if draw.draw(st.booleans()) else name for name in query]
    matrix, present = aligned(model, changed, values)
    plain = by_hand(*data)
    np.testing.assert_array_equal(matrix, np.where(present, plain, 0))
