"""`plkd train`."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import read_h5ad

from plkd import PLKD, Annotator
from plkd.cli._app import run


def train(files, out, *more):
    return run(["train", str(files.ref), "--labels-key", "cell_type", "--max-epochs", "1", "--out", str(out), *more])


def test_folder_holds_a_model_and_an_annotator_that_agree(files):
    query = read_h5ad(files.query)
    expected = PLKD.load(files.model).predict(query, soft=True)
    np.testing.assert_allclose(Annotator.load(files.model).predict(query, soft=True), expected, atol=1e-5)


def test_prints_the_model_and_held_out_scores_on_stdout_and_the_log_on_stderr(files, tmp_path, capfd):
    assert train(files, tmp_path / "m", "--batch-key", "batch", "--unlabeled-category", "type_9") == 0
    out, err = capfd.readouterr()
    assert "PLKD: 60 genes (counts), 3 labels" in out
    assert "cells held out" in out
    report = PLKD.load(tmp_path / "m").report()
    assert f"Macro-F1{report.overall['macro_f1']:>19.3f}" in out
    assert f"held out: {report.about['calibration']['held-out cells']}" in out
    page = (tmp_path / "m" / "report.html").read_text(encoding="utf-8")
    assert f'<dt>Macro-F1</dt><dd class="value">{report.overall["macro_f1"]:.3f}</dd>' in page
    assert "Student: 1 epochs" in err
    assert "Epoch 1/1" in err  # the progress bar
    for chatter in ("GPU available", "litlogger", "Trainer.fit", "Seed set", "Monitored metric", "Warning"):
        assert chatter not in out + err


def test_same_seed_gives_the_same_model_and_another_seed_another(files, tmp_path):
    query = read_h5ad(files.query)
    assert train(files, tmp_path / "same", "--seed", "0") == 0
    assert train(files, tmp_path / "other", "--seed", "1") == 0
    first, same, other = (
        Annotator.load(folder).predict(query, soft=True)
        for folder in (files.model, tmp_path / "same", tmp_path / "other")
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_model_without_cells_to_score_has_no_report_and_that_of_an_earlier_one_goes(files, tmp_path, capsys):
    adata = read_h5ad(files.ref)
    adata = adata[adata.obs.groupby("cell_type", observed=True).head(1).index].copy()  # none can be held out
    ref, out = tmp_path / "ref.h5ad", tmp_path / "m"
    adata.write_h5ad(ref)
    out.mkdir()
    (out / "report.html").write_text("earlier")
    assert run(["train", str(ref), "--labels-key", "cell_type", "--max-epochs", "1", "--out", str(out)]) == 0
    assert "report.html" not in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["annotator.safetensors", "model.pt"]


def test_model_is_not_replaced_unless_asked(files, capsys):
    before = (files.model / "model.pt").read_bytes()
    assert train(files, files.model) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (files.model / "model.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (["--labels-key", "cell_typ"], "Did you mean labels_key='cell_type'?"),
        (["--batch-key", "donor"], "batch_key='donor'"),
        (["--layer", "counts"], "counts"),
        (["--patterns", "no.gmt"], "patterns='no.gmt'"),
        (["--gene-symbols", "symbol", "--patterns", "immune"], "gene_symbols='symbol'"),
    ],
)
def test_wrong_name_is_an_error_of_one_line_and_writes_nothing(files, tmp_path, capsys, option, named):
    assert train(files, tmp_path / "m", *option) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert named in errors[0]
    assert not errors[0].startswith(('error: "', "error: '"))
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_h5ad_is_refused(tmp_path, capsys):
    path = tmp_path / "ref.h5ad"
    path.write_text("cells")
    assert run(["train", str(path), "--labels-key", "x", "--out", str(tmp_path / "m")]) == 1
    assert "no .h5ad file" in capsys.readouterr().err


def test_checkpoint_in_the_model_folder_does_not_stop_the_save(files, tmp_path):
    assert train(files, tmp_path / "m", "--checkpoint-dir", str(tmp_path / "m")) == 0
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "annotator.safetensors",
        "model.pt",
        "report.html",
    ]
