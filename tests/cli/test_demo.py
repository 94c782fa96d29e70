"""`plkd demo`."""

from __future__ import annotations

import pytest
from anndata import read_h5ad

from plkd import PLKD
from plkd.cli._app import run
from plkd.cli._demo import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    assert run(["demo", "--max-epochs", "1", "--out", str(out)]) == 0
    return out


def test_bundled_cells_are_log_normalised_with_ten_labels():
    adata = load()
    assert adata.shape == (700, 765)
    assert adata.obs["bulk_labels"].nunique() == 10
    assert 0 <= adata.X.min() <= adata.X.max() < 15


def test_writes_every_file_that_it_names(folder):
    report = (folder / "report.txt").read_text(encoding="utf-8")
    for name in ("annotated.h5ad", "umap.png", "confusion.png", "patterns.png", "training.png", "model/"):
        assert name in report
        assert (folder / name).exists()
    for figure in folder.glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_report_sets_the_student_beside_a_logistic_regression(folder):
    report = (folder / "report.txt").read_text(encoding="utf-8")
    accuracy = {line[:22].strip(): float(line.split()[-2]) for line in report.splitlines() if line.count("0.") == 2}
    assert set(accuracy) == {"Student", "Teacher", "logistic regression"}
    assert accuracy["logistic regression"] > 0.8


def test_annotated_cells_are_the_query_with_calls_and_latent_space(folder):
    cells = read_h5ad(folder / "annotated.h5ad")
    assert cells.n_obs == 210
    columns = ("label", "confidence", "novelty", "runner_up", "rejected", "reason")
    assert {"bulk_labels", *(f"plkd_{name}" for name in columns)} <= set(cells.obs)
    assert cells.obs["plkd_novelty"].between(0, 1).all()
    assert cells.obsm["X_plkd"].shape[0] == 210
    assert list(PLKD.load(folder / "model").predict(cells)) == list(cells.obs["plkd_label"])


def test_folder_with_other_files_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert run(["demo", "--out", str(tmp_path)]) == 1
    assert "--out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
