"""`scvi.autotune` searches settings of both phases, on what `train` logs."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from plkd import PLKD

for package in ("ray", "hyperopt", "scib_metrics"):
    pytest.importorskip(package, reason='scvi.autotune needs it: pip install "scvi-tools[autotune]"')


@pytest.mark.slow
def test_settings_of_a_phase_are_searched_by_the_score_of_held_out_cells(make_adata, tmp_path, monkeypatch):
    import ray
    from scvi.autotune import run_autotune

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Trials are processes of their own: they import what this one does, from where it does.
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    adata = make_adata(90)
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    rates = [1e-9, 1e-2]
    try:
        ray.init(num_cpus=1, include_dashboard=False, logging_level="error")
        experiment = run_autotune(
            PLKD,
            adata,
            metrics="student_score_validation",
            mode="max",
            search_space={
                "model_params": {
                    "teacher_kwargs": {"width": 8, "n_heads": 2, "depth": 1},
                    "student_kwargs": {"n_hidden": [16, 8]},
                },
                "train_params": {
                    "max_epochs": 12,
                    "plan_kwargs": {"student": {"lr": ray.tune.grid_search(rates)}},
                },
            },
            num_samples=1,
            scheduler="fifo",
            searcher="random",
            seed=0,
            resources={"cpu": 1},
            logging_dir=str(tmp_path),
            ignore_reinit_error=True,
        )
    finally:
        ray.shutdown()
    results = experiment.result_grid
    assert not results.errors
    scores = {
        result.config["train_params"]["plan_kwargs"]["student"]["lr"]: result.metrics["student_score_validation"]
        for result in results
    }
    assert sorted(scores) == rates
    assert np.all(np.isfinite(list(scores.values())))
    # The Student whose weights hardly move cannot tell the labels apart.
    assert scores[1e-2] > scores[1e-9] + 0.2
