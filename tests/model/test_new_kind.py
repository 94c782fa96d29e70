"""A kind of features that plkd does not have works once it has its entries, as docs/developer/add_modality.md promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np, pandas as pd, torch
from anndata import AnnData
from mudata import MuData
from plkd.patterns import _kinds
_kinds.KIND["lipid"] = _kinds.Kind("lipids", ("lipid",), "lipid_module", is_panel=True)
_kinds.KINDS = tuple(_kinds.KIND)
import plkd.patterns
plkd.patterns.KINDS = _kinds.KINDS
from plkd.nn import _scaling
_scaling._SCALINGS["lipid"] = (_scaling.ProteinScaling, ("log_mean",))
import plkd
from tests.conftest import _make_adata

for is_counted in (True, False):
    _kinds.KIND["lipid"] = _kinds.KIND["lipid"]._replace(is_counted=is_counted)
    rna = _make_adata(150, 40)
    label = rna.obs["cell_type"].cat.codes.to_numpy()
    lipids = np.random.default_rng(1).poisson(np.where(label[:, None] == np.arange(12) // 3, 80, 8)).astype(np.float32)
    lipids = lipids if is_counted else lipids / 100
    table = AnnData(np.full_like(lipids, -1), obs=rna.obs[[]].copy(), var=pd.DataFrame(index=[f"L{i}" for i in range(12)]))
    table.layers["measured"] = lipids
    mdata = MuData({"rna": rna, "lipid": table})
    mdata.obs["type"] = rna.obs["cell_type"].astype(str)
    plkd.PLKD.setup_mudata(mdata, "type", lipid_layer="measured")
    try:
        plkd.PLKD.setup_mudata(mdata, "type", lipids_layer="measured")
    except TypeError as error:
        assert "lipids_layer" in str(error), error
    else:
        raise AssertionError("a misspelt argument was taken")
    torch.manual_seed(0)
    model = plkd.PLKD(mdata, preset=plkd.presets.default.replace(confidence={"n_folds": 2}), teacher_kwargs={"width": 8, "n_heads": 2, "depth": 1}, student_kwargs={"n_hidden": (16, 8)})
    model.train(15, batch_size=32, enable_progress_bar=False, accelerator="cpu", plan_kwargs={"teacher": {"lr": 2e-2}, "student": {"lr": 2e-2}})
    truth = mdata.obs["type"].to_numpy()
    assert (model.predict() == truth).mean() > 0.9
    alone = table.copy()
    assert (model.predict(alone, modality="lipid") == truth).mean() > 0.8
    assert model.get_latent_representation(MuData({"lipid": alone}), modality="lipid").shape == (150, 8)
    assert list(model.get_modality_weights()) == ["rna", "lipid"]
    assert "12 lipids" in model.model_card()
    model.save("model", overwrite=True)
    plkd.PLKD.load("model", mdata).report().to_html("report.html", overwrite=True)
    annotator = model.export_student("annotator", overwrite=True)
    np.testing.assert_allclose(annotator.predict(mdata, soft=True), model.predict(soft=True), atol=1e-5)
print("done")
"""


@pytest.mark.slow
def test_a_new_kind_of_features_works_everywhere(tmp_path):
    """Of counts, and of other values."""
    paths = [str(path) for path in sys.path if path]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{SCRIPT}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.endswith("done\n")
