"""Matrices of 10x Genomics, one modality for each type of feature."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from plkd.datasets import _mudata

if TYPE_CHECKING:
    from mudata import MuData

logger = logging.getLogger("plkd")

#: 10x Genomics' types of features, and the names that muon gives the modalities.
MODALITIES = {"Gene Expression": "rna", "Antibody Capture": "prot", "Peaks": "atac"}


def read(path: Path) -> MuData:
    """Read a filtered feature-barcode matrix as Cell Ranger 3 or later, or Cell Ranger ARC, writes it.

    Parameters
    ----------
    path
        The ``.h5`` file.

    Returns
    -------
    MuData with raw counts (float32 CSR) of the modalities that the file has, each with its features' names made unique.
    All further columns of the file's table of features are in ``var``, ``interval`` among them where there are any.

    Raises
    ------
    ValueError
        If the file is no such matrix, or has none of the types of features.
    """
    _check(path)
    import scanpy as sc

    with warnings.catch_warnings():
        # Names are made unique below, within each modality.
        warnings.filterwarnings("ignore", "Variable names are not unique", UserWarning)
        adata = sc.read_10x_h5(path, gex_only=False)
        kinds = adata.var["feature_types"].astype(str)
        parts = {
            name: adata[:, (kinds == kind).to_numpy()].copy()
            for kind, name in MODALITIES.items()
            if (kinds == kind).any()
        }
    others = kinds[~kinds.isin(list(MODALITIES))]
    if not parts:
        msg = f"{path} has features of type {sorted(others.unique())}; expected some of {list(MODALITIES)}."
        raise ValueError(msg)
    if len(others):
        logger.warning("%s: left out %d features of type %s", path.name, len(others), sorted(others.unique()))
    for part in parts.values():
        part.var_names_make_unique()
        part.X = part.X.astype(np.float32)
        part.X.sort_indices()
    return _mudata.join(parts)


def _check(path: Path) -> None:
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if "matrix/features/feature_type" in file:
                return
    msg = (
        f"{path} is no matrix that Cell Ranger 3 or later has written: expected an HDF5 file with "
        f"/matrix/features/feature_type. Fix: take the 'filtered_feature_bc_matrix.h5' of the set."
    )
    raise ValueError(msg)
