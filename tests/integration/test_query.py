"""Any query is answered cell by cell, gene by name; what was found is said once."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def query(make_adata):
    return make_adata(60, seed=11)


@pytest.fixture
def expected(trained, query) -> pd.DataFrame:
    return trained.predict(query, soft=True)


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "plkd"]


def test_shuffled_genes_give_the_same_labels(trained, query, expected, caplog):
    shuffled = query[:, np.random.default_rng(0).permutation(60)].copy()
    with caplog.at_level(logging.INFO, logger="plkd"):
        found = trained.predict(shuffled, soft=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        trained.predict(shuffled, soft=True, model="teacher"),
        trained.predict(query, soft=True, model="teacher"),
        atol=1e-5,
    )
    assert lines(caplog)[0] == "Query: 60 cells, 60 of 60 features found (100%), reordered"
    assert len([line for line in lines(caplog)[:1] if line.startswith("Query")]) == 1


def test_permuted_cells_give_permuted_answers(trained, query, expected):
    order = np.random.default_rng(1).permutation(60)
    found = trained.predict(query[order], soft=True)
    pd.testing.assert_frame_equal(found, expected.iloc[order], atol=1e-5)
    assert found.index.equals(query.obs_names[order])
    attention = trained.get_pattern_attention(query)
    pd.testing.assert_frame_equal(trained.get_pattern_attention(query[order]), attention.iloc[order], atol=1e-5)


def test_extra_genes_change_nothing(trained, query, expected, make_adata, caplog):
    other = make_adata(60, seed=12)
    other.var_names = [f"EXTRA{i}" for i in range(60)]
    more = ad.concat([other[:, :30], query, other[:, 30:]], axis=1)
    with caplog.at_level(logging.INFO, logger="plkd"):
        np.testing.assert_allclose(trained.predict(more, soft=True), expected, atol=1e-5)
    assert "60 unknown to the model ignored" in lines(caplog)[0]


def test_missing_genes_cost_little_and_are_said_once(trained, query, caplog):
    fewer = query[:, np.random.default_rng(2).permutation(60)[:30]].copy()
    with caplog.at_level(logging.INFO, logger="plkd"):
        labels = trained.predict(fewer)
    assert (labels == query.obs["cell_type"].astype(str).to_numpy()).mean() > 0.7
    said = [record for record in caplog.records if "30 of 60 features found (50%), 30 missing" in record.getMessage()]
    assert [record.levelname for record in said] == ["WARNING"]


def test_too_few_genes_are_refused(trained, query):
    with pytest.raises(ValueError, match="Only 5 of the model's 60 features"):
        trained.predict(query[:, :5])


def test_repeated_genes_of_the_model_are_refused_and_others_ignored(trained, query, expected):
    twice = ad.concat([query, query[:, :1]], axis=1)
    with pytest.raises(ValueError, match=r"GENE000.*var_names_make_unique"):
        trained.predict(twice)
    names = [*query.var_names, "X", "X"]
    extra = ad.concat([query, query[:, :2]], axis=1)
    extra.var_names = names
    np.testing.assert_allclose(trained.predict(extra, soft=True), expected, atol=1e-5)


@pytest.mark.parametrize("labels", ["absent", "NaN", "unseen"])
def test_labels_of_the_query_do_not_matter(trained, query, expected, labels):
    if labels == "absent":
        del query.obs["cell_type"]
    else:
        query.obs["cell_type"] = np.nan if labels == "NaN" else "alien"
    pd.testing.assert_frame_equal(trained.predict(query, soft=True), expected)
    assert len(trained.annotate(query)) == 60


@pytest.mark.parametrize("batches", ["absent", "NaN", "unseen"])
def test_batches_of_the_query_do_not_matter(trained, query, expected, batches):
    if batches == "absent":
        del query.obs["batch"]
    else:
        query.obs["batch"] = np.nan if batches == "NaN" else "donor 77"
    pd.testing.assert_frame_equal(trained.predict(query, soft=True), expected)


def test_depth_of_a_cell_does_not_matter(trained, query, expected):
    query.X = query.X * 7
    np.testing.assert_allclose(trained.predict(query, soft=True), expected, atol=1e-4)


def test_log_normalised_query_of_a_model_of_counts_is_warned_of(trained, query, expected, caplog):
    size = np.asarray(query.X.sum(axis=1)).ravel()
    logged = query.copy()
    logged.X = np.log1p(query.X.toarray() / size[:, None] * 1e4)
    with caplog.at_level(logging.WARNING, logger="plkd"):
        found = trained.predict(logged, soft=True)
    assert (
        sum("The query holds log-normalised values, the reference held counts" in line for line in lines(caplog)) == 1
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(("value", "found"), [(-1.0, "negative"), (np.nan, "NaN"), (np.inf, "infinite")])
def test_impossible_values_are_refused(trained, query, value, found):
    X = query.X.toarray()
    X[50, 3] = value
    query.X = X
    with pytest.raises(ValueError, match=found):
        trained.predict(query)


def test_new_batch_with_genes_in_another_order_end_to_end(ref_query, make_model, train):
    ref, query = ref_query
    model = train(make_model(ref), 20, plan_kwargs={"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}})
    assert (model.predict(query) == query.obs["cell_type"].astype(str).to_numpy()).mean() > 0.8
