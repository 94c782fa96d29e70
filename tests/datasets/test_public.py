"""10x matrices become MuData with raw counts, under muon's names."""

from __future__ import annotations

import re
import warnings

import h5py
import numpy as np
import pytest
from scipy import sparse

from plkd import datasets
from plkd.datasets import _public
from plkd.datasets._tenx import read


@pytest.mark.parametrize(("fixture", "second"), [("citeseq", "prot"), ("multiome", "atac")])
def test_counts_of_each_modality_are_kept(fixture, second, request, counts):
    mdata = read(request.getfixturevalue(fixture))
    assert list(mdata.mod) == ["rna", second]
    assert np.array_equal(mdata["rna"].X.toarray(), counts[:3].T)
    assert np.array_equal(mdata[second].X.toarray(), counts[3:].T)
    for adata in mdata.mod.values():
        assert isinstance(adata.X, sparse.csr_matrix)
        assert adata.X.dtype == np.float32
        assert adata.obs_names.tolist() == ["AAAC-1", "CCCG-1", "TTTG-1"]
        assert not adata.is_view


def test_repeated_names_of_features_become_unique(citeseq):
    mdata = read(citeseq)
    assert mdata["rna"].var_names.tolist() == ["CD3D", "DUP", "DUP-1"]
    assert mdata["rna"].var["gene_ids"].tolist() == ["ENSG0", "ENSG1", "ENSG2"]
    assert mdata["prot"].var_names.tolist() == ["CD3_TotalSeqB", "CD4_TotalSeqB"]


def test_intervals_of_genes_and_peaks_are_kept(multiome):
    mdata = read(multiome)
    assert mdata["rna"].var["interval"].tolist() == ["chr1:10-90", "chr1:200-900", "NA"]
    assert mdata["atac"].var["interval"].tolist() == mdata["atac"].var_names.tolist()
    assert set(mdata["rna"].var["genome"]) == {"GRCh38"}


def test_reading_warns_of_nothing_that_it_mends(citeseq):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", FutureWarning)
        read(citeseq)


def test_joined_tables_have_no_copies_of_columns(citeseq):
    mdata = read(citeseq)
    assert mdata.obs.shape == (3, 0)
    assert mdata.var.shape == (5, 0)


def test_features_of_other_types_are_left_out_aloud(tmp_path, write_10x, caplog):
    types = ["Gene Expression"] * 3 + ["Antibody Capture", "CRISPR Guide Capture"]
    mdata = read(write_10x(tmp_path / "x.h5", types, list("abcde")))
    assert {name: adata.n_vars for name, adata in mdata.mod.items()} == {"rna": 3, "prot": 1}
    assert "left out 1 features of type ['CRISPR Guide Capture']" in caplog.text


def test_file_without_a_known_type_names_the_types(tmp_path, write_10x):
    with pytest.raises(ValueError, match=r"features of type \['Custom'\]; expected some of"):
        read(write_10x(tmp_path / "x.h5", ["Custom"] * 5, list("abcde")))


def test_file_that_is_no_matrix_is_named(tmp_path):
    text, other = tmp_path / "page.html", tmp_path / "other.h5"
    text.write_text("<html>not here</html>")
    with h5py.File(other, "w") as file:
        file["x"] = 1
    for path in (text, other):
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} is no matrix that Cell Ranger"):
            read(path)


def test_fetch_downloads_and_reads(server, multiome, counts, tmp_path):
    pytest.importorskip("pooch")
    url, known_hash = server.add(multiome)
    for _ in range(2):
        mdata = datasets.fetch_10x(url, known_hash, cache_dir=tmp_path)
        assert np.array_equal(mdata["atac"].X.toarray(), counts[3:].T)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "fixture", "modalities"),
    [
        ("pbmc5k_citeseq", "citeseq", ["rna", "prot"]),
        ("pbmc3k_multiome", "multiome", ["rna", "atac"]),
        ("pbmc10k_multiome", "multiome", ["rna", "atac"]),
    ],
)
def test_loader_takes_the_file_of_its_set(name, fixture, modalities, request, server, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    source = _public._Source(*server.add(request.getfixturevalue(fixture)))
    monkeypatch.setitem(_public._SOURCES, name, source)
    monkeypatch.setenv("PLKD_CACHE", str(tmp_path))
    mdata = getattr(datasets, name)()
    assert list(mdata.mod) == modalities
    assert len(list(tmp_path.iterdir())) == 1


def test_loader_refuses_a_file_with_another_checksum(server, citeseq, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    url, _ = server.add(citeseq)
    monkeypatch.setitem(_public._SOURCES, "pbmc5k_citeseq", _public._SOURCES["pbmc5k_citeseq"]._replace(url=url))
    with pytest.raises(ValueError, match="3366a47283177fe9af143d5819fad61f"):
        datasets.pbmc5k_citeseq(cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", _public._SOURCES)
def test_every_set_has_a_checksum_and_a_loader_of_its_name(name):
    source = _public._SOURCES[name]
    assert re.fullmatch(r"https://cf\.10xgenomics\.com/\S+_filtered_feature_bc_matrix\.h5", source.url)
    assert re.fullmatch(r"md5:[0-9a-f]{32}", source.known_hash)
    assert name in datasets.__all__
