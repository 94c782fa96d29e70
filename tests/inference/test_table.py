"""Probabilities and annotations as tables, and writing them to the cells they belong to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.inference import TopTwo, add_annotation, annotate_cells, probability_frame

LABELS = ["B", "T", "NK"]
CELLS = pd.Index(["c0", "c1", "c2"])


def annotation(values, labels=LABELS):
    values = np.asarray(values)
    return annotate_cells(TopTwo.of(values), None, labels, pd.Index([f"c{i}" for i in range(len(values))]))


@given(
    seed=st.integers(0, 1000),
    n_obs=st.integers(0, 5),
    n_labels=st.integers(2, 6),
    spread=st.sampled_from([0.1, 5, 1e3]),
)
@settings(max_examples=50, deadline=None)
def test_probabilities_sum_to_1_and_order_as_the_logits(seed, n_obs, n_labels, spread):
    logits = np.random.default_rng(seed).normal(0, spread, size=(n_obs, n_labels)).astype(np.float32)
    probabilities = probability_frame(logits, [f"t{i}" for i in range(n_labels)], pd.RangeIndex(n_obs).astype(str))
    assert probabilities.shape == (n_obs, n_labels)
    values = probabilities.to_numpy()
    assert values.dtype == np.float64
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-12)
    assert (values.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_probabilities_by_hand_with_their_names():
    probabilities = probability_frame(np.log([[1, 2, 5], [8, 1, 1]]), LABELS, pd.Index(["x", "y"]))
    pd.testing.assert_frame_equal(
        probabilities, pd.DataFrame([[0.125, 0.25, 0.625], [0.8, 0.1, 0.1]], ["x", "y"], LABELS), check_index_type=False
    )


@given(seed=st.integers(0, 1000), n_obs=st.integers(1, 6), n_labels=st.integers(2, 6))
@settings(max_examples=50, deadline=None)
def test_table_equals_numpys_argsort(seed, n_obs, n_labels):
    values = np.random.default_rng(seed).dirichlet(np.ones(n_labels), size=n_obs)
    labels = [f"t{i}" for i in range(n_labels)]
    table = annotation(values, labels)
    order = np.argsort(values, axis=1)
    assert table["label"].tolist() == [labels[i] for i in order[:, -1]]
    assert table["runner_up"].tolist() == [labels[i] for i in order[:, -2]]
    np.testing.assert_array_equal(table["confidence"], values.max(axis=1))


def test_table_has_all_labels_as_categories_and_the_cells_as_index():
    table = annotation([[0.7, 0.2, 0.1]])
    assert list(table.columns) == ["label", "confidence", "novelty", "runner_up", "rejected", "reason"]
    for column in ("label", "runner_up"):
        assert table[column].cat.categories.tolist() == LABELS
    assert table.index.tolist() == ["c0"]


def test_ties_go_to_the_first_label_as_argmax_does():
    table = annotation([[0.4, 0.2, 0.4], [1 / 3, 1 / 3, 1 / 3], [0.2, 0.4, 0.4]])
    assert table["label"].tolist() == ["B", "B", "T"]
    assert table["runner_up"].tolist() == ["NK", "T", "NK"]


def test_no_cells_give_an_empty_table():
    assert annotation(np.empty((0, 3))).shape == (0, 6)


class TestAddAnnotation:
    @pytest.fixture
    def adata(self):
        return AnnData(np.ones((3, 1)), obs=pd.DataFrame({"donor": ["x", "y", "z"]}, index=list(CELLS)))

    @pytest.fixture
    def table(self):
        return annotation([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6]])

    def test_writes_one_column_for_each_of_the_table_and_nothing_else(self, adata, table):
        add_annotation(adata, table)
        assert list(adata.obs.columns) == ["donor", *(f"plkd_{name}" for name in table.columns)]
        assert adata.obs["plkd_label"].tolist() == ["B", "T", "NK"]
        assert adata.obs["plkd_label"].cat.categories.tolist() == LABELS
        assert adata.obs["plkd_confidence"].tolist() == [0.7, 0.8, 0.6]
        assert adata.obs["plkd_confidence"].dtype == np.float64
        assert adata.obs["plkd_runner_up"].tolist() == ["T", "B", "T"]
        assert not adata.uns

    def test_the_key_names_the_columns(self, adata, table):
        add_annotation(adata, table, key_added="mine")
        assert "mine_label" in adata.obs
        assert "plkd_label" not in adata.obs

    def test_cells_in_another_order_are_matched_by_name(self, adata, table):
        add_annotation(adata, table.iloc[[2, 0, 1]])
        assert adata.obs["plkd_label"].tolist() == ["B", "T", "NK"]
        assert adata.obs["plkd_confidence"].tolist() == [0.7, 0.8, 0.6]

    def test_cells_that_the_table_lacks_are_missing_values(self, adata, table):
        add_annotation(adata, table.loc[["c2"]])
        assert adata.obs["plkd_label"].isna().tolist() == [True, True, False]
        assert adata.obs["plkd_label"].cat.categories.tolist() == LABELS
        np.testing.assert_array_equal(adata.obs["plkd_confidence"], [np.nan, np.nan, 0.6])

    def test_cells_of_other_data_are_refused_and_nothing_is_written(self, adata, table):
        foreign = table.rename(index={"c1": "other"})
        with pytest.raises(ValueError, match=r"1 cells of the table are not in adata, e\.g\. \['other'\]"):
            add_annotation(adata, foreign)
        assert list(adata.obs.columns) == ["donor"]

    def test_repeated_names_work_in_the_same_order_and_are_refused_in_another(self, adata, table):
        adata.obs_names = table.index = ["c", "c", "d"]
        add_annotation(adata, table)
        assert adata.obs["plkd_label"].tolist() == ["B", "T", "NK"]
        with pytest.raises(ValueError, match="Cell names repeat.*obs_names_make_unique"):
            add_annotation(adata, table.iloc[[2, 0, 1]])

    def test_an_annotation_is_replaced_by_a_newer_one(self, adata, table):
        add_annotation(adata, table)
        table["confidence"] = 0.5
        add_annotation(adata, table)
        assert adata.obs["plkd_confidence"].tolist() == [0.5] * 3

    def test_can_be_written_to_disk(self, adata, table, tmp_path):
        add_annotation(adata, table.loc[["c1"]])
        adata.write_h5ad(tmp_path / "a.h5ad")

    def test_the_table_is_not_changed_with_the_data(self, adata, table):
        add_annotation(adata, table)
        adata.obs.loc["c0", "plkd_confidence"] = 0.0
        assert table.loc["c0", "confidence"] == 0.7
