"""What users know from scvi-tools works, and the model says what it is."""

from __future__ import annotations

import numpy as np
import pytest

from plkd import PLKD


def test_repr_says_what_is_in_the_model(trained):
    text = repr(trained)
    for part in (
        "60 genes (counts)",
        "3 labels",
        "patterns",
        "Teacher: width 8, depth 1",
        "Student",
        "Trained",
        "Student 13 epochs",
    ):
        assert part in text
    assert "\n" in text
    assert str(trained) == text


def test_repr_says_what_is_missing(make_model):
    assert "Not trained: call train()" in repr(make_model())


def test_summary_and_setup_can_be_viewed(trained, capsys):
    assert "PLKD" in trained.summary_string
    trained.view_anndata_setup()
    assert "PLKD" in capsys.readouterr().out


def test_names_registry_and_indices(trained, make_adata):
    assert list(trained.get_var_names()) == list(make_adata(3).var_names)
    assert trained.registry["model_name"] == "PLKD"
    assert trained.registry["setup_args"]["labels_key"] == "cell_type"
    assert trained.summary_stats["n_vars"] == 60
    together = np.concatenate([trained.train_indices, trained.validation_indices, trained.test_indices])
    assert sorted(together) == list(range(120))
    assert trained.is_trained
    assert trained.history["teacher_loss_train"].shape[1] == 1


def test_registry_can_be_read_from_the_file(trained, tmp_path):
    trained.save(tmp_path / "m")
    assert PLKD.load_registry(str(tmp_path / "m"))["model_name"] == "PLKD"


def test_device_can_be_named(trained):
    trained.to_device("cpu")
    assert str(trained.device) == "cpu"


def test_minified_data_are_refused_cleanly(make_adata):
    adata = make_adata(30)
    PLKD.setup_anndata(adata, "cell_type")
    adata.uns["_scvi_adata_minify_type"] = "latent_posterior_parameters"
    with pytest.raises(NotImplementedError, match="minified"):
        PLKD(adata)


def test_two_models_of_one_reference_do_not_disturb_each_other(make_adata, train):
    adata = make_adata(60)
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    first = train(PLKD(adata), 1)
    before = first.predict(soft=True)
    PLKD.setup_anndata(adata, "batch")
    second = train(PLKD(adata), 1)
    assert second.labels == ["batch_0", "batch_1"]
    assert first.labels == ["type_0", "type_1", "type_2"]
    np.testing.assert_array_equal(before, first.predict(soft=True))
    train(first, 1)
    assert first._reference_cells().labels.max() == 2
