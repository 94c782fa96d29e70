"""A query that teaches without its labels: aligned as any query, never changed, kept or believed."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import torch

from plkd import PLKD, presets

#: Not calibrated, to save time.
QUICK = presets.default.replace(confidence={"n_folds": 0})


def weights(model):
    return model.module.state_dict()


def same(a, b):
    return all(torch.equal(value, weights(b)[name]) for name, value in weights(a).items())


@pytest.fixture
def query(make_adata):
    """Cells of another laboratory with fewer genes in another order, and labels that nobody may read."""
    genes = np.random.default_rng(0).permutation(60)[:50]
    adata = make_adata(45, seed=5)[:, genes].copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    return adata


@pytest.fixture
def taught(make_model, train):
    def run(query, **kwargs):
        return train(make_model(preset=QUICK), 2, unlabeled=query, **kwargs)

    return run


def test_scrambled_or_missing_labels_of_the_query_give_the_same_weights(taught, query):
    first = taught(query)
    scrambled = query.copy()
    scrambled.obs["cell_type"] = np.random.default_rng(0).permutation(scrambled.obs["cell_type"])
    assert same(first, taught(scrambled))
    del scrambled.obs["cell_type"]
    assert same(first, taught(scrambled))


def test_the_query_changes_the_weights_and_the_same_seed_does_not(taught, make_model, train, query):
    assert same(taught(query), taught(query))
    assert not same(taught(query), train(make_model(preset=QUICK), 2))


def test_the_teacher_and_the_doubted_labels_are_those_without_the_query(make_adata, make_model, train, query):
    reference = make_adata(120)
    labels = reference.obs["cell_type"].to_numpy().copy()
    reference.obs["cell_type"] = np.where(np.arange(120) % 9 == 0, np.roll(labels, 1), labels)
    preset = presets.default.replace(confidence={"n_folds": 2})
    models = []
    for unlabeled in (None, query):
        torch.manual_seed(0)
        models.append(train(make_model(reference.copy(), preset=preset), 8, unlabeled=unlabeled))
    alone, beside = models
    assert len(alone.doubtful_indices) > 0
    np.testing.assert_array_equal(alone.doubtful_indices, beside.doubtful_indices)
    teachers = [model.module.teacher.state_dict() for model in models]
    assert all(torch.equal(value, teachers[1][name]) for name, value in teachers[0].items())
    assert not same(alone, beside)


def test_order_of_genes_and_storage_do_not_matter(taught, query, tmp_path):
    first = taught(query)
    assert same(first, taught(query[:, ::-1].copy()))
    whole = ad.concat([query, query[:5]])
    whole.obs_names_make_unique()
    assert same(first, taught(whole[:45]))
    query.write_h5ad(tmp_path / "query.h5ad")
    backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    assert same(first, taught(backed))
    backed.file.close()


def test_the_query_is_not_changed(taught, query):
    before = query.copy()
    taught(query)
    assert list(query.obs) == list(before.obs)
    assert (query.obs == before.obs).all(axis=None)
    assert query.uns.keys() == before.uns.keys()
    assert (query.X != before.X).nnz == 0
    assert (query.var_names == before.var_names).all()


def test_the_model_keeps_neither_the_query_nor_its_size(taught, query, tmp_path):
    model = taught(query)
    assert model.adata.n_obs == 120
    assert len(np.union1d(model.train_indices, model.validation_indices)) + len(model.doubtful_indices) == 120
    assert model.training_["reference"]["cells"] == 120
    assert model.training_["dropped"]["cells without a label"] == 0
    model.save(tmp_path / "model")
    content = (tmp_path / "model" / "model.pt").read_bytes()
    query.obs_names = [f"cell_of_the_query_{i}" for i in range(45)]
    assert b"cell_of_the_query" not in content
    loaded = PLKD.load(tmp_path / "model", accelerator="cpu")
    np.testing.assert_array_equal(loaded.predict(query), model.predict(query))


def test_batches_of_the_query_are_others_than_those_of_the_reference(make_model, query):
    from plkd.model._unlabeled import join_unlabeled

    model = make_model()
    joined = join_unlabeled(model._reference_cells(), query, model._specs, "batch")
    assert set(joined.batch[:120]) == {0, 1}
    assert set(joined.batch[120:]) == {2, 3}
    of_query = query.obs["batch"].to_numpy()
    assert ((joined.batch[120:] == joined.batch[120]) == (of_query == of_query[0])).all()
    del query.obs["batch"]
    assert set(join_unlabeled(model._reference_cells(), query, model._specs, "batch").batch[120:]) == {2}
    assert set(join_unlabeled(model._reference_cells(), query, model._specs, None).batch[120:]) == {2}


BAD = {
    "path": (lambda q, ref: "query.h5ad", TypeError, "unlabeled is a str"),
    "frame": (lambda q, ref: q.to_df(), TypeError, "unlabeled is a DataFrame"),
    "reference": (lambda q, ref: ref, ValueError, "is the reference"),
    "empty": (lambda q, ref: q[:0].copy(), ValueError, "0 cells"),
    "no gene": (lambda q, ref: renamed(q), ValueError, "Fix"),
    "negative": (lambda q, ref: shifted(q), ValueError, "negative"),
}


def renamed(query):
    query.var_names = [f"other_{i}" for i in range(query.n_vars)]
    return query


def shifted(query):
    query.X = query.X.toarray() - 1
    return query


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_any_work(make_model, train, query, case):
    change, error, message = BAD[case]
    model = make_model()
    before = {name: value.clone() for name, value in weights(model).items()}
    with pytest.raises(error, match=message):
        train(model, 2, unlabeled=change(query, model.adata))
    assert not model.is_trained_
    assert not model.history_
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())


def test_a_query_of_no_modality_of_the_model_is_refused_and_one_of_some_teaches(make_joint_model, make_mdata, train):
    query = make_mdata(20, modalities=("rna", "prot"), seed=1)
    model = train(make_joint_model(), 1, unlabeled=query)
    assert model.is_trained_
    model = make_joint_model()
    stranger = query["rna"].copy()
    stranger.var_names = [f"other_{i}" for i in range(stranger.n_vars)]
    with pytest.raises(ValueError, match="Fix"):
        train(model, 1, unlabeled=stranger)
    assert not model.is_trained_


def test_an_interrupted_run_goes_on_with_the_same_query_only(make_model, train, query, tmp_path):
    import lightning.pytorch as pl

    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if pl_module.phase == "student" and trainer.current_epoch == 1:
                raise RuntimeError("power cut")

    settings = {"student": {"self_training": 0.5}}
    whole = train(make_model(), 2, unlabeled=query, plan_kwargs=settings)
    with pytest.raises(RuntimeError, match="power cut"):
        train(make_model(), 2, unlabeled=query, plan_kwargs=settings, checkpoint_dir=tmp_path, callbacks=[Stop()])
    with pytest.raises(ValueError, match="unlabeled"):
        train(make_model(), 2, plan_kwargs=settings, checkpoint_dir=tmp_path)
    resumed = train(make_model(), 2, unlabeled=query, plan_kwargs=settings, checkpoint_dir=tmp_path)
    assert same(whole, resumed)


@pytest.mark.parametrize("value", [0, -0.1, 1.5, "auto", True])
def test_self_training_takes_a_probability(make_model, train, query, value):
    with pytest.raises(ValueError, match="self_training"):
        train(make_model(), 1, unlabeled=query, plan_kwargs={"student": {"self_training": value}})


def test_sure_calls_are_those_beyond_a_calibrated_probability():
    from plkd.confidence import fit_calibration
    from plkd.model._unlabeled import sure_calls
    from plkd.train import Split

    rng = np.random.default_rng(0)
    labels = np.r_[rng.integers(0, 3, 300), np.full(100, -1)]
    logits = rng.normal(size=(400, 3))
    logits[np.arange(300), labels[:300]] += 1.5
    none = np.array([], dtype=np.int64)
    split = Split(np.arange(150), np.arange(150, 300), none, np.arange(300, 400), "")
    called = sure_calls(logits, labels, split, 0.8)
    truth = fit_calibration(logits[150:300], labels[150:300], allowance=0.0).probabilities(logits[300:])
    sure = truth.max(axis=1) >= 0.8
    assert 0 < sure.sum() < 100
    assert (called[:300] == -1).all()
    assert (called[300:] == np.where(sure, truth.argmax(axis=1), -1)).all()
    nobody = Split(np.arange(300), none, none, np.arange(300, 400), "")
    assert (sure_calls(logits, labels, nobody, 0.8) == -1).all()


def shifted_world(seed: int, shift: float = 1.1, fold: float = 4.0):
    """Three types, and a query from a laboratory that sees each gene more or less than the reference does."""
    rng = np.random.default_rng(seed)
    n, genes = 240, 60
    label = np.arange(n) % 3
    up = np.where(np.arange(genes)[None] // 10 == np.arange(3)[:, None], fold, 1.0)
    rate = rng.lognormal(0, 0.3, genes) * up[label] * rng.lognormal(0, 0.2, (n, 1))
    is_query = np.arange(n) >= 120
    counts = rng.poisson(np.where(is_query[:, None], rate * rng.lognormal(0, shift, genes), rate))
    adata = ad.AnnData(counts.astype(np.float32))
    adata.obs["cell_type"] = [f"type_{i}" for i in label]
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.var_names = [f"GENE{i:03d}" for i in range(genes)]
    return adata[~is_query].copy(), adata[is_query].copy()


def share_right(train, seed, *, taught, **world):
    ref, query = shifted_world(seed, **world)
    PLKD.setup_anndata(ref, "cell_type")
    torch.manual_seed(seed)
    model = PLKD(
        ref,
        preset=QUICK,
        teacher_kwargs={"width": 8, "n_heads": 2, "depth": 1},
        student_kwargs={"n_hidden": (32, 16)},
    )
    fast = {"teacher": {"lr": 1e-2}, "student": {"lr": 1e-2}}
    train(model, 25, unlabeled=query if taught else None, plan_kwargs=fast)
    return np.mean(model.predict(query) == query.obs["cell_type"].to_numpy())


def test_a_shifted_query_is_called_better_when_it_teaches(train):
    alone, together = (
        np.array([share_right(train, seed, taught=taught) for seed in range(1, 7)]) for taught in (False, True)
    )
    # Of single seeds either may be ahead.
    assert together.min() >= alone.min() - 0.05
    assert together.mean() > alone.mean() + 0.01
