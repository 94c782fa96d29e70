"""`plkd patterns`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from mudata import MuData

from plkd.cli._app import run

GENES = ["CD3D", "CD3E", "CD2", "CD5", "CD6", "CD28", "MS4A1", "CD79A", "LYZ", "XIST"]
GMT = "T\tx\tCD3D\tCD3E\tCD2\tCD5\tCD6\tCD28\nMost\tx\tCD3D\tMS4A1\tCD79A\tLYZ\tCD2\tnone1\tnone2\tnone3\nB\tx\tMS4A1\tCD79A\tCD19\tCD22\n"


@pytest.fixture
def data(tmp_path):
    adata = AnnData(np.ones((3, len(GENES)), dtype=np.float32), var=pd.DataFrame(index=GENES))
    adata.var["ids"] = [f"ENSG{i:011d}" for i in range(len(GENES))]
    adata.write_h5ad(tmp_path / "data.h5ad")
    return tmp_path / "data.h5ad"


@pytest.fixture
def sets(tmp_path):
    (tmp_path / "sets.gmt").write_text(GMT)
    return tmp_path / "sets.gmt"


def test_table_has_the_share_of_each_pattern_and_what_is_dropped(sets, data, tmp_path, capsys):
    before = data.read_bytes()
    assert run(["patterns", str(sets), str(data), "--out", str(tmp_path / "out.csv")]) == 0
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("pattern")
    assert list(table.columns) == ["n_in_set", "n_found", "share_found", "kept", "reason"]
    assert table["n_in_set"].to_dict() == {"T": 6, "Most": 8, "B": 4}
    assert table["n_found"].to_dict() == {"T": 6, "Most": 5, "B": 2}
    assert table["share_found"].to_dict() == {"T": 1.0, "Most": 0.625, "B": 0.5}
    assert table["kept"].to_dict() == {"T": True, "Most": True, "B": False}
    assert table.loc["B", "reason"] == "too small: 2 found, min_size=5"
    out = capsys.readouterr().out
    # CD3D, CD3E, CD2, CD5, CD6, CD28, MS4A1, CD79A, LYZ of ten.
    assert "9 of 10 features (90.0 %) lie in 2 patterns; 1 of 3 sets dropped (1 too small). In no pattern: XIST." in out
    assert (
        "3 patterns of 4 to 8 features (median 6); found of each: 50% to 100% (median 62%), less than half of 0" in out
    )
    rows = [line.split() for line in out.splitlines() if line.startswith(("T ", "Most ", "B "))]
    assert [row[:4] for row in rows] == [["B", "4", "2", "50%"], ["Most", "8", "5", "62%"], ["T", "6", "6", "100%"]]
    assert data.read_bytes() == before


def test_patterns_are_those_that_training_keeps(files, tmp_path):
    genes = read_h5ad(files.ref).var_names
    lines = [["one", "x", *genes[:8]], ["few", "x", *genes[8:11]], ["alike", "x", *genes[:7]]]
    (tmp_path / "sets.gmt").write_text("".join("\t".join(line) + "\n" for line in lines))
    out = tmp_path / "out.csv.gz"
    assert run(["patterns", str(tmp_path / "sets.gmt"), str(files.ref), "--out", str(out)]) == 0
    from plkd import PLKD

    ref = read_h5ad(files.ref)
    PLKD.setup_anndata(ref, labels_key="cell_type")
    report = PLKD(ref, patterns=tmp_path / "sets.gmt").patterns
    kept = [name for name, source in zip(report.names, report.sources, strict=True) if source != "learned"]
    table = pd.read_csv(out)
    assert list(table.loc[table["kept"], "pattern"]) == kept == ["one"]


def test_collection_and_column_of_symbols(data, tmp_path, capsys):
    adata = read_h5ad(data)
    adata.var["symbol"], adata.var_names = list(adata.var_names), list(adata.var["ids"])
    adata.write_h5ad(tmp_path / "ids.h5ad")
    assert run(["patterns", "immune", str(tmp_path / "ids.h5ad")]) == 1
    assert "Ensembl and symbols" in capsys.readouterr().err
    assert run(["patterns", "immune", str(tmp_path / "ids.h5ad"), "--gene-symbols", "symbol"]) == 0
    assert "immune: PatternSet: 50 patterns" in capsys.readouterr().out
    assert run(["patterns", "immune", str(tmp_path / "ids.h5ad"), "--gene-symbols", "no"]) == 1
    assert "var, which holds ['ids', 'symbol']" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_long_table_and_zarr(sets, data, tmp_path, suffix, capsys):
    adata = read_h5ad(data)
    adata.write_zarr(tmp_path / "data.zarr")
    frame = pd.DataFrame({"source": ["T"] * 6, "target": GENES[:6]})
    frame.to_csv(tmp_path / f"sets{suffix}", index=False, sep="," if suffix == ".csv" else "\t")
    assert run(["patterns", str(tmp_path / f"sets{suffix}"), str(tmp_path / "data.zarr")]) == 0
    assert "6 of 10 features (60.0 %) lie in 1 pattern." in capsys.readouterr().out


def test_proteins_of_a_mudata_are_met_through_their_genes(data, tmp_path, capsys):
    proteins = AnnData(np.ones((3, 3), dtype=np.float32), var=pd.DataFrame(index=["CD3_TotalSeqB", "CD5-1", "CD19_x"]))
    MuData({"gex": read_h5ad(data), "adt": proteins}).write_h5mu(tmp_path / "both.h5mu")
    (tmp_path / "sets.gmt").write_text(GMT)
    args = ["patterns", str(tmp_path / "sets.gmt"), str(tmp_path / "both.h5mu")]
    assert run(args) == 1
    assert "holds the modalities ['gex', 'adt']" in capsys.readouterr().err
    assert run([*args, "--modality", "protein=adt"]) == 0
    assert "3 features (protein)" in capsys.readouterr().out
    assert run([*args, "--modality", "rna=gex"]) == 0
    assert "10 features (rna)" in capsys.readouterr().out
    for wrong in ("adt", "lipid=adt", "protein="):
        assert run([*args, "--modality", wrong]) == 2
        assert f"--modality {wrong}: expected rna=NAME, protein=NAME, atac=NAME." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["no.gmt", "{data}"], 1, "neither a file nor the name of a collection"),
        (["{sets}", "no.h5ad"], 1, "No such data: no.h5ad"),
        (["{sets}", "{sets}"], 1, "is no .h5ad file, or is damaged"),
        (["{sets}", "{data}", "--modality", "rna=rna"], 2, "--modality is for .h5mu files"),
        (["{sets}", "{data}", "--organism", "mice"], 1, "organism='mice' is unknown"),
        (["{sets}", "{data}", "--out", "{data}"], 1, "never written over"),
        (["{sets}", "{data}", "--out", "x.txt"], 1, "does not end in .csv"),
        (["{sets}"], 2, "DATA"),
    ],
)
def test_errors_are_one_line(args, code, words, data, sets, capsys):
    assert run(["patterns", *(arg.format(data=data, sets=sets) for arg in args)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("error: ") == err.count("\n") == 1


def test_no_pattern_left_says_why(data, tmp_path, capsys):
    (tmp_path / "sets.gmt").write_text("T\tx\tCD3D\tCD3E\n")
    assert run(["patterns", str(tmp_path / "sets.gmt"), str(data)]) == 1
    assert "no pattern is left" in capsys.readouterr().err


def test_table_is_replaced_only_when_asked(sets, data, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("mine")
    assert run(["patterns", str(sets), str(data), "--out", str(out)]) == 1
    assert out.read_text() == "mine"
    assert run(["patterns", str(sets), str(data), "--out", str(out), "--overwrite"]) == 0
    assert out.read_text().startswith("pattern,")
