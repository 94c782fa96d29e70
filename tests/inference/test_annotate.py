"""Annotating in mini-batches: the same table as all cells at once, from memory and from disk."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import read_h5ad

from plkd.confidence import Surroundings


@pytest.fixture(scope="module")
def model(make_adata, make_model, train):
    return train(make_model(make_adata(400, n_batches=1), batch_key=None), 3)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Samples of 100 cells."""
    monkeypatch.setattr("plkd.inference._axes.MOST_CELLS", 100)
    monkeypatch.setattr("plkd.inference._axes._RUN", 10)
    monkeypatch.setattr("plkd.inference._axes._EVERY", 1)


@pytest.mark.parametrize("batch_size", [16, 70])
@pytest.mark.parametrize("unknown", [None, 0.2])
def test_mini_batches_give_the_table_of_all_cells_at_once(model, make_adata, batch_size, unknown):
    query = make_adata(333, seed=4)
    asked = {"unknown": unknown, "over_clustering": "batch"}
    whole = model.annotate(query, **asked, batch_size=1000)
    assert whole["novelty"].nunique() > 100
    pd.testing.assert_frame_equal(model.annotate(query, **asked, batch_size=batch_size), whole, atol=1e-5)


def test_a_mosaic_in_mini_batches(joint, make_mdata):
    query = make_mdata(300, mosaic=True, seed=5)
    whole = joint.annotate(query, batch_size=1000)
    pd.testing.assert_frame_equal(joint.annotate(query, batch_size=16), whole, atol=1e-5)


@pytest.mark.parametrize("n_obs", [90, 333])
def test_novelty_is_that_of_all_cells_given_to_the_confidence(model, make_adata, n_obs):
    """The way without mini-batches, spelt out: a query that is its own sample, and one that is not."""
    from plkd.inference import run_in_surroundings

    query = make_adata(n_obs, seed=4)
    cells, _ = model._cells(query)
    confidence = model._confidence
    out, places = run_in_surroundings(
        model._scaling(), model.module.student, cells, np.arange(n_obs), confidence.profiles
    )
    assert places.sample.sum() == min(n_obs, 100)
    distances = confidence.distances(out.latent, out.logits, cells.measured())
    expected, _ = confidence.novelty(out.latent, out.logits, cells.measured(), places)
    assert not np.allclose(expected, confidence.novelty_of(distances, cells.measured())[0])
    np.testing.assert_allclose(model.annotate(query, batch_size=16)["novelty"], expected, atol=1e-5)


def test_from_a_file_no_more_cells_are_held_than_a_mini_batch(model, make_adata, tmp_path, monkeypatch):
    query = make_adata(333, seed=4)
    query.write_h5ad(tmp_path / "query.h5ad")
    whole = model.annotate(query)
    held = []
    distances = Surroundings.distances

    def counted(self, distance, *others):
        held.append(len(distance))
        return distances(self, distance, *others)

    monkeypatch.setattr(Surroundings, "distances", counted)
    backed = read_h5ad(tmp_path / "query.h5ad", backed="r")
    pd.testing.assert_frame_equal(model.annotate(backed, batch_size=16), whole, atol=1e-5)
    backed.file.close()
    assert max(held) == 16
    assert sum(held) == 333


def test_the_sample_s_pass_has_a_bar_of_its_own(model, make_adata, tmp_path, capfd):
    annotator = model.export_student(tmp_path / "a")
    annotator.annotate(make_adata(60), progress=True)
    shown = capfd.readouterr().err
    assert "Annotating: a sample first" in shown
    assert "Annotating: 100%" in shown
    annotator.annotate(make_adata(60))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("n_obs", [1, 40, 90, 333])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_several_threads_give_the_table_of_one(model, make_adata, tmp_path, monkeypatch, n_obs, batch_size):
    monkeypatch.setattr("plkd.inference._annotate._PART", 32)
    query = make_adata(n_obs, seed=4)
    query.write_h5ad(tmp_path / "query.h5ad")
    at_work = set()
    distances = Surroundings.distances

    def counted(self, *others):
        at_work.add(threading.current_thread().name)
        return distances(self, *others)

    monkeypatch.setattr(Surroundings, "distances", counted)
    before, tables = torch.get_num_threads(), []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            for cells in (query, read_h5ad(tmp_path / "query.h5ad", backed="r")):
                tables.append(model.annotate(cells, over_clustering="batch", batch_size=batch_size))
    finally:
        torch.set_num_threads(before)
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], atol=1e-5)
    if n_obs == 333:
        assert {name.partition("_")[0] for name in at_work} == {"MainThread", "plkd-compute"}


def test_a_mosaic_in_several_threads(joint, make_mdata):
    query = make_mdata(300, mosaic=True, seed=5)
    whole, before = joint.annotate(query), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = joint.annotate(query, batch_size=16)
    finally:
        torch.set_num_threads(before)
    pd.testing.assert_frame_equal(found, whole, atol=1e-5)
