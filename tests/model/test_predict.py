from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch


def test_model_learns_what_it_is_taught(make_adata, trained):
    query = make_adata(100, seed=7)
    for which in ("student", "teacher"):
        assert (trained.predict(query, model=which) == query.obs["cell_type"].astype(str).to_numpy()).mean() > 0.8


@pytest.mark.parametrize("which", ["student", "teacher"])
def test_probabilities_are_a_frame_whose_rows_sum_to_one(make_adata, trained, which):
    query = make_adata(40, seed=1)
    probs = trained.predict(query, soft=True, model=which)
    assert isinstance(probs, pd.DataFrame)
    assert probs.index.equals(query.obs_names)
    assert list(probs.columns) == ["type_0", "type_1", "type_2"]
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    assert (probs.to_numpy() >= 0).all()


@pytest.mark.parametrize("which", ["student", "teacher"])
def test_hard_labels_are_the_most_probable(trained, which):
    probs = trained.predict(soft=True, model=which)
    np.testing.assert_array_equal(trained.predict(model=which), probs.idxmax(axis=1))


def test_no_data_means_the_reference(trained):
    pd.testing.assert_frame_equal(trained.predict(soft=True), trained.predict(trained.adata, soft=True))


@pytest.mark.parametrize("which", ["student", "teacher"])
def test_batch_size_does_not_change_the_answer(make_adata, trained, which):
    query = make_adata(50, seed=2)
    whole = trained.predict(query, soft=True, model=which)
    for batch_size in (1, 7, 50, 1000):
        again = trained.predict(query, soft=True, model=which, batch_size=batch_size)
        np.testing.assert_allclose(again, whole, atol=1e-5)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_impossible_batch_size_is_refused(trained, batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}"):
        trained.predict(batch_size=batch_size)


def test_indices_choose_cells_in_their_order(trained):
    chosen = [5, 2, 2, -1]
    whole = trained.predict(soft=True)
    pd.testing.assert_frame_equal(trained.predict(soft=True, indices=chosen), whole.iloc[chosen], atol=1e-6)
    np.testing.assert_array_equal(trained.predict(indices=chosen), whole.iloc[chosen].idxmax(axis=1))
    assert list(trained.annotate(indices=chosen).index) == list(whole.index[chosen])


def test_mask_chooses_cells(trained):
    mask = np.arange(trained.adata.n_obs) % 5 == 0
    pd.testing.assert_frame_equal(trained.predict(soft=True, indices=mask), trained.predict(soft=True)[mask], atol=1e-6)


@pytest.mark.parametrize("nothing", [[], np.array([], dtype=int), np.zeros(120, dtype=bool)])
def test_no_cells_give_empty_answers_of_the_right_kind(trained, nothing):
    for which in ("student", "teacher"):
        labels = trained.predict(indices=nothing, model=which)
        assert isinstance(labels, np.ndarray)
        assert labels.shape == (0,)
        assert trained.predict(indices=nothing, soft=True, model=which).shape == (0, 3)
        assert trained.get_latent_representation(indices=nothing, model=which).shape == (0, 8)
    columns = ["label", "confidence", "novelty", "runner_up", "rejected", "reason"]
    assert list(trained.annotate(indices=nothing).columns) == columns
    assert list(trained.annotate(indices=nothing, unknown="auto").columns) == columns
    assert trained.predict_sets(indices=nothing).shape == (0, 3)
    assert trained.get_pattern_attention(indices=nothing).shape == (0, trained.module.teacher.n_tokens)
    assert trained.get_pattern_attribution(indices=nothing).shape == (0, len(trained.patterns))


@pytest.mark.parametrize("indices", [[120], [-121], [0.5], np.ones(7, dtype=bool)])
def test_indices_outside_the_data_are_refused(trained, indices):
    with pytest.raises(ValueError, match="indices"):
        trained.predict(indices=indices)


def test_annotation_agrees_with_the_probabilities(make_adata, trained):
    query = make_adata(40, seed=1)
    table, probs = trained.annotate(query), trained.predict(query, soft=True)
    assert table.index.equals(query.obs_names)
    np.testing.assert_array_equal(table["label"].astype(str), probs.idxmax(axis=1))
    np.testing.assert_allclose(table["confidence"], probs.max(axis=1))
    second = probs.apply(lambda row: row.nlargest(2).index[1], axis=1)
    np.testing.assert_array_equal(table["runner_up"].astype(str), second)


@pytest.mark.parametrize(("which", "width"), [("student", 8), ("teacher", 8)])
def test_latent_is_one_row_per_cell_and_repeatable(trained, which, width):
    latent = trained.get_latent_representation(model=which)
    assert latent.shape == (120, width)
    assert latent.dtype == np.float32
    np.testing.assert_array_equal(latent, trained.get_latent_representation(model=which))


def test_unknown_network_is_refused(trained):
    with pytest.raises(ValueError, match="'student' or 'teacher'"):
        trained.predict(model="pupil")


@pytest.mark.parametrize(
    "name",
    [
        "predict",
        "annotate",
        "predict_sets",
        "get_latent_representation",
        "get_pattern_attention",
        "get_pattern_attribution",
    ],
)
def test_untrained_model_is_refused(make_model, name):
    with pytest.raises(RuntimeError, match=r"not trained.*train\(\)"):
        getattr(make_model(), name)()


def test_queries_leave_the_networks_in_evaluation_mode_and_without_gradients(trained):
    trained.module.train()
    trained.predict()
    trained.get_pattern_attribution()
    assert not trained.module.training
    assert all(parameter.grad is None for parameter in trained.module.teacher.parameters())
    before = [parameter.clone() for parameter in trained.module.parameters()]
    trained.get_pattern_attention()
    assert all(torch.equal(a, b) for a, b in zip(before, trained.module.parameters(), strict=True))


def test_all_zero_cell_is_answered(make_adata, trained):
    query = make_adata(10, fmt="dense")
    query.X[3] = 0
    for which in ("student", "teacher"):
        assert np.isfinite(trained.predict(query, soft=True, model=which).to_numpy()).all()
    assert np.isfinite(trained.get_pattern_attribution(query).to_numpy()).all()


@pytest.mark.parametrize("query", ["query.h5ad", None])
def test_what_is_no_anndata_is_refused(trained, query):
    with pytest.raises(TypeError, match="AnnData"):
        trained.predict(query or 3)
