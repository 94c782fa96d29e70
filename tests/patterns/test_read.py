"""Reading from, and writing to, every container of patterns."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from plkd.patterns import PatternSet, concat, immune, read

names = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=8)
mappings = st.dictionaries(names, st.lists(names, min_size=1, max_size=6), min_size=1, max_size=6)
weights = st.floats(-4, 4, width=32).filter(bool)


@given(mapping=mappings, zipped=st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gmt_round_trip_keeps_sets_and_sources(tmp_path, mapping, zipped):
    patterns = PatternSet.from_dict(mapping, source="Villani 2017")
    path = tmp_path / ("sets.gmt.gz" if zipped else "sets.gmt")
    patterns.to_gmt(path)
    assert read(path) == patterns
    assert {name: set(features) for name, features in patterns.to_dict().items()} == {
        name: set(features) for name, features in mapping.items()
    }


@given(rows=st.dictionaries(st.tuples(names, names), weights, min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_frame_round_trip_keeps_weights(rows):
    frame = pd.DataFrame([(*key, weight) for key, weight in rows.items()], columns=["source", "target", "weight"])
    patterns = PatternSet.from_frame(frame)
    assert PatternSet.from_frame(patterns.to_frame()) == patterns
    back = {(row.source, row.target): row.weight for row in patterns.to_frame().itertuples()}
    assert back == rows


def test_gmt_without_source_takes_the_file_name_and_collapses_repeats(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_bytes(b"T\t\tCD3D\tCD3E\tCD3D\t\r\n\nB\tna\tMS4A1 \r\nNK\tCrinier 2018\tNKG7\r\n")
    patterns = PatternSet.from_gmt(path)
    assert patterns.to_dict() == {"T": ["CD3D", "CD3E"], "B": ["MS4A1"], "NK": ["NKG7"]}
    assert patterns.sources == ("sets.gmt", "sets.gmt", "Crinier 2018")


def test_gmt_is_recognised_as_gzipped_by_content(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_bytes(gzip.compress(b"T\t\tCD3D\n"))
    assert read(str(path)).to_dict() == {"T": ["CD3D"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [("T,CD3D\n", "line 1: expected 'name"), ("T\t\tA\nT\t\tB\n", "line 2: pattern 'T'"), ("", "no pattern")],
)
def test_gmt_that_is_none_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "sets.gmt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_gmt_refuses_names_it_cannot_carry(tmp_path):
    with pytest.raises(ValueError, match="tab or a line break"):
        PatternSet.from_dict({"a\tb": ["CD3D"]}).to_gmt(tmp_path / "sets.gmt")
    assert not (tmp_path / "sets.gmt").exists()


def test_gmt_says_that_weights_are_lost(tmp_path, caplog):
    PatternSet.from_matrix([[2.0]], ["CD3D"]).to_gmt(tmp_path / "sets.gmt")
    assert "GMT carries no weights" in caplog.text


def test_empty_sets_are_left_out_aloud(caplog):
    assert PatternSet.from_dict({"T": ["CD3D"], "none": [""]}).names == ("T",)
    assert "1 pattern(s) without a feature left out: none" in caplog.text
    with pytest.raises(ValueError, match="holds no pattern"):
        PatternSet.from_dict({"none": []})


def test_frame_with_other_column_names():
    frame = pd.DataFrame({"set": ["T", "T", "T"], "gene": ["CD3D", "CD3E", "CD3D"], "mor": [1.0, -1.0, 1.0]})
    patterns = PatternSet.from_frame(frame, source_col="set", target_col="gene", weight_col="mor")
    assert patterns.membership.toarray().ravel().tolist() == [1.0, -1.0]
    unweighted = PatternSet.from_frame(frame, source_col="set", target_col="gene", weight_col=None)
    assert unweighted.membership.toarray().ravel().tolist() == [1.0, 1.0]


def test_frame_errors_name_the_column_or_the_pair():
    frame = pd.DataFrame({"source": ["T", "T"], "target": ["CD3D", "CD3D"], "weight": [1.0, 2.0]})
    with pytest.raises(KeyError, match="target_col='gene' is not a column"):
        PatternSet.from_frame(frame, target_col="gene")
    with pytest.raises(KeyError, match="weight_col='mor' is not a column"):
        PatternSet.from_frame(frame, weight_col="mor")
    with pytest.raises(ValueError, match="'T' names feature 'CD3D' with two weights"):
        PatternSet.from_frame(frame)
    with pytest.raises(ValueError, match="missing values"):
        PatternSet.from_frame(frame.assign(target=["CD3D", None]))
    with pytest.raises(ValueError, match="not finite"):
        PatternSet.from_frame(frame.assign(weight=[1.0, np.nan]))


def test_frame_round_trip_keeps_kinds_and_has_no_such_column_for_genes():
    genes, proteins = PatternSet.from_dict({"T": ["CD3D"]}), PatternSet.from_dict({"adt": ["CD3", "CD4"]})
    assert list(genes.to_frame().columns) == ["source", "target", "weight"]
    joined = concat(rna=genes, protein=proteins)
    frame = joined.to_frame()
    assert frame["kind"].tolist() == ["rna", "protein", "protein"]
    back = PatternSet.from_frame(frame.sample(frac=1, random_state=0))
    assert dict(zip(back.names, back.kinds, strict=True)) == {"T": "rna", "adt": "protein"}
    assert {name: set(features) for name, features in back.to_dict().items()} == {"T": {"CD3D"}, "adt": {"CD3", "CD4"}}
    assert PatternSet.from_frame(frame, kind_col=None).kinds == ("rna", "rna")
    renamed = frame.rename(columns={"kind": "modality"})
    assert PatternSet.from_frame(renamed, kind_col="modality").kinds == ("rna", "protein")
    missing = frame.assign(kind=[None, "protein", None])
    assert PatternSet.from_frame(missing).kinds == ("rna", "protein")


def test_frame_errors_name_the_kind():
    frame = pd.DataFrame({"source": ["T", "T"], "target": ["CD3", "CD4"], "kind": ["protein", "adt"]})
    with pytest.raises(ValueError, match=r"column 'kind' holds 'adt'.*kind_col=None"):
        PatternSet.from_frame(frame)
    with pytest.raises(ValueError, match="pattern 'T' has two kinds, protein and rna"):
        PatternSet.from_frame(frame.assign(kind=["protein", "rna"]))
    with pytest.raises(KeyError, match="kind_col='modality' is not a column"):
        PatternSet.from_frame(frame, kind_col="modality")


def test_gmt_says_that_kinds_are_lost(tmp_path, caplog):
    concat(protein=PatternSet.from_dict({"adt": ["CD3"]})).to_gmt(tmp_path / "sets.gmt")
    assert "GMT carries no kinds" in caplog.text
    assert read(tmp_path / "sets.gmt").kinds == ("rna",)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_array, lambda m: np.asarray(m, dtype=bool)])
def test_matrix_dense_sparse_or_boolean(make):
    matrix = make(np.array([[1, 0, 0], [1, 0, 1]], dtype=np.float32))
    patterns = PatternSet.from_matrix(matrix, ["CD3D", "CD8A"])
    assert patterns.to_dict() == {"pattern_1": ["CD3D", "CD8A"], "pattern_3": ["CD8A"]}
    assert matrix.shape == (2, 3)


def test_matrix_errors_name_the_shape():
    with pytest.raises(ValueError, match="looks transposed"):
        PatternSet.from_matrix(np.ones((1, 2)), ["CD3D", "CD8A"])
    with pytest.raises(ValueError, match="one name per column"):
        PatternSet.from_matrix(np.ones((1, 2)), ["CD3D"], ["T"])
    with pytest.raises(ValueError, match="holds no membership"):
        PatternSet.from_matrix(np.zeros((1, 2)), ["CD3D"])


def test_varm_frame_keeps_its_columns_and_a_missing_key_lists_the_keys():
    adata = AnnData(np.ones((1, 2), dtype=np.float32), var=pd.DataFrame(index=["CD3D", "CD8A"]))
    adata.varm["sets"] = pd.DataFrame({"T": [True, True], "CD8": [False, True]}, index=adata.var_names)
    adata.varm["raw"] = np.array([[1.0], [0.0]])
    patterns = PatternSet.from_varm(adata, "sets")
    assert patterns.to_dict() == {"T": ["CD3D", "CD8A"], "CD8": ["CD8A"]}
    assert patterns.sources == ("varm: sets", "varm: sets")
    assert PatternSet.from_varm(adata, "raw").to_dict() == {"pattern_1": ["CD3D"]}
    with pytest.raises(KeyError, match="'sets'"):
        PatternSet.from_varm(adata, "nope")


def test_read_takes_every_source():
    patterns = PatternSet.from_dict({"T": ["CD3D"]})
    assert read(patterns) is patterns
    assert read({"T": ["CD3D"]}) == patterns
    assert read(patterns.state()) == patterns
    assert read(patterns.to_frame()).to_dict() == patterns.to_dict()
    assert read("immune") == immune()


@pytest.mark.parametrize(("name", "separator"), [("sets.csv", ","), ("sets.tsv", "\t"), ("SETS.CSV.gz", ",")])
def test_read_takes_tables_in_files(tmp_path, name, separator):
    # NA is a gene's name here, as it would be NAN's in a GMT file.
    frame = pd.DataFrame({"source": ["T", "T", "B"], "target": ["CD3D", "NA", "MS4A1"], "weight": [1, 0.5, -2.25]})
    frame.to_csv(tmp_path / name, sep=separator, index=False, compression="gzip" if name.endswith("gz") else None)
    patterns = read(tmp_path / name)
    assert patterns == replace(PatternSet.from_frame(frame), sources=(name, name))
    assert patterns["T"] == ["CD3D", "NA"]


def test_tables_in_files_are_refused_in_our_words(tmp_path):
    table = tmp_path / "sets.csv"
    table.write_text("source,target\n")
    with pytest.raises(ValueError, match="holds no pattern"):
        read(table)
    table.write_text("pathway,gene\nT,CD3D\n")
    with pytest.raises(KeyError, match="columns are"):
        read(table)
    table.write_text("source,target\nT,\n")
    with pytest.raises(ValueError, match="missing values"):
        read(table)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read(table)
    (tmp_path / "sets.tsv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read(tmp_path / "sets.tsv.gz")


def test_read_refuses_other_things_with_the_way_out(tmp_path):
    with pytest.raises(FileNotFoundError, match="'immune', 'hallmark'"):
        read("hallmark.gmt")
    table = tmp_path / "sets.xlsx"
    table.write_text("source,target\n")
    with pytest.raises(ValueError, match="from_frame"):
        read(table)
    with pytest.raises(TypeError, match="from_matrix"):
        read(np.ones((2, 2)))
    with pytest.raises(TypeError, match="expected a list of feature names"):
        read({"T": "CD3D"})
