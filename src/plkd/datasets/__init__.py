"""Data to try things on: a generator with a known answer, and public sets of two modalities or two conditions.

`simulate` makes RNA, protein and ATAC counts whose labels, patterns, batch effects and missing modalities are known.
`pbmc5k_citeseq`, `pbmc3k_multiome`, `pbmc10k_multiome`, `kang_2018` and, for any other 10x matrix, `fetch_10x` download
once, check the file's checksum and keep it; they need ``pip install "plkd[datasets]"``.
"""

from __future__ import annotations

from plkd.datasets._kang import kang_2018
from plkd.datasets._public import fetch_10x, pbmc3k_multiome, pbmc5k_citeseq, pbmc10k_multiome
from plkd.datasets._simulate import simulate

__all__ = ["fetch_10x", "kang_2018", "pbmc3k_multiome", "pbmc5k_citeseq", "pbmc10k_multiome", "simulate"]
