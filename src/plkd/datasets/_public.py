"""Public sets of two modalities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from plkd._download import download
from plkd.datasets._tenx import read

if TYPE_CHECKING:
    from mudata import MuData


class _Source(NamedTuple):
    url: str
    known_hash: str


_SERVER = "https://cf.10xgenomics.com/samples"
#: Addresses and checksums as muon's collection of data sets (github.com/PMBio/mudatasets, a5e42c9) records them. A set
#: for which no source that we could name gives a checksum is not here; `fetch_10x` loads it.
_SOURCES = {
    "pbmc5k_citeseq": _Source(
        f"{_SERVER}/cell-exp/3.0.2/5k_pbmc_protein_v3/5k_pbmc_protein_v3_filtered_feature_bc_matrix.h5",
        "md5:3366a47283177fe9af143d5819fad61f",
    ),
    "pbmc3k_multiome": _Source(
        f"{_SERVER}/cell-arc/2.0.0/pbmc_granulocyte_sorted_3k/pbmc_granulocyte_sorted_3k_filtered_feature_bc_matrix.h5",
        "md5:e326066b51ec8975197c29a7f911a4fd",
    ),
    "pbmc10k_multiome": _Source(
        f"{_SERVER}/cell-arc/1.0.0/pbmc_granulocyte_sorted_10k/"
        "pbmc_granulocyte_sorted_10k_filtered_feature_bc_matrix.h5",
        "md5:920b16bf1e63b6610bf74bf9040ed386",
    ),
}


def fetch_10x(url: str, known_hash: str, *, cache_dir: str | Path | None = None) -> MuData:
    """Load a filtered matrix of 10x Genomics from its address: download it once, check it, keep it.

    Parameters
    ----------
    url
        Address of a ``..._filtered_feature_bc_matrix.h5``, with ``http://`` or ``https://``.
    known_hash
        ``md5:`` or ``sha256:``, then the checksum, which 10x Genomics gives beside each download (as md5sum). There is
        no way around it: a file that nobody vouches for is not loaded. An md5 tells a damaged or replaced file; against
        somebody who forges one on purpose, use sha256.
    cache_dir
        Folder to keep the file in. None takes the environment variable ``PLKD_CACHE``, or else the system's cache
        folder, such as ``~/.cache/plkd``.

    Returns
    -------
    MuData of the modalities in the file, ``"rna"``, ``"prot"`` (Antibody Capture) and ``"atac"`` (Peaks), the names that
    muon gives them, with the same cells in the same order. ``X`` holds raw counts (float32 CSR). Names of features are
    made unique in each modality. There are no labels. In ``var``: ``gene_ids``, ``feature_types``, ``genome`` and, from
    Cell Ranger ARC, ``interval`` (``chrom:start-end``) of genes and peaks.

    Raises
    ------
    ImportError
        If pooch is not installed.
    ValueError
        If the checksum differs (nothing is kept), or the file is no such matrix.
    OSError
        If the download fails or ends early (nothing is kept); the message says where to put a file that came by other
        means.

    Examples
    --------
    The 10k PBMC with proteins, its checksum taken from its page at 10x Genomics:

    >>> folder = "https://cf.10xgenomics.com/samples/cell-exp/3.0.0/pbmc_10k_protein_v3"
    >>> url = f"{folder}/pbmc_10k_protein_v3_filtered_feature_bc_matrix.h5"
    >>> mdata = fetch_10x(url, known_hash="md5:...")  # doctest: +SKIP
    """
    return read(download(url, known_hash, cache_dir))


def pbmc5k_citeseq(*, cache_dir: str | Path | None = None) -> MuData:
    """Load 5,247 PBMC of a healthy donor with RNA and the counts of a panel of antibodies (17 MB).

    10x Genomics, 5k_pbmc_protein_v3, Cell Ranger 3.0.2, TotalSeq-B, CC BY 4.0. Isotype controls are among the proteins.

    Parameters
    ----------
    cache_dir
        As in `fetch_10x`.

    Returns
    -------
    MuData with ``"rna"`` and ``"prot"``, without labels, as `fetch_10x` gives it, which also says what is raised.

    Examples
    --------
    >>> mdata = pbmc5k_citeseq()  # doctest: +SKIP
    """
    return fetch_10x(*_SOURCES["pbmc5k_citeseq"], cache_dir=cache_dir)


def pbmc3k_multiome(*, cache_dir: str | Path | None = None) -> MuData:
    """Load about 2,700 PBMC of a healthy donor, granulocytes removed, with RNA and ATAC (39 MB).

    10x Genomics, pbmc_granulocyte_sorted_3k, Cell Ranger ARC 2.0.0, GRCh38, CC BY 4.0.

    Parameters
    ----------
    cache_dir
        As in `fetch_10x`.

    Returns
    -------
    MuData with ``"rna"`` and ``"atac"``, without labels, as `fetch_10x` gives it, which also says what is raised.

    Examples
    --------
    >>> mdata = pbmc3k_multiome()  # doctest: +SKIP
    """
    return fetch_10x(*_SOURCES["pbmc3k_multiome"], cache_dir=cache_dir)


def pbmc10k_multiome(*, cache_dir: str | Path | None = None) -> MuData:
    """Load about 11,900 PBMC of a healthy donor, granulocytes removed, with RNA and ATAC (162 MB).

    10x Genomics, pbmc_granulocyte_sorted_10k, Cell Ranger ARC 1.0.0, GRCh38, CC BY 4.0.

    Parameters
    ----------
    cache_dir
        As in `fetch_10x`.

    Returns
    -------
    MuData with ``"rna"`` and ``"atac"``, without labels, as `fetch_10x` gives it, which also says what is raised.

    Examples
    --------
    >>> mdata = pbmc10k_multiome()  # doctest: +SKIP
    """
    return fetch_10x(*_SOURCES["pbmc10k_multiome"], cache_dir=cache_dir)
