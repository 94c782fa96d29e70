"""Simulated counts hold the stated signal, measured by other means than those that made it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plkd.datasets import simulate

KINDS = ("rna", "protein", "atac")
WORLD = {"n_obs": 600, "n_genes": 200, "n_peaks": 600, "n_proteins": 40}


def accuracy(adata, column: str) -> float:
    """Cross-validated accuracy of a linear classifier on normalised counts."""
    total = adata.X.sum(axis=1).A1
    scaled = np.log1p(adata.X.toarray() * (np.median(total) / np.maximum(total, 1))[:, None])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    return cross_val_score(classifier, scaled, adata.obs[column].astype(str), cv=3).mean()


def fold(adata, features: np.ndarray, cells: np.ndarray) -> float:
    """Mean counts of some features in some cells, relative to the other cells."""
    counts = adata.X[:, np.flatnonzero(features)].sum(axis=1).A1
    return counts[cells].mean() / counts[~cells].mean()


@pytest.fixture(scope="module")
def clean():
    """Cells without batch effects, and with so few fragments that hardly any peak has more than two."""
    return simulate(4000, n_genes=200, n_peaks=2000, n_proteins=40, batch_strength=0, atac_depth=100, seed=1)


@pytest.mark.parametrize("kind", ["rna", "atac"])
def test_active_programme_raises_its_features_by_the_stated_fold(clean, kind):
    adata = clean[kind]
    for number, name in enumerate(adata.varm["programmes"]):
        on = adata.obsm["programme_activity"][:, number] > 0
        features = adata.varm["programmes"][name].to_numpy()
        assert fold(adata, features, on) == pytest.approx(np.e, rel=0.08), name


def test_active_programme_raises_its_proteins_above_their_background(clean):
    adata = clean["protein"]
    for number, name in enumerate(adata.varm["programmes"]):
        on = adata.obsm["programme_activity"][:, number] > 0
        members = adata.varm["programmes"][name].to_numpy()
        # Background stays, so the raise is smaller than e: (g + e r) / (g + r), where g + r is what silent cells have.
        silent = adata.X[np.flatnonzero(~on)][:, np.flatnonzero(members)].sum(axis=1).mean()
        background = adata.var["background"][members].sum() * 40 * 50
        expected = (background + np.e * (silent - background)) / silent
        assert fold(adata, members, on) == pytest.approx(expected, rel=0.05), name
        assert expected > 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_no_programme_are_the_same_in_all_labels(clean, kind):
    adata = clean[kind]
    others = ~adata.varm["programmes"].to_numpy().any(axis=1)
    for label in adata.obs["label"].cat.categories:
        assert fold(adata, others, (adata.obs["label"] == label).to_numpy()) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_programme_acts_in_proportion_to_its_activity(clean, kind):
    """Between cells that all have a programme, counts of its features follow the activity."""
    adata = clean[kind]
    activity = adata.obsm["programme_activity"][:, 0]
    on = activity > 0
    members = np.flatnonzero(adata.varm["programmes"].iloc[:, 0])
    counts = adata.X[np.flatnonzero(on)][:, members].sum(axis=1).A1
    assert np.corrcoef(counts, activity[on])[0, 1] > 0.2


def test_linear_classifier_finds_the_labels():
    mdata = simulate(**WORLD)
    assert accuracy(mdata["rna"], "label") > 0.95
    assert accuracy(mdata["protein"], "label") > 0.9
    assert accuracy(mdata["atac"], "label") > 0.8


def test_labels_leave_no_trace_at_strength_zero():
    mdata = simulate(**WORLD, label_strength=0)
    for kind in KINDS:
        assert accuracy(mdata[kind], "label") == pytest.approx(0.2, abs=0.06), kind


def test_labels_are_harder_to_find_at_lower_strength():
    scores = [accuracy(simulate(**WORLD, label_strength=s, modalities="rna")["rna"], "label") for s in (0.2, 0.4, 0.8)]
    assert scores[0] + 0.1 < scores[1] < scores[2] - 0.05


def test_batches_leave_no_trace_at_strength_zero():
    mdata = simulate(**WORLD, batch_strength=0)
    for kind in KINDS:
        assert accuracy(mdata[kind], "batch") == pytest.approx(0.5, abs=0.08), kind


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_easier_to_find_at_higher_strength(kind):
    scores = [accuracy(simulate(**WORLD, batch_strength=s, modalities=kind)[kind], "batch") for s in (0, 0.1, 1.0)]
    assert scores[0] + 0.05 < scores[1] < scores[2]
    assert scores[2] > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_batch_factors_have_the_stated_spread_and_are_those_of_the_counts(kind):
    mdata = simulate(4000, n_genes=400, n_proteins=400, n_peaks=400, batch_strength=0.5, n_batches=2, atac_depth=40)
    adata = mdata[kind]
    log_factor = adata.varm["batch_log_factor"]
    assert log_factor.to_numpy().std() == pytest.approx(0.5, rel=0.1)
    assert np.exp(log_factor).to_numpy().mean() == pytest.approx(1, abs=0.06)
    first = (adata.obs["batch"] == "batch_0").to_numpy()
    means = [adata.X[np.flatnonzero(rows)].mean(axis=0).A1 for rows in (~first, first)]
    seen = means[0] > 0.05
    found = np.log(means[0][seen] / means[1][seen])
    stated = (log_factor["batch_1"] - log_factor["batch_0"])[seen]
    assert np.polyfit(stated, found, 1)[0] == pytest.approx(1, abs=0.05)
    assert np.corrcoef(stated, found)[0, 1] > 0.95


def test_modalities_together_tell_more_than_the_best_alone():
    mdata = simulate(**WORLD, label_strength=0.4)
    labels = mdata.obs["label"].astype(str)
    scaled = [StandardScaler().fit_transform(np.log1p(adata.X.toarray())) for adata in mdata.mod.values()]
    classifier = LogisticRegression(C=0.01, max_iter=200)
    alone = [cross_val_score(classifier, x, labels, cv=3).mean() for x in scaled]
    joint = cross_val_score(classifier, np.hstack(scaled), labels, cv=3).mean()
    assert joint > max(alone)


def test_what_is_missing_says_nothing_about_label_or_batch():
    mdata = simulate(9000, n_genes=16, n_peaks=8, n_proteins=8, missing=1 / 3)
    for adata in mdata.mod.values():
        for column in ("label", "batch"):
            shares = adata.obs[column].value_counts(normalize=True)
            assert np.allclose(shares, 1 / len(shares), atol=0.02)
