"""A query that sees some genes more and others less: ratios against numpy, answers against the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from plkd import PLKD, Annotator, datasets, presets
from plkd.inference import _adapt


@pytest.fixture(scope="module")
def annotator(trained, tmp_path_factory):
    return trained.export_student(tmp_path_factory.mktemp("adapt") / "annotator")


def other_protocol(adata: AnnData, *, seed: int = 3, strength: float = 1.2) -> tuple[AnnData, np.ndarray]:
    """Return the cells as another protocol would see them, and by which factor it sees each gene."""
    rng = np.random.default_rng(seed)
    factor = np.exp(rng.normal(0, strength, adata.n_vars))
    query = adata.copy()
    query.X = sparse.csr_matrix(rng.poisson(adata.X.toarray() * factor).astype(np.float32))
    return query, factor


def accuracy(annotator, query: AnnData) -> float:
    return float((annotator.predict(query) == query.obs["cell_type"].astype(str)).mean())


def by_hand(annotator: Annotator, query: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Return factors and shifts of three rounds, from dense counts, the public answers and cells changed by hand."""
    counts = query.X.toarray().astype(np.float64)
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    profiles = annotator.confidence.profiles["rna"].astype(np.float64)
    factor, shift = np.ones(query.n_vars), np.zeros(query.n_vars)
    for _ in range(3):
        # Taken as log-normalised; values below 0, which counts cannot have, go through the network by hand.
        chances = annotator.confidence.probabilities(
            logits(annotator, factor * values + shift), np.ones((len(values), 1), dtype=bool)
        )
        n = chances.sum(axis=0)
        share = n**-0.5
        share *= n.sum() / (n * share).sum()
        seen = sum(share[label] * chances[:, label] @ values for label in range(len(n)))
        expected = sum(share[label] * n[label] * profiles[label] for label in range(len(n)))
        factor = np.clip((seen + 30) / (expected + 30), 1 / 5, 5) ** -0.5
        shift = (expected - factor * seen) / (len(values) + 30)
    return factor, shift


def logits(annotator: Annotator, values: np.ndarray) -> np.ndarray:
    """Return what the Student says of scaled values without weights."""
    weighted = torch.as_tensor(values, dtype=torch.float32) * annotator._scaling["rna"].weight
    with torch.no_grad():
        return annotator._student({"rna": weighted})[0].numpy()


def test_answers_agree_with_an_evaluation_in_numpy(annotator, make_adata):
    query, _ = other_protocol(make_adata(150, seed=5))
    factor, shift = by_hand(annotator, query)
    counts = query.X.toarray()
    values = factor * np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)) + shift
    expected = annotator.confidence.probabilities(logits(annotator, values), np.ones((150, 1), dtype=bool))
    adapted = annotator.adapt(query)
    np.testing.assert_allclose(adapted.predict(query, soft=True).to_numpy(), expected, atol=1e-4)
    assert np.abs(expected - annotator.predict(query, soft=True).to_numpy()).max() > 0.05
    # A mean value of the reference, on the query's scale, is changed back into itself.
    moved = adapted.confidence.profiles["rna"]
    np.testing.assert_allclose(factor * moved + shift, annotator.confidence.profiles["rna"], atol=1e-3)


def test_finds_what_is_seen_more_and_less(annotator, make_adata):
    query, factor = other_protocol(make_adata(300, seed=5))
    ratio = ratios(annotator, query)
    # Values are logarithms, and the totals of cells change too, so not equal; but genes stand in the same order.
    assert np.corrcoef(np.log(ratio), np.log(factor))[0, 1] > 0.85


def ratios(annotator: Annotator, query: AnnData) -> np.ndarray:
    return ((annotator._scaling["rna"].weight / annotator.adapt(query)._scaling["rna"].weight) ** 2).numpy()


def test_annotates_batches_of_very_unlike_genes_better(train):
    """On simulated cells whose genes a batch catches by factors of e^1.2, either way."""
    found = []
    for seed in (1,):
        mdata = datasets.simulate(
            900, n_labels=8, n_genes=500, modalities="rna", label_strength=0.8, batch_strength=1.2, seed=seed
        )
        adata = mdata["rna"].copy()
        adata.obs = mdata.obs.loc[adata.obs_names, ["label", "batch"]].rename(columns={"label": "cell_type"})
        is_query = (adata.obs["batch"] == "batch_1").to_numpy()
        reference, query = adata[~is_query].copy(), adata[is_query].copy()
        PLKD.setup_anndata(reference, "cell_type")
        torch.manual_seed(0)
        model = PLKD(reference, teacher_kwargs={"width": 16, "n_heads": 2}, student_kwargs={"n_hidden": (64, 32)})
        plan = {"teacher": {"lr": 1e-2}, "student": {"lr": 5e-3}}
        train(model, 25, plan_kwargs=plan, batch_size=64)
        found.append((accuracy(model, query), accuracy(model.adapt(query), query)))
    before, after = np.mean(found, axis=0)
    assert after > before + 0.05


def test_shares_of_labels_are_not_taken_for_factors(annotator, make_adata):
    """A query of one type nearly alone sees its markers more than the reference: that is no protocol."""
    query = make_adata(300, seed=5)
    codes = query.obs["cell_type"].cat.codes.to_numpy()
    query = query[(codes == 0) | (np.arange(300) % 15 == 0)].copy()
    ratio = ratios(annotator, query)
    marker = (query.var["marker_of"] == "type_0").to_numpy()
    assert abs(np.log(ratio[marker]).mean() - np.log(ratio[~marker]).mean()) < 0.15
    # What matching the means of whole data sets would say.
    mean = [np.log1p(a.X.toarray()).mean(axis=0) for a in (query, make_adata())]
    naive = np.log(mean[0] / mean[1])
    assert naive[marker].mean() - naive[~marker].mean() > 0.4


def test_genes_that_the_query_lacks_keep_their_weight(annotator, make_adata):
    query = other_protocol(make_adata(100, seed=5))[0][:, :40].copy()
    ratio = ratios(annotator, query)
    assert (ratio[40:] == 1).all()
    assert (ratio[:40] != 1).all()
    moved, before = (each.confidence.profiles["rna"] for each in (annotator.adapt(query), annotator))
    np.testing.assert_array_equal(moved[:, 40:], before[:, 40:])


def test_the_old_one_and_the_query_stay_as_they_are(annotator, make_adata):
    query, _ = other_protocol(make_adata(60, seed=5))
    before, table, counts = query.copy(), annotator.annotate(query), query.X.copy()
    annotator.adapt(query)
    pd.testing.assert_frame_equal(annotator.annotate(query), table)
    pd.testing.assert_frame_equal(query.obs, before.obs)
    assert (counts != query.X).nnz == 0


def test_answers_each_cell_alike_in_any_part_and_after_a_file(annotator, make_adata, tmp_path):
    query, _ = other_protocol(make_adata(90, seed=5))
    adapted = annotator.adapt(query)
    whole = adapted.predict(query, soft=True)
    parts = pd.concat([adapted.predict(query[:30], soft=True), adapted.predict(query[30:], soft=True)])
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-5)
    adapted.save(tmp_path / "adapted")
    again = Annotator.load(tmp_path / "adapted")
    pd.testing.assert_frame_equal(again.annotate(query), adapted.annotate(query))


def test_of_a_file_and_of_some_cells(annotator, make_adata, tmp_path):
    query, _ = other_protocol(make_adata(90, seed=5))
    query.write_h5ad(tmp_path / "query.h5ad")
    weight = annotator.adapt(query[:50].copy())._scaling["rna"].weight
    assert (annotator.adapt(tmp_path / "query.h5ad", indices=range(50))._scaling["rna"].weight == weight).all()


def test_of_a_model_is_that_of_its_annotator_and_shares_nothing(trained, annotator, make_adata):
    query, _ = other_protocol(make_adata(90, seed=5))
    before = trained.predict(query, soft=True)
    found = trained.adapt(query)
    pd.testing.assert_frame_equal(found.annotate(query), annotator.adapt(query).annotate(query))
    pd.testing.assert_frame_equal(trained.predict(query, soft=True), before)
    assert not {p.data_ptr() for p in found._student.parameters()} & {p.data_ptr() for p in trained.module.parameters()}


def test_of_several_modalities_and_a_query_with_one_of_them(joint, make_mdata):
    query = make_mdata(60, seed=1)
    everything, rna = joint.adapt(query), joint.adapt(query["rna"])
    assert set(everything.predict(query)) <= set(joint.labels)
    networks = (rna._student, everything._student, joint.module.student)
    for i, kind in enumerate(("rna", "protein", "atac")):
        only_rna, of_all, before = (network.towers[i][0].bias for network in networks)
        assert (only_rna == before).all() == (kind != "rna")  # of what was not measured nothing is known
        assert not (of_all == before).all()
    # Ratios of proteins are logged already: they are shifted, not weighed anew.
    assert (everything._scaling["protein"].weight == joint.module.scaling["protein"].weight).all()
    assert not (everything._scaling["atac"].weight == joint.module.scaling["atac"].weight).all()


def test_a_shift_of_proteins_is_undone(joint, make_mdata):
    """A query whose antibodies stain otherwise gets the answers of one that was stained as the reference."""
    query = make_mdata(90, seed=1)["prot"].copy()
    stained = query.copy()
    stained.X = np.round(query.X * np.exp(np.random.default_rng(0).normal(0, 0.7, query.n_vars))).astype(np.float32)
    expected = joint.predict(query, soft=True)
    off, adapted = (
        np.abs(each.predict(stained, soft=True) - expected).to_numpy().mean() for each in (joint, joint.adapt(stained))
    )
    assert adapted < 0.7 * off


def test_refuses_models_without_confidence_and_no_cells(make_model, train, annotator, make_adata):
    model = train(make_model(preset=presets.default.replace(confidence={"n_folds": 0})))
    with pytest.raises(ValueError, match=r"not calibrated.*n_folds.*5"):
        model.adapt(make_adata(20))
    with pytest.raises(RuntimeError, match="not trained"):
        make_model().adapt(make_adata(20))
    with pytest.raises(ValueError, match="no cells to adapt to"):
        annotator.adapt(make_adata(20), indices=[])


def test_only_some_cells_of_many_are_looked_at(annotator, make_adata, monkeypatch):
    asked = []
    monkeypatch.setattr(_adapt, "sample_cells", lambda n: asked.append(n) or np.arange(20))
    query = make_adata(90, seed=5)
    weight = annotator.adapt(query)._scaling["rna"].weight
    assert asked == [90]
    monkeypatch.undo()
    assert (annotator.adapt(query[:20].copy())._scaling["rna"].weight == weight).all()
