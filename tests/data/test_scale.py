"""Counts, log-normalised values and what is neither are told apart."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from plkd.data import Rows, detect_scale

COUNTS = np.random.default_rng(0).poisson(1.5, size=(30, 8)).astype(np.float32)
COUNTS[0, 0] = 40
FORMATS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "csr_array": sparse.csr_array}


def log_normalised(counts, target=1e4):
    return np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * target).astype(np.float32)


@pytest.fixture(params=FORMATS)
def fmt(request):
    return FORMATS[request.param]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
def test_whole_values_are_counts(fmt, dtype):
    assert detect_scale(Rows(fmt(COUNTS.astype(dtype))), "adata.X") == "counts"


@pytest.mark.parametrize("target", [1.0, 100.0, 1e4, 1e6])
def test_log_normalised_values_are_told_whatever_their_row_sums_and_said(fmt, target, caplog):
    with caplog.at_level(logging.INFO, "plkd"):
        assert detect_scale(Rows(fmt(log_normalised(COUNTS, target))), "adata.layers['l']") == "log"
    assert "adata.layers['l'] holds log-normalised values" in caplog.text
    assert "layer='counts'" in caplog.text


def test_values_that_are_not_whole_and_large_are_corrected_counts_and_warned_of(fmt, caplog):
    corrected = COUNTS * 0.9
    with caplog.at_level(logging.WARNING, "plkd"):
        assert detect_scale(Rows(fmt(corrected)), "adata.X") == "counts"
    assert "not whole (largest 36.0): taken as corrected counts" in caplog.text


def test_15_is_the_border():
    assert detect_scale(Rows(np.array([[0.5, 14.99]])), "adata.X") == "log"
    assert detect_scale(Rows(np.array([[0.5, 15.0]])), "adata.X") == "counts"


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (3, 4)], ids=["no cell", "no gene", "only zeros"])
def test_nothing_to_look_at_counts_as_counts(fmt, shape):
    assert detect_scale(Rows(fmt(np.zeros(shape, dtype=np.float32))), "adata.X") == "counts"


@pytest.mark.parametrize("row", [0, 5000, 8999])
def test_one_value_that_is_not_whole_anywhere_is_found(fmt, row):
    values = np.ones((9000, 2), dtype=np.float32)
    values[row, 1] = 0.5
    assert detect_scale(Rows(fmt(values)), "adata.X") == "log"


def test_negative_values_are_refused_with_the_layers_there_are_and_raw(fmt):
    centred = COUNTS - COUNTS.mean(axis=0)
    with pytest.raises(ValueError, match=r"adata\.X holds negative values \(lowest -\d") as caught:
        detect_scale(Rows(fmt(centred)), "adata.X", other_layers=["counts", "spliced"])
    for expected in ("Layers there are: ['counts', 'spliced']", "adata.raw.to_adata()", "at setup, `layer='counts'`"):
        assert expected in str(caught.value)


def test_no_layers_are_named_where_there_are_none():
    with pytest.raises(ValueError, match="negative") as caught:
        detect_scale(Rows(np.array([[-1.0]])), "adata.X", other_layers=[])
    assert "Layers there are" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_and_counted(fmt, bad):
    values = COUNTS.copy()
    values[3, 2], values[5, 1] = bad, bad
    with pytest.raises(ValueError, match=r"adata\.X holds 2 NaN or infinite values; expected finite counts"):
        detect_scale(Rows(fmt(values)), "adata.X")


def test_a_negative_value_beside_a_nan_is_refused_too():
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        detect_scale(Rows(np.array([[-1.0, np.nan]])), "adata.X")


@pytest.mark.parametrize("fmt_on_disk", ["dense", "csr", "csc"])
@pytest.mark.parametrize(("values", "scale"), [(COUNTS, "counts"), (log_normalised(COUNTS), "log")])
def test_on_disk(tmp_path, fmt_on_disk, values, scale):
    AnnData(FORMATS[fmt_on_disk](values)).write_h5ad(tmp_path / "a.h5ad")
    adata = read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert detect_scale(Rows(adata.X), "adata.X") == scale
    adata.file.close()


def test_on_disk_the_last_block_is_looked_at(tmp_path):
    # Blocks are sampled over the file, both ends among them.
    values = np.ones((4096 * 12 + 1, 1), dtype=np.float32)
    values[-1] = 0.25
    AnnData(sparse.csr_matrix(values)).write_h5ad(tmp_path / "a.h5ad")
    adata = read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert detect_scale(Rows(adata.X), "adata.X") == "log"
    adata.file.close()


def test_on_disk_negative_values_are_refused(tmp_path):
    AnnData(sparse.csr_matrix(COUNTS - 1)).write_h5ad(tmp_path / "a.h5ad")
    adata = read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(ValueError, match="negative"):
        detect_scale(Rows(adata.X), "adata.X")
    adata.file.close()


def test_faults_far_apart_in_a_sparse_matrix_are_all_counted():
    """Whether values are whole is looked at in parts; what is wrong is said of the whole matrix."""
    values = np.ones((40, 10_000), dtype=np.float32)
    values[0, 0] = values[-1, -1] = np.nan
    with pytest.raises(ValueError, match="holds 2 NaN or infinite values"):
        detect_scale(Rows(sparse.csr_matrix(values)), "adata.X")
    values[0, 0], values[-1, -1] = -1, -5
    with pytest.raises(ValueError, match="lowest -5"):
        detect_scale(Rows(sparse.csr_matrix(values)), "adata.X")
    values[0, 0], values[-1, -1] = 1, 1.5
    assert detect_scale(Rows(sparse.csr_matrix(values)), "adata.X") == "log"


@pytest.mark.parametrize("scale", [{}, {"log_tf": False}, {"log_idf": False}, {"log_tf": False, "log_idf": False}])
def test_peaks_normalised_by_muon_are_refused_however_large(scale):
    import muon

    peaks = np.random.default_rng(0).poisson(0.02, size=(300, 2000)).astype(np.float32)
    adata = AnnData(sparse.csr_matrix(peaks[:, peaks.any(axis=0)]))
    muon.atac.pp.tfidf(adata, scale_factor=1e4, **scale)
    assert adata.X.max() > 15
    with pytest.raises(ValueError, match="holds normalised peak values") as caught:
        detect_scale(Rows(adata.X), "mdata['atac'].X", kind="atac")
    for expected in ("`atac_layer=`", "`mdata['atac'].X = mdata['atac'].layers[...]`"):
        assert expected in str(caught.value)


def test_corrected_counts_of_proteins_are_taken_and_said_as_such(caplog):
    assert detect_scale(Rows(COUNTS * 0.93), "mdata['prot'].X", kind="protein") == "counts"
    assert "corrected counts. If they are normalised, name the layer" in caplog.text
    assert "log1p" not in caplog.text


@pytest.mark.parametrize(
    ("where", "kind", "lines"),
    [
        ("adata.X", "rna", ["`layer=`", "`adata.X = adata.layers[...]`", "`adata = adata.raw.to_adata()`"]),
        ("mdata['gex'].X", "rna", ["`rna_layer=`", "`mdata['gex'].X = mdata['gex'].layers[...]`"]),
        (
            "mdata['prot'].layers['clr']",
            "protein",
            ["`protein_layer=`", "`mdata['prot'].layers['clr'] = mdata['prot']"],
        ),
        ("adata.obsm['adt']", "protein", ["`protein_expression_obsm_key=`", "`adata.obsm['adt'] = counts`"]),
        ("adata.X", "atac", ["take the counts, `adata.X = adata.layers[...]`"]),
        (r"""mdata['a"b\'] c'].X""", "protein", [r"""`mdata['a"b\'] c'].X = mdata['a"b\'] c'].layers[...]`"""]),
    ],
)
def test_what_mends_negative_values_is_said_for_the_place_they_are_in(where, kind, lines):
    with pytest.raises(ValueError, match="negative") as caught:
        detect_scale(Rows(np.array([[-1.0]])), where, kind=kind)
    for line in lines:
        assert line in str(caught.value)
    if kind == "atac":
        assert "at setup" not in str(caught.value)


def test_a_layer_of_counts_is_named_where_there_is_one():
    with pytest.raises(ValueError, match="normalised") as caught:
        detect_scale(Rows(np.array([[0.5]])), "mdata['prot'].X", kind="protein", other_layers=["spliced", "counts"])
    assert "`protein_layer='counts'`, or in a query `mdata['prot'].X = mdata['prot'].layers['counts']`" in str(
        caught.value
    )


def test_the_layer_that_holds_no_counts_is_not_named_as_the_one_that_does():
    with pytest.raises(ValueError, match="normalised") as caught:
        detect_scale(Rows(np.array([[0.5]])), "mdata['prot'].layers['counts']", kind="protein", other_layers=["counts"])
    assert "`protein_layer=`" in str(caught.value)
    assert "= mdata['prot'].layers['counts']" not in str(caught.value)
