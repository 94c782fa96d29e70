"""Annotating in parts: the same table as all cells at once, from memory and from disk."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from plkd.confidence import Places


@pytest.fixture(scope="module")
def model(make_adata, make_model, train):
    return train(make_model(make_adata(400, n_batches=1), batch_key=None), 3)


@pytest.fixture
def small(monkeypatch):
    """Samples of 100 cells, parts of 70."""
    monkeypatch.setattr("plkd.inference._axes.MOST_CELLS", 100)
    monkeypatch.setattr("plkd.inference._axes._RUN", 10)
    return lambda: monkeypatch.setattr("plkd.inference._annotate.PART", 70)


@pytest.mark.parametrize("batch_size", [16, 70, 1000])
@pytest.mark.parametrize("unknown", [None, 0.2])
def test_parts_give_the_table_of_all_cells_at_once(model, make_adata, small, batch_size, unknown):
    query = make_adata(333, seed=4)
    asked = {"unknown": unknown, "over_clustering": "batch", "batch_size": batch_size}
    whole = model.annotate(query, **asked)
    assert whole["novelty"].nunique() > 100
    small()
    pd.testing.assert_frame_equal(model.annotate(query, **asked), whole, atol=1e-6)


def test_a_mosaic_in_parts(joint, make_mdata, small):
    query = make_mdata(300, mosaic=True, seed=5)
    whole = joint.annotate(query)
    small()
    pd.testing.assert_frame_equal(joint.annotate(query), whole, atol=1e-6)


def test_novelty_is_that_of_all_cells_given_to_the_confidence(model, make_adata, small):
    """The way without parts, spelt out."""
    from plkd.inference import run_in_surroundings

    query = make_adata(333, seed=4)
    cells, _ = model._cells(query)
    confidence = model._confidence
    out, places = run_in_surroundings(
        model._scaling(), model.module.student, cells, np.arange(333), confidence.profiles
    )
    expected, _ = confidence.novelty(out.latent, out.logits, cells.measured(), places)
    small()
    np.testing.assert_allclose(model.annotate(query)["novelty"], expected, atol=1e-6)


def test_from_a_file_a_part_never_holds_more_cells_than_it_must(model, make_adata, small, tmp_path, monkeypatch):
    query = make_adata(333, seed=4)
    query.write_h5ad(tmp_path / "query.h5ad")
    whole = model.annotate(query)
    small()
    held = []
    surround = Places.surround

    def counted(self, distance, logits):
        held.append(len(distance))
        return surround(self, distance, logits)

    monkeypatch.setattr(Places, "surround", counted)
    backed = read_h5ad(tmp_path / "query.h5ad", backed="r")
    pd.testing.assert_frame_equal(model.annotate(backed, batch_size=16), whole, atol=1e-6)
    backed.file.close()
    assert max(held) <= 100 + 80  # the sample, and batches until there are 70
    assert sum(held) >= 333


def test_the_sample_s_pass_has_a_bar_of_its_own(model, make_adata, tmp_path, capfd):
    annotator = model.export_student(tmp_path / "a")
    annotator.annotate(make_adata(60), progress=True)
    shown = capfd.readouterr().err
    assert "Annotating: a sample first" in shown
    assert "Annotating: 100%" in shown
    annotator.annotate(make_adata(60))
    assert capfd.readouterr().err == ""
