"""A query that sees some genes more and others less: ratios against numpy, answers against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData, concat
from scipy import sparse

from plkd import PLKD, Annotator, datasets, presets
from plkd.data import Cells, Modality, Rows
from plkd.inference import _adapt, student_logits


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
    """Return factors and shifts of three rounds, from dense counts, gene by gene and label by label."""
    counts = query.X.toarray().astype(np.float64)
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    profiles = annotator.confidence.profiles["rna"].astype(np.float64)
    everywhere = np.ones((len(values), 1), dtype=bool)
    factor, shift = np.ones(query.n_vars), np.zeros(query.n_vars)
    for _ in range(3):
        chances = annotator.confidence.probabilities(logits(annotator, factor * values + shift), everywhere)
        sure, called = chances.max(axis=1), chances.argmax(axis=1)
        called[sure < min(0.9, np.median(sure))] = -1
        n = np.array([(called == label).sum() for label in range(len(profiles))])
        middle = np.average(profiles, axis=0, weights=np.sqrt(n))
        for gene in range(query.n_vars):
            said = [(0.0, 1.0)]
            for label in range(len(n)):
                seen, expected = values[called == label, gene].sum(), n[label] * profiles[label, gene]
                said.append((np.log((seen + 5) / (expected + 5)), max(seen, expected) / (max(seen, expected) + 10)))
            said.sort()
            below = np.cumsum([weight for _, weight in said])
            middle_one = said[int(np.searchsorted(below, below[-1] / 2))][0]
            root = np.clip(np.exp(middle_one), 1 / 5, 5) ** 0.5
            factor[gene], shift[gene] = 1 / root, (1 - root) * middle[gene]
    return factor, shift


def logits(annotator: Annotator, values: np.ndarray) -> np.ndarray:
    """Return what the Student says of scaled values without weights."""
    weighted = torch.as_tensor(values, dtype=torch.float32) * annotator._scaling["rna"].weight
    with torch.no_grad():
        return annotator._student({"rna": weighted})[0].numpy()


def test_answers_agree_with_an_evaluation_in_numpy(annotator, make_adata):
    query, _ = other_protocol(make_adata(150, seed=5), strength=2.5)
    factor, shift = by_hand(annotator, query)
    counts = query.X.toarray()
    values = factor * np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)) + shift
    expected = annotator.confidence.probabilities(logits(annotator, values), np.ones((150, 1), dtype=bool))
    adapted = annotator.adapt(query)
    np.testing.assert_allclose(adapted.predict(query, soft=True).to_numpy(), expected, atol=1e-4)
    assert np.abs(expected - annotator.predict(query, soft=True).to_numpy()).max() > 0.05
    # A mean value of the reference, on the query's scale, is changed back into itself; but none lies below 0.
    moved, before = (each.confidence.profiles["rna"] for each in (adapted, annotator))
    above = moved > 0
    assert above.mean() > 0.9
    np.testing.assert_allclose((factor * moved + shift)[above], before[above], atol=1e-3)


def test_weighted_median_has_a_0_among_its_values():
    said = np.array([[3.0, 3, 3], [2, 2, 2], [-1, 9, 9]])
    weights = np.array([[1.0, 0.2, 1], [1, 0.2, 1], [1, 0.2, 1]])
    # Of 4 evenly weighted values the second least; nothing outweighs the 0; of -1, 0, 2, 3 and 0, 2, 3, 9.
    assert _adapt.weighted_median(said, weights).tolist() == [0, 0, 2]
    assert _adapt.weighted_median(said[:1], weights[:1]).tolist() == [0, 0, 0]


def test_finds_what_is_seen_more_and_less(annotator, make_adata):
    query, factor = other_protocol(make_adata(300, seed=5))
    ratio = ratios(annotator, query)
    # Values are logarithms, and the totals of cells change too, so not equal; but genes stand in the same order.
    assert np.corrcoef(np.log(ratio), np.log(factor))[0, 1] > 0.85


def ratios(annotator: Annotator, query: AnnData) -> np.ndarray:
    return ((annotator._scaling["rna"].weight / annotator.adapt(query)._scaling["rna"].weight) ** 2).numpy()


def test_labels_that_no_cell_is_called_by_say_nothing(annotator, make_adata):
    query, _ = other_protocol(make_adata(300, seed=5))
    label = query.obs["cell_type"].cat.codes.to_numpy()
    query = query[(label == 2) | (label == 0) & (np.arange(300) % 2 == 0)].copy()
    factor, _ = by_hand(annotator, query)
    assert set(annotator.predict(query)) | set(annotator.adapt(query).predict(query)) == {"type_0", "type_2"}
    np.testing.assert_allclose(ratios(annotator, query), factor**-2, rtol=1e-3)
    assert np.abs(np.log(factor)).max() > 0.1


def test_annotates_batches_of_very_unlike_genes_better(train):
    """On simulated cells whose genes a batch catches by factors of e^1.2, either way."""
    mdata = datasets.simulate(
        900, n_labels=8, n_genes=500, modalities="rna", label_strength=0.8, batch_strength=1.2, seed=1
    )
    adata = mdata["rna"].copy()
    adata.obs = mdata.obs.loc[adata.obs_names, ["label", "batch"]].rename(columns={"label": "cell_type"})
    is_query = (adata.obs["batch"] == "batch_1").to_numpy()
    reference, query = adata[~is_query].copy(), adata[is_query].copy()
    PLKD.setup_anndata(reference, "cell_type")
    torch.manual_seed(0)
    model = PLKD(reference, teacher_kwargs={"width": 16, "n_heads": 2}, student_kwargs={"n_hidden": (64, 32)})
    hidden = {"teacher": {"lr": 1e-2, "hide_rate": 0.1}, "student": {"lr": 5e-3, "hide_rate": 0.25}}
    train(model, 25, plan_kwargs=hidden, batch_size=64)
    assert accuracy(model.adapt(query), query) > accuracy(model, query) + 0.05


@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize("others", [0, 15])
def test_shares_of_labels_are_not_taken_for_factors(annotator, make_adata, label, others):
    """A query of one type, alone or nearly so, sees its markers more than the reference: that is no protocol."""
    query = make_adata(400, seed=5)
    codes = query.obs["cell_type"].cat.codes.to_numpy()
    query = query[(codes == label) | (np.arange(400) % 15 < others / 15)].copy()
    ratio = np.log(ratios(annotator, query))
    for marked in query.var["marker_of"].unique():
        assert abs(ratio[(query.var["marker_of"] == marked).to_numpy()].mean()) < 0.2
    # What matching the means of whole data sets would say.
    mean = [np.log1p(a.X.toarray()).mean(axis=0) for a in (query, make_adata())]
    own = (query.var["marker_of"] == f"type_{label}").to_numpy()
    assert np.log(mean[0] / mean[1])[own].mean() > 0.4
    before, after = (each.annotate(query, unknown="auto") for each in (annotator, annotator.adapt(query)))
    assert after["rejected"].mean() < before["rejected"].mean() + 0.05
    assert accuracy(annotator.adapt(query), query) >= accuracy(annotator, query) - 0.01


def test_genes_that_the_query_lacks_keep_their_weight(annotator, make_adata):
    query = other_protocol(make_adata(100, seed=5))[0][:, :40].copy()
    ratio = ratios(annotator, query)
    assert (ratio[40:] == 1).all()
    assert (ratio[:40] != 1).any()
    moved, before = (each.confidence.profiles["rna"] for each in (annotator.adapt(query), annotator))
    np.testing.assert_array_equal(moved[:, 40:], before[:, 40:])


def test_genes_that_a_query_lacks_are_expected_on_its_own_scale(annotator, make_adata):
    """Changed networks say of a query what those of before say of its values changed, those lacking filled in afterwards."""
    query, found = other_protocol(make_adata(30, seed=5))[0], np.arange(60) % 3 > 0
    rng, scaling = np.random.default_rng(0), annotator._scaling["rna"]
    assert scaling.loadings.any()
    change = _adapt.Change(np.where(found, rng.uniform(0.5, 2, 60), 1.0), np.where(found, rng.normal(size=60), 0.0))
    counts = query.X.toarray() * found
    share = float(scaling.gene_share[found].sum())
    values = np.log1p(1e4 * share * counts / counts.sum(axis=1, keepdims=True)) * change.factor + change.shift
    mean, loadings, noise = (
        getattr(scaling, name).numpy().astype(np.float64) for name in ("mean", "loadings", "noise")
    )
    covariance = loadings @ loadings.T + np.diag(noise)
    slope = covariance[np.ix_(~found, found)] @ np.linalg.inv(covariance[np.ix_(found, found)])
    values[:, ~found] = mean[~found] + (values[:, found] - mean[found]) @ slope.T
    cells = Cells({"rna": Modality(Rows(sparse.csr_matrix(counts.astype(np.float32))), found=found)}, 30)
    changed = _adapt._changed(annotator._scaling, annotator._student, {"rna": change})
    np.testing.assert_allclose(student_logits(*changed, cells, np.arange(30)), logits(annotator, values), atol=2e-3)


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


def test_empty_cells_are_no_evidence(annotator, make_adata):
    query, _ = other_protocol(make_adata(90, seed=5))
    empty = AnnData(sparse.csr_matrix((200, query.n_vars), dtype=np.float32), var=query.var)
    empty.obs_names = [f"empty_{i}" for i in range(200)]
    masked = query.copy()  # zeros that are stored
    masked.X.data[:] = 0
    masked.obs_names = [f"masked_{i}" for i in range(90)]
    together = concat([query, empty, masked])
    # Which calls are sure goes by all cells, so not the same to the last digit.
    np.testing.assert_allclose(np.log(ratios(annotator, together)), np.log(ratios(annotator, query)), atol=0.3)
    for nothing in (empty, masked):
        adapted = annotator.adapt(nothing)
        pd.testing.assert_frame_equal(adapted.predict(query, soft=True), annotator.predict(query, soft=True))


def test_adapted_again_it_has_no_more_to_make_up_for(annotator, make_adata):
    query, _ = other_protocol(make_adata(300, seed=5))
    once = annotator.adapt(query)
    twice = once.adapt(query)
    first, second = (np.abs(np.log(ratios(each, query))).mean() for each in (annotator, once))
    assert second < 0.7 * first
    codes = query.obs["cell_type"].cat.codes.to_numpy()
    for _ in range(3):  # and other shares of types do not drive it away
        twice = twice.adapt(query[(codes == 0) | (np.arange(300) % 30 == 0)].copy())
        assert (twice.confidence.profiles["rna"] >= 0).all()
    assert accuracy(twice, query) > 0.9


def test_card_says_that_it_was_adapted(annotator, make_adata):
    adapted = annotator.adapt(make_adata(90, seed=5))
    assert adapted.card.startswith(annotator.card.rstrip())
    assert "Adapted to a query of 90 cells" in adapted.card
    assert "Adapted" not in annotator.card


def test_is_explained_also_where_gradients_are_off(annotator, make_adata):
    query = make_adata(30, seed=5)
    with torch.inference_mode():
        adapted = annotator.adapt(query)
    pd.testing.assert_frame_equal(
        adapted.get_pattern_attribution(query), annotator.adapt(query).get_pattern_attribution(query)
    )


def test_refuses_models_without_confidence_before_the_query_is_read(make_model, train, make_adata):
    model = train(make_model(preset=presets.default.replace(confidence={"n_folds": 0})))
    with pytest.raises(ValueError, match=r"was not calibrated.*n_folds.*5"):
        model.adapt("no query at all")
    with pytest.raises(RuntimeError, match="not trained"):
        make_model().adapt(make_adata(20))


def test_refuses_annotators_of_single_cells(annotator, make_adata):
    old = annotator.rename_features({"GENE000": "GENE000"})
    old.confidence = replace(old.confidence, profiles={})
    with pytest.raises(ValueError, match="earlier plkd.*train it anew"):
        old.adapt(make_adata(20))


@pytest.mark.parametrize("indices", [[], np.zeros(20, dtype=bool)])
def test_refuses_no_cells(annotator, make_adata, indices):
    with pytest.raises(ValueError, match="no cells to adapt to"):
        annotator.adapt(make_adata(20), indices=indices)


def test_only_some_cells_of_many_are_looked_at(annotator, make_adata, monkeypatch):
    asked = []
    monkeypatch.setattr(_adapt, "sample_cells", lambda n: asked.append(n) or np.arange(20))
    query = make_adata(90, seed=5)
    weight = annotator.adapt(query)._scaling["rna"].weight
    assert asked == [90]
    monkeypatch.undo()
    assert (annotator.adapt(query[:20].copy())._scaling["rna"].weight == weight).all()
