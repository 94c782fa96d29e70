"""One way in: every entry finds the features of a query however it names and orders them, and says so."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from plkd import PLKD


@pytest.fixture(scope="module")
def ensembl() -> list[str]:
    return [f"ENSG{i:011d}" for i in range(60)]


@pytest.fixture(scope="module")
def model(make_adata, make_model, train, ensembl):
    """Give a model whose features are Ensembl identifiers."""
    adata = make_adata()
    adata.var_names = ensembl
    return train(make_model(adata), 2)


@pytest.fixture(scope="module")
def annotator(model, tmp_path_factory):
    return model.export_student(tmp_path_factory.mktemp("alignment") / "annotator")


@pytest.fixture(scope="module")
def query(make_adata, ensembl):
    adata = make_adata(40, seed=7)
    adata.var_names = ensembl
    return adata


def reordered(query):
    return query[:, np.random.default_rng(0).permutation(query.n_vars)].copy()


def with_versions(query):
    adata = query.copy()
    adata.var_names = [f"{name}.{i % 7}" for i, name in enumerate(adata.var_names)]
    return adata


def in_a_column(query):
    adata = reordered(query)
    adata.var["gene_ids"] = adata.var_names
    adata.var_names = [f"SYMBOL{i}" for i in range(adata.n_vars)]
    return adata


def versions_in_a_column(query):
    adata = in_a_column(query)
    adata.var["gene_ids"] = adata.var["gene_ids"] + ".3"
    return adata


FORMS = [reordered, with_versions, in_a_column, versions_in_a_column]
ENTRIES = {
    "predict": lambda m, q: m.predict(q, soft=True),
    "Teacher": lambda m, q: m.predict(q, soft=True, model="teacher"),
    "annotate": lambda m, q: m.annotate(q),
    "latent": lambda m, q: pd.DataFrame(m.get_latent_representation(q)),
    "attention": lambda m, q: m.get_pattern_attention(q),
    "attribution": lambda m, q: m.get_pattern_attribution(q),
    "modality weights": lambda m, q: m.get_modality_weights(q),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_answers_of_the_model_are_identical(model, query, form, entry):
    pd.testing.assert_frame_equal(ENTRIES[entry](model, form(query)), ENTRIES[entry](model, query), check_exact=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entry", ["predict", "annotate", "latent", "attribution"])
def test_answers_of_the_annotator_are_identical(annotator, query, form, entry):
    pd.testing.assert_frame_equal(
        ENTRIES[entry](annotator, form(query)), ENTRIES[entry](annotator, query), check_exact=True
    )


@pytest.mark.parametrize(
    ("form", "level", "line"),
    [
        (
            with_versions,
            "INFO",
            "all 60 features found, in the model's order, 60 by Ensembl identifiers without version",
        ),
        (in_a_column, "WARNING", "60 of 60 features found (100%), names taken from var['gene_ids'], reordered"),
    ],
)
def test_what_was_done_is_said_in_one_line(model, annotator, query, form, level, line, caplog):
    for one in (model, annotator):
        caplog.clear()
        with caplog.at_level(logging.INFO, "plkd"):
            one.predict(form(query))
        said = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert said == [(level, f"Query: 40 cells, {line}")]


def test_the_report_says_the_same_words(model, annotator, query, tmp_path, caplog):
    part = in_a_column(query)[:, :45].copy()
    part.write_h5ad(tmp_path / "query.h5ad")
    reports = [
        model.alignment_report(part),
        annotator.alignment_report(part),
        annotator.alignment_report(tmp_path / "query.h5ad"),
    ]
    with caplog.at_level(logging.INFO, "plkd"):
        model.predict(part)
    assert f"Query: 40 cells, {reports[0].modalities['found'].item()}" in caplog.text
    for report in reports:
        assert str(report) == str(reports[0])
        assert report.fraction == 0.75
        has = set(part.var["gene_ids"])
        found = report.patterns.set_index("pattern")["n_found"].to_dict()
        assert found == {name: len(has & set(members)) for name, members in model.patterns.to_dict().items()}


def test_the_report_of_the_reference_is_whole(model, query, tmp_path):
    assert model.alignment_report().fraction == 1
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="without its reference"):
        PLKD.load(tmp_path / "m").alignment_report()


def test_a_reference_attached_to_a_saved_model_may_name_its_features_otherwise_and_be_trained_on(
    model, make_adata, ensembl, train, tmp_path
):
    model.save(tmp_path / "m")
    ref = make_adata()
    ref.var_names = ensembl
    again = PLKD.load(tmp_path / "m", adata=in_a_column(ref))
    pd.testing.assert_frame_equal(again.predict(soft=True), model.predict(ref, soft=True), check_exact=True)
    train(again, 1)
    with pytest.raises(ValueError, match="Only 0 of the model's 60 features .*transposed"):
        PLKD.load(tmp_path / "m", adata=ref.T.copy())


def test_a_transposed_query_is_refused_by_model_annotator_and_report(model, annotator, query):
    for call in (model.predict, annotator.annotate, model.alignment_report, annotator.alignment_report):
        with pytest.raises(ValueError, match=r"the matrix is transposed\. Fix: `adata = adata\.T`"):
            call(query.T)


class TestSeveralModalities:
    @pytest.fixture(scope="class")
    def mdata(self, make_mdata):
        return make_mdata(30, seed=1)

    def test_names_in_columns_give_identical_answers_under_any_modality_names(self, joint, mdata, caplog):
        expected = joint.predict(mdata, soft=True)
        renamed = {}
        for new, name in (("gex", "rna"), ("adt", "prot"), ("peaks", "atac")):
            part = mdata[name].copy()
            part.var["other"] = part.var_names
            part.var_names = [f"{new}_{i}" for i in range(part.n_vars)]
            renamed[new] = part
        query = MuData(renamed)
        with caplog.at_level(logging.INFO, "plkd"):
            found = joint.predict(query, soft=True)
        pd.testing.assert_frame_equal(found.loc[expected.index], expected, check_exact=True)
        for new, name in (("gex", "rna"), ("adt", "prot"), ("peaks", "atac")):
            assert f"mdata['{new}'] is taken as the model's {name}" in caplog.text
        assert caplog.text.count("names taken from var['other']") == 3
        report = joint.alignment_report(query)
        assert report.modalities["names"].tolist() == ["var['other']"] * 3
        assert len(report.patterns) == len(joint.patterns)

    def test_genes_of_another_species_are_refused_as_such(self, joint, mdata):
        rna = mdata["rna"].copy()
        rna.var_names = [name.capitalize() for name in rna.var_names]
        for query in (rna, MuData({"rna": rna}), MuData({"gex": rna})):
            with pytest.raises(ValueError, match="differ only by case"):
                joint.predict(query)

    def test_a_transposed_modality_alone_is_refused_as_such(self, joint, mdata):
        with pytest.raises(ValueError, match="the matrix is transposed"):
            joint.predict(AnnData(mdata["prot"].X.T.copy(), obs=mdata["prot"].var[[]], var=mdata["prot"].obs[[]]))
