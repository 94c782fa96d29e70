"""Labels of any type are read one way, at every entry, and what is doubtful about them is said."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from plkd import PLKD, Annotator
from plkd.cli._app import run

#: By name: label values of six cells, what they are read as ("" is unlabelled), the order of the labels.
COLUMNS = {
    "text": (["b", "a", "c"] * 2, ["b", "a", "c"] * 2, ["a", "b", "c"]),
    "missing": (["b", "a", None, np.nan, "", " "], ["b", "a", "", "", "", ""], ["a", "b"]),
    "spaces": (["b ", " a", "b", "a", "\tb\n", "a\u00a0"], ["b", "a"] * 3, ["a", "b"]),
    "integers": ([10, 9, 2] * 2, ["10", "9", "2"] * 2, ["2", "9", "10"]),
    "whole floats": ([10.0, 9.0, np.nan] * 2, ["10", "9", ""] * 2, ["9", "10"]),
    "floats": ([0.5, 1.0, 2.5] * 2, ["0.5", "1", "2.5"] * 2, ["0.5", "1", "2.5"]),
    "bools": ([True, False, True] * 2, ["True", "False", "True"] * 2, ["False", "True"]),
    "mixed": ([1, "1", 1.0, "1.0", True, "b"], ["1", "1", "1", "1.0", "True", "b"], ["1", "1.0", "True", "b"]),
    "nullable": (pd.array([10, None, 2] * 2, dtype="Int64"), ["10", "", "2"] * 2, ["2", "10"]),
    "string": (pd.array(["b", None, "a"] * 2, dtype="string"), ["b", "", "a"] * 2, ["a", "b"]),
    "categories": (
        pd.Categorical(["b", None, "a"] * 2, ["never", "b", "Unknown", "a"]),
        ["b", "", "a"] * 2,
        ["b", "a"],
    ),
    "ordered": (pd.Categorical(["hi", "lo"] * 3, ["lo", "mid", "hi"], ordered=True), ["hi", "lo"] * 3, ["lo", "hi"]),
    "unlabelled": (["b", "Unknown", "a"] * 2, ["b", "", "a"] * 2, ["a", "b"]),
    "unicode": (["Zellé", "T γδ", "细胞"] * 2, ["Zellé", "T γδ", "细胞"] * 2, ["T γδ", "Zellé", "细胞"]),
    "slashes": (["CD4/CD8", "B\\Plasma", "a:b,c;d"] * 2,) * 2 + (["B\\Plasma", "CD4/CD8", "a:b,c;d"],),
    "names of columns": (["label", "confidence", "reason"] * 2,) * 2 + (["confidence", "label", "reason"],),
    "long": (["x" * 10_000, "x" * 9_999 + "y"] * 3,) * 2 + (["x" * 10_000, "x" * 9_999 + "y"],),
}


def labelled(data, values):
    """Give data the labels, again and again."""
    n = -(-data.n_obs // len(values))
    column = pd.Series(values)
    data.obs["cell_type"] = pd.Series(
        pd.concat([column] * n)[: data.n_obs].array, index=data.obs_names, dtype=column.dtype
    )
    return data


@pytest.mark.parametrize("name", COLUMNS)
def test_labels_of_anndata_and_mudata_are_read_alike(make_adata, make_mdata, make_model, make_joint_model, name):
    values, read, order = COLUMNS[name]
    joint = make_mdata(30, modalities=("rna", "prot"))
    for model in (make_model(labelled(make_adata(30), values)), make_joint_model(labelled(joint, values))):
        assert model.labels == order
        codes = model._reference_cells().labels
        assert [order[code] if code >= 0 else "" for code in codes] == (read * 5)[:30]


@pytest.mark.parametrize("name", ["missing", "integers", "mixed", "ordered", "unicode", "slashes", "names of columns"])
def test_labels_keep_their_order_through_every_file(make_adata, make_model, train, tmp_path, name):
    values, read, order = COLUMNS[name]
    ref = labelled(make_adata(30), values)
    query = make_adata(12, seed=1)
    model = train(make_model(ref), 1)
    soft = model.predict(query, soft=True)
    assert list(soft.columns) == model.labels == order
    assert set(model.predict(query)) <= set(order)
    table = model.annotate(query)
    assert list(table["label"].cat.categories) == order
    assert (table["label"].astype(object) == soft.idxmax(axis=1)).all()

    model.save(tmp_path / "model")
    other = labelled(make_adata(30), pd.Categorical([text or None for text in read], ["never", *order[::-1]]))
    for again in (
        PLKD.load(tmp_path / "model", accelerator="cpu"),
        PLKD.load(tmp_path / "model", adata=other, accelerator="cpu"),
        model.export_student(tmp_path / "annotator"),
    ):
        assert again.labels == order
        pd.testing.assert_frame_equal(again.predict(query, soft=True), soft, atol=1e-5)
    reloaded = PLKD.load(tmp_path / "model", adata=other, accelerator="cpu")
    np.testing.assert_array_equal(reloaded._reference_cells().labels, model._reference_cells().labels)


@pytest.mark.parametrize("name", ["whole floats", "categories", "unicode", "slashes"])
def test_command_line_reads_labels_as_the_model_does(make_adata, tmp_path, name):
    values, _, order = COLUMNS[name]
    labelled(make_adata(60), values).write_h5ad(tmp_path / "ref.h5ad")
    make_adata(12, seed=1).write_h5ad(tmp_path / "query.h5ad")
    args = ["--labels-key", "cell_type", "--max-epochs", "1", "--out", str(tmp_path / "model")]
    assert run(["train", str(tmp_path / "ref.h5ad"), *args]) == 0
    assert Annotator.load(tmp_path / "model").labels == order
    out = tmp_path / "out.h5ad"
    assert run(["annotate", str(tmp_path / "query.h5ad"), "--model", str(tmp_path / "model"), "--out", str(out)]) == 0
    expected = Annotator.load(tmp_path / "model").predict(tmp_path / "query.h5ad")
    assert list(read_h5ad(out).obs["plkd_label"].astype(object)) == list(expected)


@pytest.fixture
def said(make_adata, caplog):
    def setup(values, **kwargs) -> str:
        with caplog.at_level(logging.WARNING, logger="plkd"):
            PLKD.setup_anndata(labelled(make_adata(30), values), "cell_type", **kwargs)
        return caplog.text

    return setup


@pytest.mark.parametrize("name", ["text", "integers", "whole floats", "bools", "categories", "unlabelled", "unicode"])
def test_plain_labels_are_no_matter_for_warnings(said, name):
    assert said(COLUMNS[name][0]) == ""


def test_numbers_and_text_in_one_column_are_said_and_what_becomes_one_label(said):
    text = said([1, "1", "b"])
    assert "several types (number, text)" in text
    assert "count as one label" in text
    assert "1 and '1'" in text


def test_the_number_and_the_text_that_stay_two_labels_are_said(said):
    text = said([1.0, "1.0", "b"])
    assert "several types (number, text)" in text
    assert "count as different: '1' and '1.0'" in text


def test_spaces_that_do_not_count_are_said(said):
    text = said(["a", "a ", "b"])
    assert "count as one label, since labels are text without spaces around it: 'a' and 'a '" in text
    assert "several types" not in text


@pytest.mark.parametrize(
    "pair",
    [
        ("T cell", "t cell"),
        ("T cell", "T  cell"),
        ("1", "1.0"),
        ("\u00e9", "e\u0301"),
        ("straße", "STRASSE"),
        ("T", "T\u200b"),
    ],
)
def test_labels_that_look_alike_stay_apart_and_are_said(said, pair):
    assert f"count as different: {' and '.join(map(repr, sorted(pair)))}" in said([*pair, "other"])


def test_a_label_that_looks_like_the_unlabeled_category_is_said(said):
    found = said(["a", "b", "unknown"])
    assert "10 cells of obs['cell_type'] are labelled 'unknown', which is learned as a type" in found
    assert "unlabeled_category='unknown'" in found
    assert "count as different" not in found


@pytest.mark.parametrize("text", ["nan", "None", "<NA>", "NA"])
def test_missing_values_turned_into_text_are_said(said, text):
    assert f"look like missing values turned into text, and count as labels: '{text}' (10 cells)" in said(
        ["a", "b", text]
    )


def test_missing_values_turned_into_text_can_be_named_as_unlabelled(said):
    assert said(["a", "b", "nan"], unlabeled_category="nan") == ""


def test_a_column_that_holds_no_types_is_said_in_a_line_of_bounded_length(said, caplog):
    text = said([f"{'barcode' * 20} {i}" for i in range(30)])
    assert "30 labels for 30 cells" in text
    assert "and 20 more" in text
    assert all(len(message) < 1000 for message in caplog.messages)


@pytest.mark.parametrize("unlabeled", [-1, -1.0, "-1", np.int64(-1), " -1 "])
def test_unlabeled_category_may_be_of_another_type_than_the_labels(make_adata, unlabeled):
    for values in ([-1, 0, 1], [-1.0, 0.0, 1.0], ["-1", "0", "1"], pd.Categorical([-1, 0, 1])):
        adata = labelled(make_adata(30), values)
        PLKD.setup_anndata(adata, "cell_type", unlabeled_category=unlabeled)
        assert PLKD(adata).labels == ["0", "1"]


@pytest.mark.parametrize("unlabeled", [None, np.nan, pd.NA, "", " ", ["Unknown", "Doublet"]])
def test_unlabeled_category_that_is_no_value_is_refused(make_adata, make_mdata, unlabeled):
    with pytest.raises(ValueError, match="unlabeled_category=.*expected one value"):
        PLKD.setup_anndata(make_adata(30), "cell_type", unlabeled_category=unlabeled)
    with pytest.raises(ValueError, match="unlabeled_category=.*expected one value"):
        PLKD.setup_mudata(make_mdata(30), "cell_type", unlabeled_category=unlabeled)


@pytest.mark.parametrize("values", [["T"], ["T", "Unknown"], ["T", " T "], [1, 1.0, "1"]])
def test_one_label_is_refused(make_adata, make_mdata, values):
    for setup, data in ((PLKD.setup_anndata, make_adata(30)), (PLKD.setup_mudata, make_mdata(30))):
        with pytest.raises(ValueError, match=r"holds 1 labels \('(T|1)'\) besides 'Unknown'; expected at least 2"):
            setup(labelled(data, values), "cell_type")
        assert not [name for name in data.obs if name.startswith("_scvi")]


@pytest.mark.parametrize("label", ["half \ud800", "null \0 inside"])
def test_labels_that_no_file_can_hold_are_refused(make_adata, label):
    with pytest.raises(ValueError, match=r"labels that no file can hold: '(half|null) .*rename"):
        PLKD.setup_anndata(labelled(make_adata(30), [label, "a", "b"]), "cell_type")


@pytest.mark.parametrize("values", [[np.nan], [None, ""], ["Unknown"], pd.Categorical([None, None], ["a", "b"])])
def test_no_label_is_refused(make_adata, make_mdata, values):
    for setup, data in ((PLKD.setup_anndata, make_adata(30)), (PLKD.setup_mudata, make_mdata(30))):
        with pytest.raises(ValueError, match=r"holds 0 labels \(none\).*labels_key=None"):
            setup(labelled(data, values), "cell_type")


@pytest.mark.parametrize(("argument", "key"), [("labels_key", "_scvi_labels"), ("batch_key", "_scvi_batch")])
def test_columns_that_setup_writes_are_no_labels_or_batches(make_adata, argument, key):
    adata = make_adata(30)
    PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
    before = adata.obs.copy()
    with pytest.raises(ValueError, match=f"{argument}='{key}' is a column that scvi-tools writes"):
        PLKD.setup_anndata(adata, **{"labels_key": "cell_type", argument: key})
    pd.testing.assert_frame_equal(adata.obs, before)


@pytest.mark.parametrize("labels", ["absent", "missing", "unseen", "numbers", "one", "nested"])
def test_labels_of_a_query_are_never_fatal(trained, make_adata, tmp_path, labels):
    query = make_adata(12, seed=1)
    expected = trained.predict(query)
    values = {
        "missing": [np.nan, None, "", " "],
        "unseen": ["new", "type_0", "TYPE_1"],
        "numbers": [1, 2.5, True],
        "one": ["type_0"],
        "nested": [["type_0"], {"a": 1}, ("b",)],
    }
    if labels == "absent":
        del query.obs["cell_type"]
    else:
        labelled(query, values[labels])
    trained.save(tmp_path / "model")
    annotator = trained.export_student(tmp_path / "annotator")
    attached = PLKD.load(tmp_path / "model", adata=query.copy(), accelerator="cpu")
    for answer in (trained.predict(query), annotator.predict(query), attached.predict(query), attached.predict()):
        np.testing.assert_array_equal(answer, expected)
    assert attached.labels == trained.labels
