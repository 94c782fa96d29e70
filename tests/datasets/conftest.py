"""A 10x matrix with known counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse

#: One row for each feature, one column for each of three cells.
COUNTS = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 7], [120, 4, 0], [0, 1, 2]])
CITESEQ = ["Gene Expression", "Gene Expression", "Gene Expression", "Antibody Capture", "Antibody Capture"]
MULTIOME = ["Gene Expression", "Gene Expression", "Gene Expression", "Peaks", "Peaks"]


def _write_10x(path: Path, feature_types: list[str], names: list[str], **columns: list[str]) -> Path:
    """Write ``COUNTS`` as Cell Ranger does: compressed by cell, features in a group of their own."""
    matrix = sparse.csc_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(["AAAC-1", "CCCG-1", "TTTG-1"], dtype="S")
        group["data"] = matrix.data.astype(np.int32)
        group["indices"] = matrix.indices.astype(np.int64)
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array(COUNTS.shape, dtype=np.int32)
        features = group.create_group("features")
        table = {
            "id": [f"ENSG{i}" for i in range(len(names))],
            "name": names,
            "feature_type": feature_types,
            "genome": ["GRCh38"] * len(names),
            **columns,
        }
        for column, values in table.items():
            features[column] = np.array(values, dtype="S")
        features["_all_tag_keys"] = np.array(["genome"], dtype="S")
    return path


@pytest.fixture(scope="session")
def counts() -> np.ndarray:
    """Give the counts of every matrix here, features x cells; the first three features are genes."""
    return COUNTS


@pytest.fixture(scope="session")
def write_10x() -> Callable[..., Path]:
    """Give ``write_10x(path, feature_types, names, **columns)``, which returns the path."""
    return _write_10x


@pytest.fixture(scope="session")
def citeseq(tmp_path_factory) -> Path:
    """Give a matrix of three genes, two of them with one name, and two proteins."""
    path = tmp_path_factory.mktemp("10x") / "citeseq.h5"
    return _write_10x(path, CITESEQ, ["CD3D", "DUP", "DUP", "CD3_TotalSeqB", "CD4_TotalSeqB"])


@pytest.fixture(scope="session")
def multiome(tmp_path_factory) -> Path:
    """Give a matrix of three genes and two peaks, with intervals of all."""
    intervals = ["chr1:10-90", "chr1:200-900", "NA", "chr1:5-15", "chr2:7-99"]
    names = ["CD3D", "LYZ", "MS4A1", *intervals[3:]]
    return _write_10x(tmp_path_factory.mktemp("10x") / "multiome.h5", MULTIOME, names, interval=intervals)
