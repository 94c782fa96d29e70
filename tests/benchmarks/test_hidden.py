"""Which rows the benchmark of latent spaces writes, and what it runs again."""

from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from benchmarks.annotation.peers import UNLABELLED
from benchmarks.integration import hidden
from benchmarks.integration import run as joint
from benchmarks.integration.latents import BASELINE

PARTS = ["Batch correction", "Bio conservation", "Total"]


@pytest.fixture
def runs(monkeypatch):
    """Two methods that note what they see, on 50 cells of two labels, and scores that are the number of cells scored."""
    cells = ad.AnnData(sp.csr_matrix(np.ones((50, 3), dtype=np.float32)))
    cells.obs = pd.DataFrame({"label": np.repeat(["a", "b"], 25), "batch": np.tile(["x", "y"], 25)}, cells.obs_names)
    seen = []

    def method(name, n_latents):
        def fit(cells, seed):
            seen.append((name, seed, int((cells.obs["label"] == UNLABELLED).sum())))
            return {f"{name}{i}": np.zeros((cells.n_obs, 2)) for i in range(n_latents)}

        return fit

    def score(counts, labels, batches, latents):
        assert all(len(latent) == len(labels) == counts.shape[0] == len(batches) for latent in latents.values())
        return pd.DataFrame(float(len(labels)), index=[*latents, BASELINE], columns=PARTS)

    monkeypatch.setattr(
        hidden, "METHODS", {"unintegrated": method("none", 0), "one": method("one", 1), "two": method("two", 2)}
    )
    monkeypatch.setattr(hidden, "score_latents", score)
    monkeypatch.setattr(hidden, "read_cells", lambda spec: cells)
    monkeypatch.setattr(hidden, "quiet", lambda own: None)  # what it silences would stay silent in other tests
    return seen


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["hidden", "--sets", "cell-lines", *map(str, arguments)])
    hidden.main()


def test_each_method_has_rows_of_its_own_and_runs_once(runs, monkeypatch, tmp_path, capsys):
    out = tmp_path / "hidden.csv"
    run(monkeypatch, "--methods", "one", "--out", out)
    assert runs == [("one", 0, 40)]
    assert pd.read_csv(out)["latent"].tolist() == ["one0"]
    run(monkeypatch, "--seeds", 0, 1, "--out", out)
    assert sorted(runs) == sorted([(name, seed, 40) for name in ("none", "one", "two") for seed in (0, 1)])
    rows = pd.read_csv(out)
    assert sorted(rows["latent"]) == sorted([BASELINE, "one0", "two0", "two1"] * 2)
    assert (rows["n_scored"] == 40).all()
    assert (rows[PARTS] == 40).all(axis=None)
    assert "mean over sets" in capsys.readouterr().out


def test_a_file_of_other_columns_is_refused(runs, monkeypatch, tmp_path):
    out = tmp_path / "other.csv"
    pd.DataFrame({"set": ["cell-lines"]}).to_csv(out, index=False)
    with pytest.raises(SystemExit):
        run(monkeypatch, "--out", out)
    assert runs == []


def test_all_labels_may_be_hidden():
    assert hidden.hide(np.repeat(["a", "b", "c"], [10, 1, 4]), 1.0, 0).all()


def test_without_labels_plkd_is_given_no_column_and_scanvi_is_left_out(monkeypatch):
    cells = ad.AnnData(
        sp.csr_matrix((5, 3), dtype=np.float32), obs=pd.DataFrame({"label": [UNLABELLED] * 5, "batch": ["x"] * 5})
    )
    asked = []

    class Model:
        def __init__(self, cells):
            self.n_obs = cells.n_obs

        @staticmethod
        def setup_anndata(cells, labels_key, **kwargs):
            asked.append(labels_key)

        def train(self, **kwargs):
            pass

        def get_latent_representation(self, **kwargs):
            return np.zeros((self.n_obs, 2))

    monkeypatch.setattr(hidden, "PLKD", Model)
    monkeypatch.setattr(hidden, "fit_scvi", lambda *args: Model(cells))
    hidden.plkd(cells, 0)
    assert list(hidden.deep(cells, 0)) == ["scVI"]
    cells.obs["label"] = ["a", *[UNLABELLED] * 4]
    hidden.plkd(cells, 0)
    assert asked == [None, "label"]


def test_a_latent_space_that_lacks_a_set_has_no_mean():
    rows = [("s1", "A", 0.9), ("s2", "A", 0.1), ("s1", "B", 0.9)]
    frame = pd.DataFrame(
        [
            {"set": s, "hidden": 0.8, "seed": 0, "latent": latent, **dict.fromkeys(PARTS, score)}
            for s, latent, score in rows
        ]
    )
    means = hidden.summary(frame).xs("mean over sets", axis=1, level="set").loc[0.8]
    assert (means.loc["A"] == 0.5).all()
    assert means.loc["B"].isna().all()


def test_rows_of_other_columns_stay_under_their_own(tmp_path):
    out = tmp_path / "integration.csv"
    joint.add(out, pd.DataFrame([{"task": "two batches", "Batch correction": 0.7, "Total": 0.8}]))
    joint.add(out, pd.DataFrame([{"task": "one batch", "Total": 0.9}]))
    found = pd.read_csv(out).set_index("task")
    assert found["Total"].tolist() == [0.8, 0.9]
    assert found["Batch correction"].isna().tolist() == [False, True]
