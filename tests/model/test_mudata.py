"""One model on RNA, proteins and ATAC: any subset of modalities in a query, explained, saved and exported."""

from __future__ import annotations

import logging
import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from plkd import PLKD, Annotator

KINDS = {"rna": "rna", "prot": "protein", "atac": "atac"}


def truth(mdata):
    return mdata.obs["cell_type"].astype(str).to_numpy()


def accuracy(trained, query, **kwargs):
    return (trained.predict(query, **kwargs) == truth(query)).mean()


@pytest.mark.parametrize("model", ["student", "teacher"])
@pytest.mark.parametrize("modality", ["joint", "rna", "prot", "protein", "atac"])
def test_labels_are_found_from_all_modalities_and_from_each_alone(joint, make_mdata, modality, model):
    assert accuracy(joint, make_mdata(90, seed=1), modality=modality, model=model) > (
        0.85 if modality == "atac" else 0.9
    )


@pytest.mark.parametrize("names", [("rna",), ("prot",), ("atac",), ("rna", "prot"), ("prot", "atac")])
def test_a_query_with_some_of_the_modalities_equals_the_restricted_joint_query(joint, make_mdata, names):
    query = make_mdata(60, seed=1)
    some = MuData({name: query[name] for name in names})
    some = some[query.obs_names].copy()
    found = joint.predict(some, soft=True)
    if len(names) == 1:
        expected = joint.predict(query, soft=True, modality=names[0])
        pd.testing.assert_frame_equal(found.loc[expected.index], expected, rtol=1e-4)
        alone = joint.predict(query[names[0]], soft=True)
        pd.testing.assert_frame_equal(alone.loc[expected.index], expected, rtol=1e-4)
    assert (found.to_numpy().argmax(1) == query.obs["cell_type"].cat.codes.loc[found.index]).mean() > 0.85


def test_a_mosaic_query_is_annotated_cell_by_cell(joint, make_mdata):
    query = make_mdata(60, seed=1, mosaic=True)
    assert accuracy(joint, query) > 0.9
    table = joint.annotate(query)
    assert table.index.equals(query.obs_names)


def test_shuffled_cells_and_features_give_the_same_answers(joint, make_mdata):
    query = make_mdata(60, seed=1)
    rng = np.random.default_rng(0)
    shuffled = MuData(
        {
            name: adata[rng.permutation(adata.n_obs)][:, rng.permutation(adata.n_vars)].copy()
            for name, adata in query.mod.items()
        }
    )
    expected = joint.predict(query, soft=True)
    pd.testing.assert_frame_equal(joint.predict(shuffled, soft=True).loc[expected.index], expected, rtol=1e-4)


def test_a_view_as_query_works_and_stays_one(joint, make_mdata):
    query = make_mdata(60, seed=1)
    view = query[:20]
    np.testing.assert_array_equal(joint.predict(view), joint.predict(query)[:20])
    assert view.is_view


def test_a_query_is_not_changed(joint, make_mdata):
    query = make_mdata(30, seed=1, mosaic=True)
    before = query.copy()
    joint.predict(query)
    joint.get_pattern_attention(query, groupby="cell_type")
    joint.get_modality_weights(query)
    assert query.obs.equals(before.obs)
    assert not query.uns
    for name, adata in query.mod.items():
        assert adata.obs.equals(before[name].obs)
        assert not adata.uns


def test_part_of_a_protein_panel_lands_on_the_same_scale(joint, make_mdata):
    query = make_mdata(60, seed=1)
    part = MuData({"prot": query["prot"][:, ["P00", "P03", "P04", "P06", "P07", "P10"]].copy()})
    part.obs["cell_type"] = query.obs["cell_type"]
    assert accuracy(joint, part) > 0.85


def test_peaks_are_matched_by_genomic_overlap(joint, make_mdata):
    atac = make_mdata(60, seed=1)["atac"].copy()
    expected = joint.predict(atac, soft=True)
    intervals = atac.var_names.str.extract(r"chr1:(\d+)-(\d+)").astype(int)
    atac.var_names = [f"1-{start + 40}-{end + 60}" for start, end in intervals.to_numpy()]
    pd.testing.assert_frame_equal(joint.predict(atac, soft=True), expected, rtol=1e-4)


@pytest.mark.parametrize("given", ["alone", "as a modality", "under another name", "beside rna", "beside rna, renamed"])
def test_peaks_of_another_build_are_refused(joint, make_mdata, given):
    query = make_mdata(30, seed=1)
    atac = query["atac"].copy()
    atac.var_names = [f"chr1:{7_000_000 + 1000 * i}-{7_000_500 + 1000 * i}" for i in range(atac.n_vars)]
    tables = {"as a modality": {"atac": atac}, "under another name": {"peaks": atac}}
    tables |= {
        "beside rna": {"rna": query["rna"], "atac": atac},
        "beside rna, renamed": {"gex": query["rna"], "peaks": atac},
    }
    with pytest.raises(ValueError, match=r"Only 0 of the model's 60 features .*lift them over if the builds differ"):
        joint.predict(atac if given == "alone" else MuData(tables[given]))


def test_a_query_with_none_of_the_modalities_is_refused(joint):
    other = AnnData(np.ones((3, 4), dtype=np.float32), var=pd.DataFrame(index=list("abcd")))
    with pytest.raises(ValueError, match=r"none of the model's modalities \(rna, prot, atac\)"):
        joint.predict(other)


def test_an_rna_model_takes_the_rna_of_a_mudata(trained, make_mdata, make_adata):
    query = make_adata(40, seed=1)
    mdata = MuData({"gex": query, "prot": make_mdata(40, seed=1)["prot"]})
    expected = trained.predict(query, soft=True)
    pd.testing.assert_frame_equal(trained.predict(mdata, soft=True).loc[expected.index], expected)


def test_a_modality_that_chosen_cells_lack_is_refused_by_name(joint, make_mdata):
    query = make_mdata(30, seed=1, mosaic=True)
    with pytest.raises(ValueError, match="10 cells have no protein"):
        joint.get_latent_representation(query, modality="prot")
    has = np.flatnonzero(query.obs_names.isin(query["prot"].obs_names))
    assert joint.get_latent_representation(query, modality="prot", indices=has).shape == (20, 8)
    with pytest.raises(ValueError, match=r"modality='adt'; expected 'joint' or one of \['rna', 'prot', 'atac'\]"):
        joint.predict(query, modality="adt")


@pytest.mark.parametrize("modality", ["prot", "protein", "rna"])
def test_an_annotator_answers_from_one_modality_as_the_model_does(joint, make_mdata, tmp_path, modality):
    query = make_mdata(45, seed=1)
    exported = joint.export_student(tmp_path / "a")
    query.write(tmp_path / "query.h5mu")
    for source in (query, tmp_path / "query.h5mu"):
        for ask in ("predict", "annotate", "get_latent_representation"):
            options = {"soft": True} if ask == "predict" else {}
            expected = getattr(joint, ask)(query, modality=modality, **options)
            np.testing.assert_array_equal(getattr(exported, ask)(source, modality=modality, **options), expected)
            if ask == "predict":
                assert (np.asarray(exported.predict(source, **options)) != np.asarray(expected)).any()
    with pytest.raises(ValueError, match=r"modality='adt'; expected 'joint' or one of \['rna', 'prot', 'atac'\]"):
        exported.predict(query, modality="adt")
    with pytest.raises(ValueError, match="10 cells have no protein"):
        exported.annotate(make_mdata(30, seed=1, mosaic=True), modality="prot")


def test_cells_of_a_query_named_in_two_ways_are_warned_of(joint, make_mdata, caplog):
    query = make_mdata(30, seed=1, modalities=("rna", "prot"))
    prot = query["prot"].copy()
    prot.obs_names = "x" + prot.obs_names
    joint.predict(MuData({"rna": query["rna"], "prot": prot}))
    assert "Cells seem to be named in two ways" in caplog.text
    caplog.clear()
    joint.predict(query)
    joint.predict(
        MuData(
            {
                "rna": query["rna"][:10].copy(),
                "prot": query["prot"][~query["prot"].obs_names.isin(query["rna"].obs_names[:10])].copy(),
            }
        )
    )
    assert "named in two ways" not in caplog.text


def test_cells_of_a_query_without_counts_are_warned_of(joint, make_mdata, caplog):
    query = make_mdata(30, seed=1)
    query["prot"].X[:4] = 0
    joint.predict(query)
    assert "4 of 30 cells have no counts in mdata['prot'].X" in caplog.text
    for line in re.findall("`([^`]+)`", caplog.text.split("leave them out:")[1]):
        exec(line, {"np": np, "mdata": query})
    assert query["prot"].n_obs == 26
    caplog.clear()
    joint.predict(query)
    assert "no counts" not in caplog.text


def test_cells_of_a_query_in_no_modality_of_the_model_are_refused(joint, make_mdata):
    query = make_mdata(30, seed=1, mosaic=True)
    spatial = query["prot"].copy()
    spatial.var_names = "spot_" + spatial.var_names
    odd = MuData({"rna": query["rna"], "spatial": spatial})
    with pytest.raises(ValueError, match="10 of 30 cells were measured in none of the model's modalities"):
        joint.predict(odd)


def test_a_modality_under_another_name_is_found_beside_those_that_kept_theirs(joint, make_mdata, caplog):
    query = make_mdata(30, seed=1)
    renamed = MuData({"rna": query["rna"], "adt": query["prot"]})
    with caplog.at_level(logging.INFO, "plkd"):
        found = joint.predict(renamed, soft=True)
    assert "mdata['adt'] is taken as the model's prot" in caplog.text
    expected = joint.predict(MuData({"rna": query["rna"], "prot": query["prot"]}), soft=True)
    pd.testing.assert_frame_equal(found, expected.loc[found.index])


def test_proteins_named_as_genes_are_not_taken_for_them(trained, make_mdata, make_adata):
    query, prot = make_adata(40, seed=1), make_mdata(40, seed=1)["prot"].copy()
    prot.var_names = [*query.var_names[:4], *prot.var_names[4:]]
    found = trained.predict(MuData({"gex": query, "adt": prot}), soft=True)
    pd.testing.assert_frame_equal(found.loc[query.obs_names], trained.predict(query, soft=True))


def test_genes_are_not_taken_for_the_few_proteins_that_share_their_names(make_joint_model, make_mdata, train, caplog):
    def named_as_genes(seed):
        mdata = make_mdata(60, seed=seed, modalities=("rna", "prot"))
        mdata["prot"].var_names = mdata["rna"].var_names[:12]
        mdata.update()
        return mdata

    model = train(make_joint_model(named_as_genes(0)), 1)
    query = named_as_genes(1)
    with caplog.at_level(logging.INFO, "plkd"):
        model.predict(query["rna"][:, :30].copy())
        model.predict(query["prot"].copy())
    said = [line for line in caplog.messages if "is taken as" in line]
    assert said == ["The query is taken as the model's rna", "The query is taken as the model's prot"]


def test_too_small_a_panel_is_refused_naming_its_place_and_that_it_may_be_left_out(joint, make_mdata):
    query = make_mdata(30, seed=1)
    part = MuData({"rna": query["rna"], "prot": query["prot"][:, :2].copy()})
    with pytest.raises(
        ValueError, match=r"Only 2 of the model's 12 features are in mdata\['prot'\]\.X .*leave this modality out"
    ):
        joint.predict(part)


def test_the_line_that_leaves_out_cells_without_a_modality_does_so(joint, make_mdata):
    query = make_mdata(30, seed=1, mosaic=True)
    spatial = query["prot"].copy()
    spatial.var_names = "spot_" + spatial.var_names
    mdata = MuData({"rna": query["rna"], "spatial": spatial})
    with pytest.raises(ValueError, match="measured in none of the model's modalities") as caught:
        joint.predict(mdata)
    line = str(caught.value).split("`")[1]
    assert len(joint.predict(eval(line, {"mdata": mdata, "np": np}))) == 20


def test_attention_names_each_pattern_and_free_token_by_modality(joint, make_mdata):
    attention = joint.get_pattern_attention(make_mdata(20, seed=1))
    kinds = joint.token_kinds
    assert list(attention.columns) == list(kinds.index)
    assert set(kinds) == {"rna", "prot", "atac"}
    assert {"free_1 (rna)", "free_1 (prot)", "free_1 (atac)"} <= set(kinds.index)
    np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)


def test_tokens_of_a_missing_modality_get_no_attention(joint, make_mdata):
    query = make_mdata(30, seed=1, mosaic=True)
    by_modality = joint.get_pattern_attention(query).T.groupby(joint.token_kinds).sum().T
    for name in KINDS:
        lacking = ~query.obs_names.isin(query[name].obs_names)
        assert not by_modality.loc[lacking, name].any()
        assert (by_modality.loc[~lacking, name] > 0).all()


def test_attribution_names_every_pattern_once(joint, make_mdata):
    found = joint.get_pattern_attribution(make_mdata(10, seed=1))
    assert sorted(found.columns) == sorted(joint.patterns.names)


def test_modality_weights_are_shares_and_0_where_a_modality_is_missing(joint, make_mdata):
    query = make_mdata(30, seed=1, mosaic=True)
    weights = joint.get_modality_weights(query)
    assert list(weights.columns) == ["rna", "prot", "atac"]
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all(axis=None)
    for name in KINDS:
        assert not weights.loc[~query.obs_names.isin(query[name].obs_names), name].any()


def test_the_modality_that_tells_the_labels_decides(make_joint_model, make_mdata, train):
    def blurred(seed):
        mdata = make_mdata(seed=seed, modalities=("rna", "prot"))
        values = mdata["rna"].X
        mdata["rna"].X = values[np.random.default_rng(seed).permutation(values.shape[0])]
        return mdata

    model = train(make_joint_model(blurred(0)), 15, plan_kwargs={"teacher": {"lr": 2e-2}, "student": {"lr": 2e-2}})
    assert model.get_modality_weights(blurred(1))["prot"].mean() > 0.8


def test_a_saved_model_answers_as_before_with_and_without_its_reference(joint, make_mdata, tmp_path):
    query = make_mdata(30, seed=1, mosaic=True)
    expected = joint.predict(query, soft=True)
    joint.save(tmp_path / "m")
    for adata in (None, make_mdata()):
        again = PLKD.load(tmp_path / "m", adata=adata)
        pd.testing.assert_frame_equal(again.predict(query, soft=True), expected)
        pd.testing.assert_frame_equal(again.get_pattern_attention(query), joint.get_pattern_attention(query))


def test_a_model_saved_with_its_data_finds_them_again(make_joint_model, make_mdata, train, tmp_path):
    model = train(make_joint_model(make_mdata(60)), 1)
    model.save(tmp_path / "m", save_anndata=True)
    again = PLKD.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.predict(soft=True), model.predict(soft=True))


def test_data_with_some_of_the_modalities_can_be_attached(joint, make_mdata, tmp_path):
    joint.save(tmp_path / "m")
    some = MuData({"rna": make_mdata(30)["rna"].copy()})
    np.testing.assert_array_equal(PLKD.load(tmp_path / "m", adata=some).predict(), joint.predict(some))


def test_attaching_an_anndata_or_a_view_is_refused_with_what_to_do(joint, make_mdata, tmp_path):
    joint.save(tmp_path / "m")
    mdata = make_mdata(30)
    with pytest.raises(TypeError, match=r"adata is an AnnData; expected a MuData.*model\.predict\(adata\)"):
        PLKD.load(tmp_path / "m", adata=mdata["rna"])
    with pytest.raises(ValueError, match=r"view of another MuData.*adata\.copy\(\)"):
        PLKD.load(tmp_path / "m", adata=mdata[:20])


def test_the_annotator_agrees_on_every_form_of_query(joint, make_mdata, tmp_path):
    joint.export_student(tmp_path / "a")
    annotator = Annotator.load(tmp_path / "a")
    query = make_mdata(30, seed=1, mosaic=True)
    for given in (query, query["prot"], query["rna"]):
        np.testing.assert_allclose(annotator.predict(given, soft=True), joint.predict(given, soft=True), atol=1e-5)
    pd.testing.assert_frame_equal(
        annotator.get_pattern_attribution(query), joint.get_pattern_attribution(query), rtol=1e-4, atol=1e-5
    )
    query.write(tmp_path / "q.h5mu")
    found = annotator.predict(tmp_path / "q.h5mu", soft=True)
    np.testing.assert_allclose(found.loc[query.obs_names], joint.predict(query, soft=True), atol=1e-5)


def test_the_same_seed_gives_the_same_model_bit_for_bit(make_joint_model, make_mdata, train):
    import torch

    found = []
    for _ in range(2):
        model = make_joint_model(make_mdata(60, mosaic=True))
        torch.manual_seed(1)
        found.append(train(model, 2).predict(soft=True))
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_genes_near_peaks_and_of_proteins_are_no_rna(make_adata, make_model, train, make_mdata):
    """Tables whose ``var`` names the genes of their peaks, or proteins, beside the RNA itself."""
    rna = make_adata(60, 40)
    model = train(make_model(rna), 1)
    query = make_mdata(30, seed=1)
    for name in ("prot", "atac"):
        n = query[name].n_vars
        query[name].var["gene"] = [f"GENE{i % 40:03d}" for i in range(n)]
    np.testing.assert_array_equal(model.predict(query), model.predict(query["rna"]))
    with pytest.raises(ValueError, match="0 of the model's 40 features"):
        model.predict(query["atac"])
