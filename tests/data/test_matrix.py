"""Finding the matrix that a layer name means."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData, read_h5ad

from plkd.data import get_matrix, layer_names


@pytest.fixture
def adata():
    return AnnData(np.ones((2, 3)), layers={"counts": np.zeros((2, 3)), "spliced": np.full((2, 3), 2.0)})


@pytest.mark.parametrize(
    ("layer", "value", "where"),
    [(None, 1, "adata.X"), ("counts", 0, "adata.layers['counts']"), ("spliced", 2, "adata.layers['spliced']")],
)
def test_gives_the_matrix_and_its_place_in_words(adata, layer, value, where):
    matrix, place = get_matrix(adata, layer)
    assert (np.asarray(matrix) == value).all()
    assert place == where


def test_a_missing_layer_is_a_key_error_that_names_those_there_are(adata):
    with pytest.raises(KeyError) as caught:
        get_matrix(adata, "count")
    message = caught.value.args[0]
    assert "layer='count' is not in adata.layers; found ['counts', 'spliced']" in message
    assert 'layer="counts"' in message


def test_no_x_is_refused_and_layers_are_named():
    adata = AnnData(None, obs={"a": [1, 2]}, layers={"counts": np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"adata\.X is None; expected counts\. Layers there are: \['counts'\]"):
        get_matrix(adata, None)


def test_layer_names_are_only_those_the_user_gave(adata):
    assert layer_names(adata) == ["counts", "spliced"]
    assert layer_names(AnnData(np.ones((1, 1)))) == []


def test_views_and_backed_files_have_matrices_too(adata, tmp_path):
    assert get_matrix(adata[1:], "counts")[0].shape == (1, 3)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert get_matrix(backed, None)[0].shape == (2, 3)
    assert get_matrix(backed, "spliced")[0].shape == (2, 3)
    with pytest.raises(KeyError, match="other.*found .*counts.*spliced"):
        get_matrix(backed, "other")
    backed.file.close()
