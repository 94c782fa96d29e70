"""Cells of a cluster get the label most of them have."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from plkd.inference import TopTwo, annotate_cells, clusters_of, majority_vote

LABELS = ["B", "T", "NK"]
COLUMNS = ["label", "confidence", "novelty", "runner_up", "rejected", "reason"]


def annotation(probabilities):
    return annotate_cells(TopTwo.of(probabilities.to_numpy()), None, list(probabilities.columns), probabilities.index)


def vote(values, clusters, rejected=None, labels=LABELS):
    cells = [f"c{i}" for i in range(len(values))]
    probabilities = pd.DataFrame(values, index=cells, columns=labels)
    table = annotation(probabilities)
    if rejected is not None:
        table["rejected"] = rejected
    return majority_vote(table, probabilities, pd.Series(clusters, index=cells, dtype=object))


def test_vote_by_hand():
    table = vote(
        [[0.8, 0.1, 0.1], [0.5, 0.2, 0.3], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]], ["a", "a", "a", "b", ""]
    )
    assert list(table.columns) == [*COLUMNS, "cell_label", "vote_share"]
    assert table["label"].tolist() == ["B", "B", "B", "T", "NK"]
    assert table["cell_label"].tolist() == ["B", "B", "T", "T", "NK"]
    assert table["confidence"].tolist() == [0.8, 0.5, 0.3, 0.7, 0.6]
    assert table["runner_up"].tolist() == ["T", "NK", "T", "B", "T"]
    np.testing.assert_allclose(table["vote_share"], [2 / 3, 2 / 3, 2 / 3, 1, np.nan])
    for column in ("label", "runner_up", "cell_label"):
        assert table[column].cat.categories.tolist() == LABELS


def test_equal_votes_go_to_the_larger_sum_of_confidence_then_to_the_first_label():
    larger = vote([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], ["a", "a"])
    assert larger["label"].tolist() == ["T", "T"]
    assert larger["confidence"].tolist() == [0.3, 0.8]
    assert vote([[0.1, 0.7, 0.2], [0.7, 0.1, 0.2]], ["a", "a"])["label"].tolist() == ["B", "B"]


def test_rejected_cells_neither_vote_nor_change_but_count_in_the_share():
    values = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    table = vote(values, ["a", "a", "a", "b"], rejected=[False, True, True, True])
    assert table["label"].tolist() == ["B", "T", "T", "NK"]
    assert table["confidence"].tolist() == [0.8, 0.8, 0.8, 0.8]
    np.testing.assert_allclose(table["vote_share"], [1 / 3, 1 / 3, 1 / 3, np.nan])


def test_a_rejected_cell_may_be_called_what_is_no_label_of_the_reference():
    probabilities = pd.DataFrame([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3]], index=["c0", "c1"], columns=LABELS)
    table = annotation(probabilities)
    table["label"] = pd.Categorical(["B", "Unknown"], [*LABELS, "Unknown"])
    table["rejected"] = [False, True]
    found = majority_vote(table, probabilities, pd.Series(["a", "a"], index=table.index))
    assert found["label"].tolist() == ["B", "Unknown"]
    assert found["cell_label"].tolist() == ["B", "Unknown"]


@pytest.mark.parametrize("clusters", [["", "", ""], ["a", "", "b"]])
def test_cells_in_no_cluster_and_those_alone_keep_their_label(clusters):
    values = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    table = vote(values, clusters)
    assert table["label"].tolist() == table["cell_label"].tolist() == LABELS
    np.testing.assert_array_equal(table["vote_share"], [1 if cluster else np.nan for cluster in clusters])


def test_no_cells_give_an_empty_table_of_the_same_columns():
    table = vote(np.empty((0, 3)), [])
    assert table.shape == (0, 8)


@given(seed=st.integers(0, 10_000), n_obs=st.integers(1, 30), n_clusters=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_vote_equals_a_loop_over_clusters_in_any_order_of_the_cells(seed, n_obs, n_clusters):
    rng = np.random.default_rng(seed)
    # Few distinct values, so that ties are common.
    values = rng.permuted(np.tile([0.5, 0.3, 0.2], (n_obs, 1)), axis=1)
    clusters = rng.choice(["", *map(str, range(n_clusters))], size=n_obs)
    rejected = rng.random(n_obs) < 0.3
    table = vote(values, clusters, rejected)
    own = values.argmax(axis=1)
    for name in np.unique(clusters):
        inside = clusters == name
        votes = np.bincount(own[inside & ~rejected], minlength=3)
        expected = own.copy()
        if name and votes.sum():
            # argmax takes the first of equal numbers; all confidences are 0.5, so sums tie where votes do.
            expected[inside & ~rejected] = votes.argmax()
            np.testing.assert_allclose(table["vote_share"][inside], votes.max() / inside.sum())
        else:
            assert table["vote_share"][inside].isna().all()
        assert table["label"][inside].tolist() == [LABELS[i] for i in expected[inside]]
        np.testing.assert_array_equal(table["confidence"][inside], values[inside, expected[inside]])
        others = np.where(np.arange(3) == expected[:, None], -1, values).argmax(axis=1)
        assert table["runner_up"][inside].tolist() == [LABELS[i] for i in others[inside]]
    order = rng.permutation(n_obs)
    again = vote(values[order], clusters[order], rejected[order])
    assert again["label"].tolist() == table["label"].iloc[order].tolist()


def test_the_table_given_is_not_changed():
    probabilities = pd.DataFrame([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], columns=LABELS)
    table = annotation(probabilities)
    before = table.copy(deep=True)
    majority_vote(table, probabilities, pd.Series(["a", "a", "a"]))
    pd.testing.assert_frame_equal(table, before)


def test_vote_is_announced_in_one_line(caplog):
    logits = np.log([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    clusters = pd.Series(["a", "a", "a", ""], name="obs['leiden']")
    with caplog.at_level(logging.INFO, logger="plkd"):
        values = np.exp(logits)
        top = TopTwo.of(values)
        table = annotate_cells(top, None, LABELS, clusters.index, clusters=clusters, probabilities=values)
    assert caplog.messages == ["Majority vote over 1 clusters of obs['leiden']: 1 labels changed"]
    assert table["label"].tolist() == ["B", "B", "B", "T"]


class TestClustersOf:
    cells = pd.Index(["x", "y", "z"])
    all = np.arange(3)

    @pytest.fixture
    def adata(self):
        obs = pd.DataFrame({"leiden": pd.Categorical(["1", None, "0"]), "number": [1, 2, 2]}, index=self.cells)
        return AnnData(np.ones((3, 1)), obs=obs)

    def test_column_as_text_with_nothing_for_missing_values(self, adata):
        found = clusters_of(adata, "leiden", self.all)
        assert found.tolist() == ["1", "", "0"]
        assert found.name == "obs['leiden']"
        assert clusters_of(adata, "number", self.all).tolist() == ["1", "2", "2"]

    def test_chosen_cells_in_their_order(self, adata):
        found = clusters_of(adata, "leiden", np.array([2, 0]))
        assert found.tolist() == ["0", "1"]
        assert found.index.tolist() == ["z", "x"]

    @pytest.mark.parametrize(
        "values",
        [
            ["1", "2", "2"],
            np.array([1, 2, 2]),
            pd.Categorical(["1", "2", "2"]),
            pd.array([1, 2, 2], dtype="Int64"),
            pd.Series(["1", "2", "2"]),
            pd.Series(["1", "2", "2"], index=["x", "y", "z"]),
            pd.Series(["2", "9", "2", "1"], index=["z", "other", "y", "x"]),
        ],
    )
    def test_one_value_per_cell(self, adata, values):
        assert clusters_of(adata, values, self.all).tolist() == ["1", "2", "2"]

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", " "])
    def test_missing_values_of_an_array_are_no_cluster(self, adata, missing):
        assert clusters_of(adata, ["1", missing, "1"], self.all).tolist() == ["1", "", "1"]

    def test_none_is_no_vote(self, adata):
        assert clusters_of(adata, None, self.all) is None

    def test_column_that_does_not_exist_is_refused_with_a_close_match(self, adata):
        with pytest.raises(KeyError, match="over_clustering='leidn'.*Did you mean over_clustering='leiden'"):
            clusters_of(adata, "leidn", self.all)

    @pytest.mark.parametrize("values", [["1", "2"], np.ones((3, 2)), 5, pd.Series(["1"] * 4), {"x": 1}, [[1], [1, 2]]])
    def test_another_number_of_values_is_refused(self, adata, values):
        with pytest.raises(ValueError, match=r"over_clustering has shape .*; expected \(3,\)"):
            clusters_of(adata, values, self.all)

    def test_a_masked_array_is_refused_and_the_fix_works(self, adata):
        masked = np.ma.masked_array(["1", "2", "2"], mask=[True, False, False])
        with pytest.raises(TypeError, match="masked array") as caught:
            clusters_of(adata, masked, self.all)
        fixed = eval(str(caught.value).split("`")[1], {"over_clustering": masked, "np": np})
        assert clusters_of(adata, fixed, self.all).tolist() == ["", "2", "2"]

    def test_series_of_other_cells_is_refused(self, adata):
        with pytest.raises(ValueError, match=r"lacks 1 of 3 cells, e\.g\. \['y'\].*reindex"):
            clusters_of(adata, pd.Series(["1", "2", "3"], index=["x", "q", "z"]), self.all)

    def test_series_with_repeated_names_is_refused(self, adata):
        with pytest.raises(ValueError, match=r"cell names repeat.*to_numpy\(\)"):
            clusters_of(adata, pd.Series(["1", "2", "3"], index=["x", "x", "z"]), self.all)
