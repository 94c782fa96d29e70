"""An Annotator under other names of its features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import Annotator


@pytest.fixture(scope="module")
def annotator(trained, tmp_path_factory):
    return trained.export_student(tmp_path_factory.mktemp("exported") / "annotator")


@pytest.fixture
def query(make_adata):
    return make_adata(40, seed=5)


def mouse(name: str) -> str:
    return name.capitalize()


def test_answers_a_query_of_the_new_names_as_the_old_one_did_that_of_the_old(annotator, query):
    expected, reasons = annotator.predict(query, soft=True), annotator.get_pattern_attribution(query)
    orthologues = pd.Series({name: mouse(name) for name in annotator.features["rna"]})
    other = annotator.rename_features(orthologues)
    query.var_names = [mouse(name) for name in query.var_names]
    with pytest.raises(ValueError, match=r"differ only by case.*rename_features\(orthologues\)"):
        annotator.predict(query)
    pd.testing.assert_frame_equal(other.predict(query, soft=True), expected)
    pd.testing.assert_frame_equal(other.get_pattern_attribution(query), reasons)
    pd.testing.assert_frame_equal(
        other.annotate(query)[["label"]],
        expected.idxmax(axis=1).astype(pd.CategoricalDtype(annotator.labels)).to_frame("label"),
    )


def test_survives_a_file_and_leaves_the_old_one_as_it_was(annotator, query, tmp_path):
    features, patterns = annotator.features["rna"].copy(), annotator.patterns
    other = annotator.rename_features({"GENE000": "first", "GENE001": "GENE000", "not in the model": "x"})
    other.save(tmp_path / "a")
    again = Annotator.load(tmp_path / "a")
    for each in (other, again):
        assert each.features["rna"][:3].tolist() == ["first", "GENE000", "GENE002"]
        assert each.patterns.features == tuple(each.features["rna"])
        np.testing.assert_array_equal(each.patterns.membership.toarray(), patterns.membership.toarray())
    np.testing.assert_array_equal(annotator.features["rna"], features)
    assert annotator.patterns is patterns
    expected = annotator.predict(query, soft=True)
    query.var_names = ["first", "GENE000", *query.var_names[2:]]
    pd.testing.assert_frame_equal(again.predict(query, soft=True), expected)


def test_of_several_modalities_survives_a_file(joint, make_mdata, tmp_path):
    query = make_mdata(30, seed=1)
    annotator = joint.export_student(tmp_path / "joint")
    expected = annotator.predict(query, soft=True)
    # A gene and a protein come to share a name.
    annotator.rename_features({"P00": "GENE003", "GENE000": "P00"}).save(tmp_path / "a")
    again = Annotator.load(tmp_path / "a")
    assert again.features["protein"][0] == "GENE003"
    query["rna"].var_names = ["P00", *query["rna"].var_names[1:]]
    query["prot"].var_names = ["GENE003", *query["prot"].var_names[1:]]
    query.update()
    pd.testing.assert_frame_equal(again.predict(query, soft=True), expected)
    original = annotator.patterns.to_dict()
    for name, members in again.patterns.to_dict().items():
        assert sorted(members) == sorted({"P00": "GENE003", "GENE000": "P00"}.get(m, m) for m in original[name])


def test_two_features_of_one_name_are_refused(annotator):
    with pytest.raises(ValueError, match="'GENE000' and 'GENE001' would both be 'GENE001'"):
        annotator.rename_features({"GENE000": "GENE001"})
