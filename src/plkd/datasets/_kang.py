"""A public set of two conditions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plkd._download import download

if TYPE_CHECKING:
    from anndata import AnnData

#: Address and checksum as LIANA+'s registry of data sets (github.com/saezlab/liana-py, 17b34e6) records them.
_URL = "https://exampledata.scverse.org/liana/kang.h5ad"
_KNOWN_HASH = "sha256:e6a5adac64dcdeb36eaba27db49b63e0c64bb0ed4a64c6705971506b41c39830"


def kang_2018(*, cache_dir: str | Path | None = None) -> AnnData:
    """Load 24,673 PBMC of eight patients with lupus, half of them stimulated with interferon beta (38 MB).

    Kang et al. 2018 (GSE96583), as pertpy and LIANA+ distribute it: a query under a condition that the reference lacks.

    Parameters
    ----------
    cache_dir
        Folder to keep the file in. None takes the environment variable ``PLKD_CACHE``, or else the system's cache folder, such
        as ``~/.cache/plkd``.

    Returns
    -------
    AnnData of 15,706 genes, raw counts in ``X`` (float32 CSR). In ``obs``: ``cell_type`` (8 types), ``label`` (the condition,
    ``"ctrl"`` or ``"stim"``) and ``replicate`` (the patient), beside what the file has else.

    Raises
    ------
    ImportError
        If pooch is not installed.
    ValueError
        If the checksum differs (nothing is kept).
    OSError
        If the download fails or ends early (nothing is kept); the message says where to put a file that came by other
        means.

    Examples
    --------
    >>> adata = kang_2018()  # doctest: +SKIP
    >>> plkd.PLKD.setup_anndata(adata, labels_key="cell_type", batch_key="replicate")  # doctest: +SKIP
    """
    import anndata as ad
    import numpy as np
    from scipy import sparse

    adata = ad.read_h5ad(download(_URL, _KNOWN_HASH, cache_dir))
    adata.X = sparse.csr_matrix(adata.X, dtype=np.float32)
    return adata
