"""Which cells without a label the Teacher reads otherwise, and how: each batch by itself, and only where it learned nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.special import softmax

from plkd import presets
from plkd.data import JoinedCells
from plkd.inference import find_changes, run_teacher
from plkd.model._batches_alike import batches_alike, changed_logits
from plkd.model._profiles import label_profiles
from plkd.model._unlabeled import join_unlabeled, sure_calls
from plkd.train import DistillationPlan, Split


def split(train, unlabeled) -> Split:
    none = np.array([], dtype=np.int64)
    return Split(np.asarray(train), none, none, np.asarray(unlabeled, dtype=np.int64), "")


@pytest.fixture
def parts(trained, make_adata):
    """The reference, and behind it a query of two batches that lacks ten genes."""
    query = make_adata(80, seed=5)[:, :50].copy()
    rng = np.random.default_rng(0)
    query.X = sparse.csr_matrix(rng.poisson(query.X.toarray() * rng.lognormal(0, 1.2, 50)).astype(np.float32))
    return join_unlabeled(trained._reference_cells(), query, trained._specs, "batch")


def test_each_batch_without_labels_is_found_by_itself(trained, parts):
    assert isinstance(parts, JoinedCells)
    scaling, teacher = trained._scaling(), trained.module.teacher.eval()
    found = batches_alike(scaling, teacher, parts, split(np.arange(120), np.arange(120, 200)))
    assert [set(parts.batch[each.cells]) for each in found] == [{2}, {3}]
    np.testing.assert_array_equal(np.sort(np.concatenate([each.cells for each in found])), np.arange(120, 200))
    profiles = label_profiles(scaling, parts, np.arange(120), 3)
    # The same cells alone, numbered by the query.
    alone = parts.parts[1]
    for each in found:
        own = each.cells - 120

        def chances_of(changes, own=own):
            return softmax(changed_logits(scaling, teacher, alone, own, changes), axis=1)

        expected = find_changes(scaling, alone, own, profiles, chances_of, n_rounds=1)["rna"]
        np.testing.assert_allclose(each.changes["rna"].factor, expected.factor, rtol=1e-4)
        np.testing.assert_allclose(each.changes["rna"].shift, expected.shift, atol=1e-4)
        assert (each.changes["rna"].factor[50:] == 1).all()  # of genes that are not there nothing is known
        assert (np.abs(np.log(each.changes["rna"].factor[:50])) > 0.05).mean() > 0.3


def test_batches_of_which_the_teacher_has_learned_labels_are_read_as_they_are(trained):
    scaling, teacher, cells = trained._scaling(), trained.module.teacher.eval(), trained._reference_cells()
    first = np.flatnonzero(cells.batch == 0)
    assert batches_alike(scaling, teacher, cells, split(first[::2], first[1::2])) == []
    assert batches_alike(scaling, teacher, cells, split(first, [])) == []
    other = np.flatnonzero(cells.batch == 1)
    (found,) = batches_alike(scaling, teacher, cells, split(first[::2], np.union1d(first[1::2], other)))
    np.testing.assert_array_equal(found.cells, other)


def test_a_query_that_the_student_learns_from_is_said_once(make_model, make_adata, train, caplog):
    with caplog.at_level("INFO", logger="plkd"):
        train(make_model(), 1, unlabeled=make_adata(40, seed=5))
    said = [r.getMessage() for r in caplog.records if "as the reference's would look" in r.getMessage()]
    assert said == ["The Teacher reads 40 cells without a label as the reference's would look (2 batches)"]


@pytest.mark.parametrize("settings", [{"kd_weight": 0.0}, {"unlabeled_ratio": 0.0}])
def test_where_no_teacher_teaches_the_query_none_is_asked(make_model, make_adata, train, caplog, settings):
    with caplog.at_level("INFO", logger="plkd"):
        train(make_model(), 1, unlabeled=make_adata(40, seed=5), plan_kwargs={"student": settings})
    assert "as the reference's would look" not in caplog.text


def test_of_large_batches_some_cells_are_looked_at_spread_over_all(trained, parts, monkeypatch):
    from plkd.model import _batches_alike

    asked = []
    monkeypatch.setattr(_batches_alike, "_MOST_CELLS", 20)
    monkeypatch.setattr(_batches_alike, "_LEAST_OF_A_BATCH", 10)
    monkeypatch.setattr(
        _batches_alike, "find_changes", lambda scaling, cells, looked_at, *args, n_rounds: asked.append(looked_at) or {}
    )
    found = batches_alike(
        trained._scaling(), trained.module.teacher.eval(), parts, split(np.arange(120), np.arange(120, 200))
    )
    for each, some in zip(found, asked, strict=True):
        assert 5 <= len(some) <= 10
        steps = np.diff(np.flatnonzero(np.isin(each.cells, some)))
        assert len(set(steps)) == 1
        assert each.cells[0] == some[0]
        assert len(each.cells) - np.flatnonzero(each.cells == some[-1])[0] <= steps[0]
    assert sum(len(each.cells) for each in found) == 80


@pytest.mark.parametrize("mixup", [0.0, 1.0])
@pytest.mark.parametrize("self_training", [None, 0.5])
def test_what_the_teacher_says_of_a_query_is_said_of_the_changed_cells(
    make_model, make_adata, train, monkeypatch, mixup, self_training
):
    """Where cells are mixed, where they are not, where they are aligned and where they are called."""
    query = make_adata(60, seed=5)
    rng = np.random.default_rng(0)
    query.X = sparse.csr_matrix(rng.poisson(query.X.toarray() * rng.lognormal(0, 2, 60)).astype(np.float32))
    found, plans, called = [], [], []

    def finding(*args):
        found.extend(batches_alike(*args))
        return list(found)

    class Noting(DistillationPlan):
        def __init__(self, module, teacher_logits, *args, **kwargs):
            plans.append((teacher_logits, kwargs["readings"]))
            super().__init__(module, teacher_logits, *args, **kwargs)

    def calling(logits, *args):
        called.append(logits)
        return sure_calls(logits, *args)

    monkeypatch.setattr("plkd.model._phases.batches_alike", finding)
    monkeypatch.setattr("plkd.model._phases.DistillationPlan", Noting)
    monkeypatch.setattr("plkd.model._phases.sure_calls", calling)
    settings = {"mixup": mixup, "self_training": self_training, "max_epochs": 1}
    model = make_model(preset=presets.default.replace(confidence={"n_folds": 0}))
    train(model, 20, unlabeled=query, plan_kwargs={"teacher": {"lr": 1e-2}, "student": settings})
    ((logits, readings),) = plans
    scaling, teacher = model._scaling(), model.module.teacher
    cells = join_unlabeled(model._reference_cells(), query, model._specs, "batch")
    plain = run_teacher(scaling, teacher, cells, np.arange(180)).logits
    expected = plain.copy()
    for each in found:
        expected[each.cells] = changed_logits(scaling, teacher, cells, each.cells, each.changes)
    assert np.abs(plain - expected)[120:].max() > 0.1
    asked = np.arange(120, 180) if mixup else np.union1d(model.train_indices, np.arange(120, 180))
    np.testing.assert_allclose(logits.numpy()[asked], expected[asked], rtol=1e-3, atol=1e-3)
    assert (readings is not None) == (mixup > 0)
    if readings is not None:
        assert (readings.of[:120] == 0).all()
        assert sorted(set(readings.of[120:].tolist())) == [1, 2]
    assert len(called) == (self_training is not None)
    for own in called:
        asked = np.union1d(model.validation_indices, np.arange(120, 180))
        np.testing.assert_allclose(own[asked], expected[asked], rtol=1e-3, atol=1e-3)
