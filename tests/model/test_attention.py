from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def test_attention_sums_to_one_over_patterns_and_free_tokens(make_adata, trained):
    query = make_adata(20, seed=4)
    att = trained.get_pattern_attention(query)
    assert att.index.equals(query.obs_names)
    assert list(att.columns[: len(trained.patterns)]) == list(trained.patterns.names)
    assert list(att.columns[len(trained.patterns) :]) == [f"free_{i + 1}" for i in range(trained.module.teacher.n_free)]
    np.testing.assert_allclose(att.sum(axis=1), 1, atol=1e-5)
    assert (att.to_numpy() >= 0).all()


def test_raw_attention_leaves_the_class_token_in(make_adata, trained):
    raw = trained.get_pattern_attention(make_adata(20, seed=4), raw=True)
    assert (raw.sum(axis=1) < 1).all()
    normalised = raw.div(raw.sum(axis=1), axis=0)
    pd.testing.assert_frame_equal(normalised, trained.get_pattern_attention(make_adata(20, seed=4)), atol=1e-5)


def test_free_tokens_are_numbered(make_model, train):
    model = train(make_model(teacher_kwargs={"width": 8, "n_heads": 2, "n_free": 3}), 1)
    assert list(model.get_pattern_attention(indices=[0]).columns[-3:]) == ["free_1", "free_2", "free_3"]


@pytest.mark.parametrize("method", ["get_pattern_attention", "get_pattern_attribution"])
def test_groups_by_column_or_values_are_means_over_their_cells(make_adata, trained, method):
    query = make_adata(30, seed=4)
    cells = getattr(trained, method)(query)
    labels = query.obs["cell_type"].astype(str)
    expected = cells.groupby(labels.to_numpy()).mean()
    by_column = getattr(trained, method)(query, groupby="cell_type")
    by_values = getattr(trained, method)(query, groupby=labels.to_numpy())
    by_series = getattr(trained, method)(query, groupby=query.obs["cell_type"])
    assert list(by_column.index) == ["type_0", "type_1", "type_2"]
    assert by_column.index.name == "cell_type"
    for grouped in (by_column, by_values, by_series):
        np.testing.assert_allclose(grouped, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["get_pattern_attention", "get_pattern_attribution", "get_modality_weights"])
def test_a_series_of_groups_in_another_order_is_refused_rather_than_misread(make_adata, trained, method):
    query = make_adata(30, seed=4)
    labels = query.obs["cell_type"]
    with pytest.raises(ValueError, match="groupby is a Series whose index is not the 30 cells in their order"):
        getattr(trained, method)(query, groupby=labels[::-1])
    by_position = getattr(trained, method)(query, groupby=labels.reset_index(drop=True))
    np.testing.assert_array_equal(by_position, getattr(trained, method)(query, groupby=labels))


def test_groups_follow_the_chosen_cells(make_adata, trained):
    query = make_adata(30, seed=4)
    chosen = np.array([4, 8, 9, 20])
    labels = query.obs["cell_type"].astype(str).to_numpy()[chosen]
    expected = trained.get_pattern_attention(query).iloc[chosen].groupby(labels).mean()
    np.testing.assert_allclose(
        trained.get_pattern_attention(query, groupby="cell_type", indices=chosen), expected, atol=1e-6
    )
    np.testing.assert_allclose(
        trained.get_pattern_attention(query, groupby=labels, indices=chosen), expected, atol=1e-6
    )


def test_wrong_groups_are_refused(make_adata, trained):
    query = make_adata(30)
    with pytest.raises(ValueError, match=r"shape \(30,\) for 5 cells; expected one value per cell"):
        trained.get_pattern_attention(query, groupby=["a"] * 30, indices=range(5))
    with pytest.raises(KeyError, match="groupby='celltype'"):
        trained.get_pattern_attention(query, groupby="celltype")


def test_attributions_count_patterns_by_their_own_genes(trained):
    """With patterns that part the genes, a cell's attributions sum to its call's contrast, less that of a cell without counts."""
    sizes = np.asarray((trained.patterns.membership != 0).sum(axis=1)).ravel()
    assert (sizes == 1).all(), "learned patterns part the genes"
    scores = trained.get_pattern_attribution(indices=[0, 1])
    import torch

    cells, _ = trained._cells(None)
    with torch.no_grad():
        x = trained.module.scale(cells[[0, 1]])["rna"]
        logits, nothing = (trained.module.student({"rna": values})[0] for values in (x, torch.zeros_like(x)))
    called = logits.argmax(dim=1, keepdim=True)
    gained = [(v.gather(1, called)[:, 0] - v.mean(dim=1)).numpy() for v in (logits, nothing)]
    np.testing.assert_allclose(scores.sum(axis=1), gained[0] - gained[1], atol=2e-3)


def test_calls_rest_on_the_markers_of_their_label(make_adata, make_model, train):
    adata = make_adata(120)
    markers = {
        label: list(adata.var_names[adata.var["marker_of"] == label]) for label in ("type_0", "type_1", "type_2")
    }
    fast = {"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}}
    model = train(make_model(adata, patterns=markers), 30, plan_kwargs=fast)
    found = model.get_pattern_attribution(make_adata(60, seed=5), groupby="cell_type")[list(markers)]
    assert (found.to_numpy().argmax(axis=1) == range(3)).all()
    assert (np.diag(found) > 0).all()
