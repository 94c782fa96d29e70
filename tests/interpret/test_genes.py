from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from plkd import interpret


@pytest.fixture(scope="module")
def query(make_adata):
    return make_adata(60, seed=7)


@pytest.fixture(scope="module")
def genes(trained, query):
    return interpret.gene_attribution(trained, query)


def test_each_label_has_all_genes_the_largest_score_first(trained, query, genes):
    assert list(genes.columns) == ["group", "names", "modality", "scores"]
    assert list(genes["group"].cat.categories) == trained.labels
    for _, part in genes.groupby("group", observed=True):
        assert sorted(part["names"]) == sorted(query.var_names)
        assert part["scores"].is_monotonic_decreasing


def test_the_labels_markers_speak_for_it(query, genes):
    for label, part in genes.groupby("group", observed=True):
        marker_of = query.var["marker_of"].loc[part["names"]].to_numpy()
        assert (marker_of[:5] == label).sum() >= 4
        means = part.groupby(marker_of)["scores"].mean()
        assert means.idxmax() == label
        assert means[label] > 2 * means.drop(label).max()


def test_scores_sum_to_the_logit_of_the_cells_less_that_of_an_empty_cell(trained, query, genes):
    def contrast(adata, labels):
        logits = trained._run_student(trained._cells(adata)[0], np.arange(adata.n_obs), None).logits
        at = [trained.labels.index(label) for label in labels]
        return logits[np.arange(len(at)), at] - logits.mean(axis=1)

    called = trained.predict(query)
    empty = AnnData(np.zeros(query.shape, dtype="float32"), obs=query.obs[[]], var=query.var)
    difference = pd.Series(contrast(query, called) - contrast(empty, called)).groupby(called).mean()
    sums = genes.groupby("group", observed=True)["scores"].sum()
    assert (difference > 0.2).sum() > 1
    np.testing.assert_allclose(sums[difference.index], difference, rtol=0.02, atol=0.01)


def test_scores_summed_over_a_patterns_genes_are_its_attribution(trained, query):
    genes = interpret.gene_attribution(trained, query)
    expected = trained.get_pattern_attribution(query, groupby=trained.predict(query))
    for pattern in trained.patterns.names:
        held = interpret.genes_of_pattern(trained, genes, pattern)
        sums = held.groupby("group", observed=True)["scores"].sum()
        np.testing.assert_allclose(sums[expected.index], expected[pattern], rtol=1e-3, atol=1e-5)


def test_genes_of_a_pattern_are_its_own_with_shares(trained, genes):
    pattern = trained.patterns.names[0]
    held = interpret.genes_of_pattern(trained, genes, pattern)
    part = held[held["group"] == "type_0"]
    assert set(part["names"]) == set(trained.patterns[pattern])
    np.testing.assert_allclose(part["share"], part["scores"].abs() / part["scores"].abs().sum())
    assert part["scores"].is_monotonic_decreasing


def test_a_gene_and_a_protein_of_one_name_stay_apart(make_mdata, make_joint_model, train):
    mdata = make_mdata(60)
    mdata.mod["prot"].var_names = ["GENE000", *mdata.mod["prot"].var_names[1:]]
    mdata.update()
    model = train(make_joint_model(mdata), 2)
    genes = interpret.gene_attribution(model)
    n_labels = genes["group"].nunique()
    assert genes["modality"].value_counts().to_dict() == {
        "rna": 40 * n_labels,
        "prot": 12 * n_labels,
        "atac": 60 * n_labels,
    }
    sums = genes.groupby(["group", "modality"], observed=True)["scores"].sum()
    assert (sums != 0).all()
    expected = model.get_pattern_attribution(groupby=model.predict())
    for pattern in model.patterns.names:
        held = interpret.genes_of_pattern(model, genes, pattern)
        assert set(held["modality"]) == {model.token_kinds[pattern]}
        own = held.groupby("group", observed=True)["scores"].sum()
        np.testing.assert_allclose(own[expected.index], expected[pattern], rtol=1e-3, atol=1e-5)


def test_labels_and_cells_can_be_chosen(trained, query, genes):
    two = interpret.gene_attribution(trained, query, label=["type_2", "type_0"])
    assert list(two["group"].cat.categories) == ["type_2", "type_0"]
    again = interpret.gene_attribution(trained, query, label=["type_2", "type_0", "type_2"])
    pd.testing.assert_frame_equal(again, two)
    one = interpret.gene_attribution(trained, query, label="type_2")
    pd.testing.assert_frame_equal(one, two[two["group"] == "type_2"].assign(group=one["group"]))
    called = np.flatnonzero(trained.predict(query) == "type_2")
    some = interpret.gene_attribution(trained, query, indices=called)
    pd.testing.assert_frame_equal(some, one, rtol=1e-4)


def test_wrong_arguments_are_refused_by_name(trained, query, genes, tmp_path):
    with pytest.raises(ValueError, match="label='type_9'"):
        interpret.gene_attribution(trained, query, label="type_9")
    called = np.flatnonzero(trained.predict(query) == "type_0")
    with pytest.raises(ValueError, match="No cell is called 'type_1'"):
        interpret.gene_attribution(trained, query, label="type_1", indices=called)
    with pytest.raises(ValueError, match="method='shap'"):
        interpret.gene_attribution(trained, query, method="shap")
    with pytest.raises(TypeError, match="plkd.PLKD"):
        interpret.gene_attribution("model", query)
    name = trained.patterns.names[0]
    with pytest.raises(KeyError, match="Did you mean"):
        interpret.genes_of_pattern(trained, genes, name[:-1])
    with pytest.raises(ValueError, match="no column 'group'"):
        interpret.genes_of_pattern(trained, query.obs, name)


def test_untrained_model_is_refused(make_model):
    with pytest.raises(RuntimeError, match="not trained"):
        interpret.gene_attribution(make_model())
