"""A matrix of zeros is refused; cells and features that tell nothing are said."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from plkd.data import Rows, check_contents

COUNTS = np.random.default_rng(0).poisson(3, size=(50, 4)).astype(np.float32) + 1
NAMES = ["CD3", "CD4", "CD8", "CD19"]
FORMATS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


def checked(values, kind="protein", where="mdata['prot'].X"):
    check_contents(Rows(values), where, kind=kind, features=NAMES)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", ["rna", "protein", "atac"])
def test_zeros_are_refused(fmt, kind):
    with pytest.raises(ValueError, match="nothing but zeros \\(50 cells x 4"):
        checked(FORMATS[fmt](COUNTS * 0), kind)
    stored = sparse.csr_matrix(COUNTS)
    stored.data[:] = 0
    with pytest.raises(ValueError, match="nothing but zeros"):
        checked(stored, kind)
    one = COUNTS * 0
    one[-1, -1] = 1
    checked(FORMATS[fmt](one), kind)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", ["rna", "protein", "atac"])
def test_cells_without_counts_are_counted_with_the_line_that_leaves_them_out(fmt, kind, caplog):
    values = COUNTS.copy()
    values[[3, 40]] = 0
    checked(FORMATS[fmt](values), kind)
    assert "2 of 50 cells have no counts in mdata['prot'].X" in caplog.text
    kept = "np.asarray(mdata['prot'].X.sum(axis=1)).ravel() > 0"
    assert f"`mdata.mod['prot'] = mdata['prot'][{kept}].copy()`, `mdata.update()`" in caplog.text
    found = eval(kept, {"np": np, "mdata": {"prot": AnnData(values)}})
    np.testing.assert_array_equal(np.flatnonzero(~found), [3, 40])


def test_zeros_that_are_stored_are_no_counts(caplog):
    stored = sparse.csr_matrix(COUNTS)
    stored.data[stored.indptr[7] : stored.indptr[9]] = 0
    stored.data[0] = 0
    checked(stored)
    assert "2 of 50 cells" in caplog.text


def test_a_layer_of_counts_is_named_in_the_error():
    with pytest.raises(ValueError, match=r"Layers there are: \['counts'\]\. Fix: .*`layer='counts'`"):
        check_contents(Rows(COUNTS * 0), "adata.X", kind="rna", features=NAMES, other_layers=["counts"])


def test_of_genes_alone_the_line_leaves_the_cells_out(caplog):
    values = COUNTS.copy()
    values[0] = 0
    checked(values, kind="rna", where="adata.X")
    scope = {"np": np, "adata": AnnData(values)}
    exec(caplog.text.split("`")[1], scope)
    assert scope["adata"].n_obs == 49


def test_of_obsm_a_mudata_is_the_way(caplog):
    values = COUNTS.copy()
    values[0] = 0
    checked(values, where="adata.obsm['adt']")
    assert "`PLKD.setup_mudata`" in caplog.text


def test_complete_counts_say_nothing(caplog):
    with caplog.at_level(logging.INFO, "plkd"):
        checked(COUNTS)
    assert not caplog.text


@pytest.mark.parametrize(
    ("kind", "value", "said"), [("protein", 0, 1), ("protein", 7, 1), ("atac", 0, 1), ("atac", 7, 0)]
)
def test_features_with_one_value_are_said(kind, value, said, caplog):
    values = COUNTS.copy()
    values[:, 2] = value
    with caplog.at_level(logging.INFO, "plkd"):
        checked(sparse.csr_matrix(values), kind)
    assert caplog.text.count("1 of 4") == said
    assert caplog.text.count("tell nothing, e.g. 'CD8'") == said


def test_of_many_blocks_all_are_looked_at(caplog):
    values = np.ones((9000, 2), dtype=np.float32)
    values[8999] = 0
    with caplog.at_level(logging.INFO, "plkd"):
        checked(values)
    assert "1 of 9000 cells" in caplog.text
    assert "tell nothing" not in caplog.text


def test_a_matrix_on_disk_is_not_read(tmp_path):
    AnnData(sparse.csr_matrix(COUNTS * 0)).write_h5ad(tmp_path / "a.h5ad")
    adata = read_h5ad(tmp_path / "a.h5ad", backed="r")
    checked(adata.X)
    adata.file.close()
