from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData, read_h5ad
from scipy import stats

from plkd import interpret


def cells(labels, **columns):
    names = [f"c{i}" for i in range(len(labels))]
    return AnnData(np.zeros((len(labels), 1)), obs=pd.DataFrame({"type": list(labels), **columns}, index=names))


def frame(adata, **columns):
    return pd.DataFrame(columns, index=adata.obs_names, dtype=float)


def row(table, group, name):
    return table[(table["group"] == group) & (table["names"] == name)].iloc[0]


def by_definition(scores, is_in):
    inside, outside = scores[is_in], scores[~is_in]
    pooled = np.sqrt((inside.var(axis=0, ddof=1) + outside.var(axis=0, ddof=1)) / 2)
    return (inside.mean(axis=0) - outside.mean(axis=0)) / pooled


def benjamini_hochberg(pvals):
    order = np.argsort(pvals)
    scaled = pvals[order] * len(pvals) / np.arange(1, len(pvals) + 1)
    adjusted = np.empty(len(pvals))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted


@pytest.fixture
def noise():
    """Three labels of 20 cells, 8 patterns; the first marks the first label, the second marks what it lacks."""
    adata = cells(["a", "b", "c"] * 20)
    scores = np.random.default_rng(0).normal(size=(60, 8)) * 5 + 100
    scores[::3, 0] += 10
    scores[::3, 1] -= 10
    return adata, pd.DataFrame(scores, index=adata.obs_names, columns=[f"p{i}" for i in range(8)])


def test_effect_and_difference_are_those_of_the_definition(noise):
    adata, scores = noise
    table = interpret.rank_patterns(scores, adata, "type", n_permutations=1)
    for group in "abc":
        is_in = (adata.obs["type"] == group).to_numpy()
        own = table[table["group"] == group].set_index("names").loc[scores.columns]
        np.testing.assert_allclose(own["scores"], by_definition(scores.to_numpy(), is_in), rtol=1e-9)
        expected = scores[is_in].mean() - scores[~is_in].mean()
        np.testing.assert_allclose(own["difference"], expected, rtol=1e-9)


def test_each_label_has_all_patterns_the_largest_effect_first(noise):
    adata, scores = noise
    table = interpret.rank_patterns(scores, adata, "type", n_permutations=9)
    assert list(table.columns) == ["group", "names", "scores", "difference", "pvals", "pvals_adj"]
    assert list(table["group"]) == ["a"] * 8 + ["b"] * 8 + ["c"] * 8
    for _, part in table.groupby("group", observed=True):
        assert part["scores"].is_monotonic_decreasing
        assert set(part["names"]) == set(scores.columns)
    assert list(table["names"].iloc[[0, 7]]) == ["p0", "p1"]


def test_pvalues_are_those_of_all_permutations():
    """Of three and three cells 20 splits exist: random permutations must come near the exact test."""
    adata = cells("aaabbb")
    values = np.array([3.0, 4.1, 5.3, 1.2, 3.5, 2.9])
    exact = [abs(by_definition(values, np.isin(np.arange(6), split))) for split in permutations(range(6), 3)]
    observed = abs(by_definition(values, np.arange(6) < 3))
    expected = np.mean(np.array(exact) >= observed - 1e-9)
    table = interpret.rank_patterns(frame(adata, p=values), adata, "type", n_permutations=4000)
    np.testing.assert_allclose(table["pvals"], expected, atol=4 * np.sqrt(expected * (1 - expected) / 4000))
    assert 0.05 < expected < 0.5


def test_pvalues_are_uniform_where_labels_say_nothing_and_small_where_they_do(noise):
    rng = np.random.default_rng(1)
    adata = cells(rng.choice(list("abcd"), 80))
    scores = pd.DataFrame(rng.exponential(size=(80, 150)), index=adata.obs_names)
    table = interpret.rank_patterns(scores, adata, "type", n_permutations=199)
    a = table[table["group"] == "a"]
    assert stats.kstest(a["pvals"], "uniform").pvalue > 0.001
    assert (table["pvals_adj"] < 0.05).mean() < 0.02
    planted = interpret.rank_patterns(noise[1], noise[0], "type", n_permutations=199)
    assert row(planted, "a", "p0")["pvals"] == row(planted, "a", "p1")["pvals"] == 1 / 200


def test_false_discovery_rate_is_benjamini_hochberg_within_each_label(noise):
    table = interpret.rank_patterns(noise[1], noise[0], "type", n_permutations=50)
    for _, part in table.groupby("group", observed=True):
        np.testing.assert_allclose(part["pvals_adj"], benjamini_hochberg(part["pvals"].to_numpy()))


def test_differences_between_batches_are_not_taken_for_labels():
    """The score knows the batch alone, and the first batch has mostly cells of one label."""
    rng = np.random.default_rng(0)
    batch = np.repeat([0, 1], 60)
    label = np.where(rng.random(120) < np.where(batch == 0, 0.85, 0.15), "a", "b")
    adata = cells(label, batch=batch.astype(str))
    scores = frame(adata, p=batch * 3 + rng.normal(size=120))
    blind = interpret.rank_patterns(scores, adata, "type", n_permutations=199)
    within = interpret.rank_patterns(scores, adata, "type", batch_key="batch", n_permutations=199)
    assert (blind["pvals"] == 1 / 200).all()
    assert (within["pvals"] > 0.05).all()
    np.testing.assert_array_equal(blind["scores"], within["scores"])


def test_a_difference_within_batches_is_found_within_batches(noise):
    adata, scores = noise
    batch = np.repeat(["x", "y"], 30)
    shifted = scores.add(np.where(batch == "x", 50, 0), axis=0)
    table = interpret.rank_patterns(shifted, adata, "type", batch_key=batch, n_permutations=199)
    assert row(table, "a", "p0")["pvals"] == 1 / 200


def test_batches_of_one_label_each_are_refused(noise):
    adata, scores = noise
    with pytest.raises(ValueError, match="one label only.*batch_key=None"):
        interpret.rank_patterns(scores, adata, "type", batch_key="type")


def test_same_seed_same_table_and_another_seed_other_pvalues(noise):
    adata, scores = noise
    first, again, other = (interpret.rank_patterns(scores, adata, "type", n_permutations=50, seed=s) for s in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first["pvals"], other["pvals"])


def test_order_of_cells_in_the_frame_does_not_matter(noise):
    adata, scores = noise
    first = interpret.rank_patterns(scores, adata, "type", n_permutations=20)
    second = interpret.rank_patterns(scores.iloc[::-1], adata, "type", n_permutations=20)
    pd.testing.assert_frame_equal(first, second)


def test_stability_is_the_share_of_models_with_the_pattern_among_the_first():
    adata = cells("aaabbb")
    high, low = [5.0, 6, 7, 1, 2, 3], [1.0, 2, 3, 5, 6, 7]
    middle = [3.0, 4, 5, 2.5, 3.5, 4.5]
    models = [
        frame(adata, p=high, q=middle, r=low),
        frame(adata, r=low, q=high, p=middle),
        frame(adata, p=high, q=middle, r=low),
    ]
    table = interpret.rank_patterns(models, adata, "type", n_top=1, n_permutations=5)
    found = {name: row(table, "a", name)["stability"] for name in "pqr"}
    assert found == {"p": pytest.approx(2 / 3), "q": pytest.approx(1 / 3), "r": 0}
    assert row(table, "b", "r")["stability"] == 1
    singles = [interpret.rank_patterns(model, adata, "type", n_permutations=1) for model in models]
    mean = np.mean([row(single, "a", "p")["scores"] for single in singles])
    assert row(table, "a", "p")["scores"] == pytest.approx(mean)


def test_models_with_other_patterns_are_refused(noise):
    adata, scores = noise
    with pytest.raises(ValueError, match="2 patterns.*patterns=first.patterns"):
        interpret.rank_patterns([scores, scores.rename(columns={"p3": "q"})], adata, "type")


def test_pattern_that_does_not_vary_has_no_effect_and_one_that_splits_labels_a_finite_one():
    adata = cells("aaabbb")
    table = interpret.rank_patterns(frame(adata, flat=0.1, split=[1, 1, 1, 0, 0, 0]), adata, "type", n_permutations=30)
    flat, split = row(table, "a", "flat"), row(table, "a", "split")
    assert (flat["scores"], flat["pvals"]) == (0, 1)
    assert np.isfinite(split["scores"])
    assert split["scores"] > 100


def test_cells_without_a_label_and_labels_of_one_cell_are_left_out(noise, caplog):
    adata, scores = noise
    expected = interpret.rank_patterns(scores.iloc[:58], adata[:58].copy(), "type", n_permutations=20)
    adata.obs.loc["c58", "type"] = None
    adata.obs.loc["c59", "type"] = "single"
    with caplog.at_level("WARNING"):
        table = interpret.rank_patterns(scores, adata, "type", n_permutations=20)
    pd.testing.assert_frame_equal(table, expected)
    assert "single" in caplog.text


def test_scanpy_reads_what_is_stored_also_from_a_file(noise, tmp_path):
    adata, scores = noise
    before = adata.obs.copy()
    table = interpret.rank_patterns(scores, adata, "type", n_permutations=50, key_added="patterns")
    pd.testing.assert_frame_equal(adata.obs, before)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for data in (adata, read_h5ad(tmp_path / "cells.h5ad")):
        read = sc.get.rank_genes_groups_df(data, None, key="patterns")
        assert list(read["names"]) == list(table["names"])
        assert list(read["group"]) == list(table["group"])
        np.testing.assert_allclose(read["scores"], table["scores"], rtol=1e-6)
        np.testing.assert_array_equal(read[["pvals", "pvals_adj"]], table[["pvals", "pvals_adj"]])
        one = sc.get.rank_genes_groups_df(data, "a", key="patterns", pval_cutoff=0.05)
        expected = table[(table["group"] == "a") & (table["pvals_adj"] < 0.05)]
        assert list(one["names"]) == list(expected["names"])


def test_form_is_that_of_scanpys_own(noise):
    adata, scores = noise
    other = AnnData(scores.to_numpy(), obs=adata.obs)
    sc.tl.rank_genes_groups(other, "type", method="t-test")
    interpret.rank_patterns(scores, adata, "type", n_permutations=5, key_added="patterns")
    theirs, ours = other.uns["rank_genes_groups"], adata.uns["patterns"]
    assert set(ours) == set(theirs)
    assert set(ours["params"]) == set(theirs["params"])
    for name in ("scores", "pvals", "pvals_adj", "logfoldchanges"):
        assert ours[name].dtype == theirs[name].dtype
    # A t statistic with both variances ranks patterns much as their standardised difference does.
    assert theirs["names"]["a"][0] == "0"


def test_nothing_is_stored_unless_asked(noise):
    interpret.rank_patterns(noise[1], noise[0], "type", n_permutations=5)
    assert not noise[0].uns


@pytest.fixture(scope="module")
def of_markers(make_model, train, marker_sets):
    """Give a model whose patterns are the markers; shared, so no test may change it."""
    model = make_model(patterns=marker_sets)
    return train(model, 25, plan_kwargs={"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}})


@pytest.mark.parametrize("scores", ["attribution", "attention"])
def test_trained_model_finds_the_markers_of_each_label(make_adata, of_markers, scores):
    model, query = of_markers, make_adata(60, seed=7)
    table = interpret.rank_patterns(model, query, "cell_type", scores=scores, n_permutations=99)
    assert set(table["names"]) == set(model.patterns.names)
    if scores == "attribution":
        largest = table.loc[table.groupby("group", observed=True)["difference"].idxmax()]
        assert list(largest["names"]) == [f"type_{i} markers" for i in range(3)]
        assert (largest["pvals"] == 1 / 100).all()
    else:
        own = model.get_pattern_attention(query)[list(model.patterns.names)]
        pd.testing.assert_frame_equal(
            table, interpret.rank_patterns(own, query, "cell_type", n_permutations=99), check_categorical=False
        )


def test_annotator_gives_the_models_table_and_has_no_attention(make_adata, trained, tmp_path):
    query = make_adata(40, seed=7)
    annotator = trained.export_student(tmp_path)
    model, student = (interpret.rank_patterns(m, query, "cell_type", n_permutations=20) for m in (trained, annotator))
    pd.testing.assert_frame_equal(model, student, rtol=1e-4)
    with pytest.raises(TypeError, match="scores='attribution'"):
        interpret.rank_patterns(annotator, query, "cell_type", scores="attention")


def test_mudata_is_ranked_over_the_patterns_of_all_modalities(make_mdata, joint):
    mdata = make_mdata(60, seed=5)
    table = interpret.rank_patterns(joint, mdata, "cell_type", n_permutations=20, key_added="patterns")
    assert set(table["names"]) == set(joint.patterns.names)
    assert list(mdata.uns["patterns"]["names"]["type_0"]) == list(table["names"][table["group"] == "type_0"])


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"groupby": "tpye"}, KeyError, "Did you mean groupby='type'"),
        ({"groupby": ["a", "b"]}, ValueError, "2 values for 60 cells"),
        ({"groupby": ["a"] * 60}, ValueError, "1 label"),
        ({"groupby": cells(["a", "b", "c"] * 20).obs["type"][::-1]}, ValueError, "not the 60 cells in their order"),
        ({"batch_key": "no"}, KeyError, "batch_key='no'"),
        ({"scores": "shap"}, ValueError, "'attribution'"),
        ({"n_permutations": 0}, ValueError, "n_permutations=0"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"key_added": 3}, TypeError, "key_added"),
        ({"model_or_frame": []}, ValueError, "empty list"),
        ({"model_or_frame": "model"}, TypeError, "plkd.PLKD"),
    ],
)
def test_wrong_arguments_are_refused_by_name(noise, change, error, told):
    adata, scores = noise
    with pytest.raises(error, match=told):
        interpret.rank_patterns(**{"model_or_frame": scores, "adata": adata, "groupby": "type", **change})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda frame: frame.iloc[:-1], "59 rows"),
        (lambda frame: frame.rename(index={"c0": "other"}), "not the 60 cells"),
        (lambda frame: frame.where(frame < 105), "not finite"),
        (lambda frame: frame.iloc[:, :0], "no columns"),
        (lambda frame: frame.iloc[:, [0, 0]], "repeat"),
        (lambda frame: frame.astype(str), "expected numbers"),
    ],
)
def test_frames_that_do_not_fit_are_refused(noise, spoil, told):
    adata, scores = noise
    with pytest.raises(ValueError, match=told):
        interpret.rank_patterns(spoil(scores), adata, "type")
