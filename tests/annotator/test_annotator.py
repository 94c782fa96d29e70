from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from plkd import PLKD, Annotator
from plkd.annotator._file import FORMAT


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "annotator"
    trained.export_student(folder)
    return folder


@pytest.fixture
def annotator(folder) -> Annotator:
    return Annotator.load(folder)


@pytest.fixture
def query(make_adata):
    """Fewer genes, in another order, with one that nobody knows."""
    query = make_adata(50, seed=3)[:, np.random.default_rng(0).permutation(60)[:45]].copy()
    query.var_names = ["UNKNOWN", *query.var_names[1:]]
    return query


def test_agrees_with_the_model(annotator, trained, query):
    np.testing.assert_allclose(annotator.predict(query, soft=True), trained.predict(query, soft=True), atol=1e-5)
    np.testing.assert_array_equal(annotator.predict(query), trained.predict(query))
    pd.testing.assert_frame_equal(annotator.annotate(query), trained.annotate(query), atol=1e-5)
    np.testing.assert_allclose(
        annotator.get_latent_representation(query), trained.get_latent_representation(query), atol=1e-5
    )


def test_explains_as_the_model_does(annotator, trained, query):
    ours = annotator.get_pattern_attribution(query)
    pd.testing.assert_frame_equal(ours, trained.get_pattern_attribution(query), atol=1e-5)
    assert annotator.patterns.names == trained.patterns.names
    assert annotator.patterns.features == trained.patterns.features


def test_what_export_returns_is_what_load_reads(trained, tmp_path, query, annotator):
    exported = trained.export_student(tmp_path / "a")
    pd.testing.assert_frame_equal(exported.predict(query, soft=True), annotator.predict(query, soft=True))


def test_agrees_for_log_normalised_references_and_layers(make_adata, train, tmp_path):
    adata = make_adata(60, fmt="dense")
    adata.layers["log"] = np.log1p(adata.X / adata.X.sum(axis=1, keepdims=True) * 777)
    PLKD.setup_anndata(adata, "cell_type", layer="log")
    model = train(PLKD(adata), 1)
    again = model.export_student(tmp_path / "a")
    np.testing.assert_allclose(again.predict(adata, soft=True), model.predict(soft=True), atol=1e-5)
    del adata.layers["log"]
    with pytest.raises(KeyError, match="log"):
        again.predict(adata)


def test_path_and_backed_file_are_read(annotator, query, tmp_path):
    query.write_h5ad(tmp_path / "query.h5ad")
    expected = annotator.predict(query, soft=True)
    pd.testing.assert_frame_equal(annotator.predict(tmp_path / "query.h5ad", soft=True), expected, atol=1e-6)
    pd.testing.assert_frame_equal(annotator.predict(str(tmp_path / "query.h5ad"), soft=True), expected, atol=1e-6)
    backed = read_h5ad(tmp_path / "query.h5ad", backed="r")
    pd.testing.assert_frame_equal(annotator.predict(backed, soft=True), expected, atol=1e-6)
    backed.file.close()
    with pytest.raises(FileNotFoundError, match="nowhere.h5ad"):
        annotator.predict(tmp_path / "nowhere.h5ad")


def test_indices_and_batch_size(annotator, query):
    whole = annotator.predict(query, soft=True)
    pd.testing.assert_frame_equal(annotator.predict(query, soft=True, indices=[3, 1]), whole.iloc[[3, 1]], atol=1e-6)
    pd.testing.assert_frame_equal(annotator.predict(query, soft=True, batch_size=7), whole, atol=1e-5)
    assert annotator.predict(query, indices=[]).shape == (0,)


def test_only_the_whole_file_is_an_annotator(folder, tmp_path):
    data = bytearray((folder / "annotator.safetensors").read_bytes())
    for place in (0, 200, len(data) // 2, len(data) - 1):
        changed = data.copy()
        changed[place] ^= 1
        (tmp_path / "annotator.safetensors").write_bytes(changed)
        with pytest.raises(ValueError, match="damaged"):
            Annotator.load(tmp_path)
    for length in (0, 5, 100, len(data) - 1):
        (tmp_path / "annotator.safetensors").write_bytes(data[:length])
        with pytest.raises(ValueError, match="damaged"):
            Annotator.load(tmp_path)


def test_wrong_folders_are_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="No Annotator at"):
        Annotator.load(tmp_path)
    trained.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"plkd\.PLKD\.load"):
        Annotator.load(tmp_path / "model")


def test_newer_format_is_refused(annotator, tmp_path, monkeypatch):
    monkeypatch.setattr("plkd.annotator._state.FORMAT", FORMAT + 1)
    annotator.save(tmp_path / "a")
    with pytest.raises(ValueError, match=rf"format {FORMAT + 1}; this plkd reads up to {FORMAT}"):
        Annotator.load(tmp_path / "a")


def test_nothing_is_overwritten_unasked(annotator, trained, tmp_path):
    annotator.save(tmp_path / "a")
    with pytest.raises(ValueError, match="overwrite=True"):
        annotator.save(tmp_path / "a")
    with pytest.raises(ValueError, match="overwrite=True"):
        trained.export_student(tmp_path / "a")
    trained.export_student(tmp_path / "a", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        annotator.save(tmp_path / "file", overwrite=True)


def test_failing_save_leaves_the_old_file_and_nothing_else(annotator, tmp_path, monkeypatch):
    annotator.save(tmp_path / "a")
    before = (tmp_path / "a" / "annotator.safetensors").read_bytes()

    def fail(source, target):
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("plkd._files.os.replace", fail)
        with pytest.raises(OSError, match="power cut"):
            annotator.save(tmp_path / "a", overwrite=True)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["annotator.safetensors"]
    assert (tmp_path / "a" / "annotator.safetensors").read_bytes() == before


def test_repr_says_what_is_in_it(annotator, trained):
    assert repr(annotator) == f"Annotator: 60 genes (counts), 3 labels, {len(trained.patterns)} patterns"
    assert annotator.labels == trained.labels


def test_query_without_counts_genes_or_cells(annotator, query):
    with pytest.raises(TypeError, match="AnnData"):
        annotator.predict(3)
    assert annotator.predict(query[:0], soft=True).shape == (0, 3)
    query.var_names = [f"X{i}" for i in range(45)]
    with pytest.raises(ValueError, match="of the model's 60 features"):
        annotator.predict(query)


@pytest.mark.slow
def test_loads_and_predicts_without_scvi_and_lightning(folder, query, annotator, tmp_path):
    query.write_h5ad(tmp_path / "query.h5ad")
    code = f"""
import sys
for name in ("scvi", "lightning", "pytorch_lightning"):
    sys.modules[name] = None  # importing it now fails
from plkd import Annotator
frame = Annotator.load({str(folder)!r}).predict({str(tmp_path / "query.h5ad")!r}, soft=True)
frame.to_csv({str(tmp_path / "probs.csv")!r})
assert not [m for m in sys.modules if m.split(".")[0] in ("scvi", "lightning") and sys.modules[m]]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    found = pd.read_csv(tmp_path / "probs.csv", index_col=0)
    np.testing.assert_allclose(found, annotator.predict(query, soft=True), atol=1e-5)
