"""A model learns on with a second reference: new labels behind the old ones, nothing frozen, what is old is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plkd import PLKD, presets

ENOUGH = {"teacher": {"lr": 1e-2, "max_epochs": 20}, "student": {"lr": 1e-2, "max_epochs": 50}}


def part(make_adata, labels, *, n_obs=120, seed=0, batch="lab_a"):
    """Cells of some of four types, from a laboratory of their own."""
    adata = make_adata(n_obs, n_labels=4, n_batches=1, seed=seed)
    adata = adata[adata.obs["cell_type"].isin([f"type_{i}" for i in labels]).to_numpy()].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str)
    adata.obs["batch"] = batch
    return adata


@pytest.fixture(scope="module")
def first(make_adata, train):
    """A reference of two types and a model of it; shared, so no test may change the model."""
    adata = part(make_adata, [1, 3])
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    torch.manual_seed(0)
    model = PLKD(
        adata,
        preset=presets.default.replace(confidence={"n_folds": 0}),
        teacher_kwargs={"width": 8, "n_heads": 2, "depth": 1},
        student_kwargs={"n_hidden": (16, 8), "dropout": 0.1},
    )
    return train(model, plan_kwargs=ENOUGH, batch_size=16)


@pytest.fixture
def second(make_adata):
    """New types 0 and 2, the old type 3, but no type 1; genes in another order."""
    adata = part(make_adata, [0, 2, 3], seed=1, batch="lab_b")
    return adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()


def test_new_labels_stand_behind_the_old_ones_in_the_order_of_their_categories(first, second):
    grown = PLKD.load_query_data(second, first)
    assert first.labels == ["type_1", "type_3"]
    assert grown.labels == ["type_1", "type_3", "type_0", "type_2"]
    second.obs["cell_type"] = (
        second.obs["cell_type"].astype("category").cat.reorder_categories(["type_3", "type_2", "type_0"])
    )
    assert PLKD.load_query_data(second, first).labels == ["type_1", "type_3", "type_2", "type_0"]
    assert first.labels == ["type_1", "type_3"]


def test_before_it_learns_on_a_model_tells_the_old_labels_apart_as_before(first, second):
    grown = PLKD.load_query_data(second, first)
    with pytest.raises(RuntimeError, match="not trained"):
        grown.predict()
    grown.is_trained_ = True
    for network in ("teacher", "student"):
        np.testing.assert_array_equal(
            grown.get_latent_representation(second, model=network),
            first.get_latent_representation(second, model=network),
        )
    old, new = first.module.state_dict(), grown.module.state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][: len(value)] if value.ndim else new[name], value), name
    heads = [name for name, value in new.items() if value.shape != old[name].shape]
    assert sorted(heads) == [f"{net}.head.{what}" for net in ("student", "teacher") for what in ("bias", "weight")]


def test_no_weight_is_frozen(first, second, train):
    grown = PLKD.load_query_data(second, first)
    before = {name: p.detach().clone() for name, p in grown.module.named_parameters()}
    train(grown, 2)
    for name, parameter in grown.module.named_parameters():
        assert parameter.requires_grad
        assert not torch.equal(parameter, before[name]), name


def test_features_of_new_labels_gain_weight_and_the_networks_say_the_same(first, second):
    from plkd.model._grow import raise_weights

    grown = PLKD.load_query_data(second, first)
    grown.is_trained_ = True
    before = {network: grown.get_latent_representation(model=network) for network in ("teacher", "student")}
    old = grown.module.scaling["rna"].weight.clone()
    found = np.where(np.arange(60) < 30, 3.0, 0.1)
    raise_weights(grown.module, {"rna": found})
    torch.testing.assert_close(
        grown.module.scaling["rna"].weight, torch.maximum(old, torch.as_tensor(found, dtype=torch.float32))
    )
    assert (grown.module.scaling["rna"].weight > old).any()
    for network, latent in before.items():
        np.testing.assert_allclose(grown.get_latent_representation(model=network), latent, rtol=1e-3, atol=1e-4)


def share_right(model, adata, label):
    own = (adata.obs["cell_type"] == label).to_numpy()
    return np.mean(model.predict(adata)[own] == label)


def test_old_and_new_labels_are_told_where_the_first_reference_is_given_and_forgotten_without(
    first, second, make_adata, train, caplog
):
    everything = part(make_adata, [0, 1, 2, 3], seed=7, batch="lab_c")
    settings = {"plan_kwargs": ENOUGH, "batch_size": 16}
    grown = PLKD.load_query_data(second, first)
    train(grown, earlier=first.adata, **settings)
    assert "forgets" not in caplog.text
    for label in grown.labels:
        assert share_right(grown, everything, label) > 0.9, label
    alone = PLKD.load_query_data(second, first)
    train(alone, **settings)
    assert "type_1" in caplog.text
    assert "forgets" in caplog.text
    assert share_right(alone, everything, "type_0") > 0.9
    assert share_right(alone, everything, "type_1") < share_right(grown, everything, "type_1")


def test_the_first_model_and_both_references_are_not_changed(first, second, train):
    weights = {name: value.clone() for name, value in first.module.state_dict().items()}
    earlier, given = first.adata.copy(), second.copy()
    grown = PLKD.load_query_data(second, first)
    train(grown, 1, earlier=earlier)
    assert all(torch.equal(value, weights[name]) for name, value in first.module.state_dict().items())
    assert (earlier.X != first.adata.X).nnz == 0
    assert list(earlier.obs) == list(first.adata.obs)
    assert (second.X != given.X).nnz == 0
    assert set(second.obs) - set(given.obs) == {"_scvi_labels", "_scvi_batch"}


def test_numbers_of_cells_are_those_of_the_second_reference(first, second, train):
    grown = train(PLKD.load_query_data(second, first), 1, earlier=first.adata)
    assert max(grown.train_indices.max(), grown.validation_indices.max()) < second.n_obs
    assert len(np.union1d(grown.train_indices, grown.validation_indices)) == second.n_obs


@pytest.mark.parametrize("as_mask", [False, True])
def test_a_split_that_is_given_is_of_the_second_reference(first, second, train, as_mask):
    held = np.arange(second.n_obs) % 4 == 0
    parts = [~held, held] if as_mask else [np.flatnonzero(~held), np.flatnonzero(held)]
    grown = PLKD.load_query_data(second, first)
    train(grown, 1, earlier=first.adata, datasplitter_kwargs={"external_indexing": parts})
    np.testing.assert_array_equal(grown.train_indices, np.flatnonzero(~held))
    np.testing.assert_array_equal(grown.validation_indices, np.flatnonzero(held))
    outside = [np.arange(second.n_obs), np.array([second.n_obs])]
    with pytest.raises(ValueError, match="cell numbers"):
        train(grown, 1, earlier=first.adata, datasplitter_kwargs={"external_indexing": outside})


def test_from_a_folder_and_into_one(first, second, train, tmp_path):
    first.save(tmp_path / "first")
    torch.manual_seed(1)
    grown = train(PLKD.load_query_data(second, first), 1)
    assert PLKD.load_query_data(second, tmp_path / "first").labels == grown.labels
    loaded = PLKD.load(tmp_path / "first", adata=False, accelerator="cpu")
    torch.manual_seed(1)
    same = train(PLKD.load_query_data(second, loaded), 1)
    assert all(torch.equal(value, same.module.state_dict()[name]) for name, value in grown.module.state_dict().items())
    grown.save(tmp_path / "grown")
    loaded = PLKD.load(tmp_path / "grown", adata=second, accelerator="cpu")
    assert loaded.labels == grown.labels
    np.testing.assert_array_equal(loaded.predict(), grown.predict())
    again = PLKD.load_query_data(first.adata.copy(), loaded)
    assert again.labels == grown.labels


def test_a_model_that_is_calibrated_learns_on(make_joint_model, make_mdata, train):
    old = train(make_joint_model(make_mdata(60)), 1)
    mdata = make_mdata(60, seed=3)
    labels = mdata.obs["cell_type"].astype(str)
    mdata.obs["cell_type"] = labels.where(labels != "type_0", "type_9")
    grown = PLKD.load_query_data(mdata, old)
    train(grown, 1, earlier=make_mdata(60), unlabeled=make_mdata(20, modalities=("rna",), seed=5))
    assert grown.labels == ["type_0", "type_1", "type_2", "type_9"]
    soft = grown.predict(mdata, soft=True)
    assert list(soft.columns) == grown.labels
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    assert grown.annotate(mdata)["novelty"].notna().all()


def no_column(adata):
    del adata.obs["cell_type"]
    return adata


def no_label(adata):
    adata.obs["cell_type"] = "Unknown"
    return adata


def other_genes(adata):
    adata.var_names = [f"other_{i}" for i in range(adata.n_vars)]
    return adata


BAD = {
    "path": (lambda a: "second.h5ad", TypeError, "adata is a str"),
    "view": (lambda a: a[:20], ValueError, "view"),
    "no column": (no_column, KeyError, "cell_type"),
    "no label": (no_label, ValueError, "unlabeled=query"),
    "other genes": (other_genes, ValueError, "Fix"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_second_reference_is_refused(first, second, case):
    change, error, message = BAD[case]
    with pytest.raises(error, match=message):
        PLKD.load_query_data(change(second), first)


def test_a_bad_first_model_is_refused(first, second, make_model):
    with pytest.raises(TypeError, match="reference_model is a dict"):
        PLKD.load_query_data(second, {})
    with pytest.raises(ValueError, match="not trained"):
        PLKD.load_query_data(second, make_model())


@pytest.mark.parametrize(
    ("earlier", "error", "message"),
    [
        (lambda model: "first.h5ad", TypeError, "earlier is a str"),
        (lambda model: model.adata, ValueError, "earlier is the reference"),
        (lambda model: no_column(model.adata.copy()), KeyError, "cell_type"),
        (lambda model: model.adata[:0].copy(), ValueError, "0 cells"),
        (lambda model: no_label(model.adata.copy()), ValueError, "none of the model's labels"),
    ],
)
def test_a_bad_earlier_reference_is_refused_before_any_work(first, second, train, earlier, error, message):
    grown = PLKD.load_query_data(second, first)
    with pytest.raises(error, match=message):
        train(grown, 1, earlier=earlier(grown))
    assert not grown.history_
