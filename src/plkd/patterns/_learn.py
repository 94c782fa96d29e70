"""Learn patterns from data: features that vary together over cells."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse

from plkd._arguments import array_of, check_whole, names_of
from plkd.patterns._filter import feature_names
from plkd.patterns._group import group
from plkd.patterns._kinds import KIND, check_kind
from plkd.patterns._loadings import Cells, draw, feature_loadings, is_finite, moments
from plkd.patterns._set import PatternSet

logger = logging.getLogger("plkd")

_MAX_SIZE = 200
_MOST_PATTERNS = 64
_STARTS = 10


def learn(
    matrix: Any,
    features: Iterable[str],
    *,
    kind: str = "rna",
    n_patterns: int | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    exclude: Iterable[str] | PatternSet | None = None,
    seed: int = 0,
) -> PatternSet:
    r"""Group features into modules that vary together, so that each varying feature lies in exactly one.

    Parameters
    ----------
    matrix
        Shape ``(n_cells, n_features)``, dense or sparse (CSR is fastest), finite: log-normalised expression; centred log
        ratios of proteins, which may be negative; TF-IDF or 0/1 of peaks. A sparse matrix is never made dense, and of a large
        one only some cells are copied.
    features
        One unique name per column.
    kind
        Kind of the features, ``rna``, ``protein`` or ``atac``, stored for every pattern.
    n_patterns
        How many groups to start from; splitting large ones may give more, merging small ones fewer. None takes
        half the square root of the number of features to be grouped, between 8 and 64; for proteins the square root, at
        least 2.
    min_size
        Groups smaller than this are merged into the nearest one. Only where fewer features than this vary is the one
        pattern smaller. None: 2 for proteins, 5 otherwise.
    max_size
        Groups larger than this are split. At least ``2 * min_size``. None: 200; for peaks a 32nd of them where that is
        more, so that some 64 patterns hold them all.
    exclude
        Names of features to leave out, or a PatternSet whose covered features are left out. None leaves out nothing.
    seed
        Same seed, same data, same patterns, bit for bit.

    Returns
    -------
    A set over all ``features``, the most coherent module first, named by its three leading features, such as
    ``module_01:CD3D+CD3E+IL32``; those of proteins and peaks are called ``protein_module_01`` and ``peak_module_01``. It has
    no pattern where every varying feature is excluded. Features that are constant over the cells (zero everywhere
    included) lie in no pattern.

    Raises
    ------
    ValueError
        If shapes disagree, ``kind`` is unknown, values are not finite, no feature varies, or ``max_size < 2 * min_size``.

    Notes
    -----
    Features are standardised over cells (at most 5,000, of peaks as many as hold 20 million values up to 50,000, drawn with
    the seed; values capped at 10 standard deviations), without making a sparse matrix dense. With the truncated singular value decomposition :math:`Z \approx U S V^T`, feature
    :math:`g` has loading :math:`S V_g`; loadings of unit length are grouped by spherical k-means, where the inner
    product of two features approximates their correlation over the leading components.

    Examples
    --------
    >>> import numpy as np
    >>> levels = np.random.default_rng(0).random((50, 2))
    >>> modules = learn(np.repeat(levels, 5, axis=1), list("ABCDEFGHIJ"))
    >>> sorted(modules.to_dict().values())
    [['A', 'B', 'C', 'D', 'E'], ['F', 'G', 'H', 'I', 'J']]
    """
    features = feature_names(features)
    check_whole("n_patterns", n_patterns, 1, optional=True)
    check_whole("min_size", min_size, 1, optional=True)
    check_whole("max_size", max_size, 1, optional=True)
    check_whole("seed", seed, 0)
    min_size, max_size = _sizes(check_kind(kind), min_size, max_size, len(features))
    cells = _as_cells(matrix, len(features))
    varying = moments(cells)[1] > 0
    if not varying.any():
        msg = f"none of the {len(features)} features varies over the {cells.shape[0]} cells; expected some that do. Is this the right layer?"
        raise ValueError(msg)
    columns = np.flatnonzero(varying & ~_excluded(features, exclude))
    if columns.size == 0:
        return PatternSet((), features, sparse.csc_matrix((len(features), 0), dtype=np.float32), ())
    rng = np.random.default_rng(seed)
    loadings = feature_loadings(draw(cells, rng, very_sparse=kind == "atac"), columns, rng)
    if n_patterns is None:
        n_patterns = _n_patterns(kind, columns.size)
    # Fewer groups than this could not hold all features, and k-means places them better than splitting does.
    n_patterns = max(n_patterns, -(-columns.size // max_size))
    n_start = max(1, min(n_patterns, columns.size // min_size))
    # On few features one start of k-means may end badly, and more cost nothing.
    n_starts = _STARTS if KIND[kind].is_panel else 1
    groups = group(loadings, n_start, min_size=min_size, max_size=max_size, rng=rng, n_starts=n_starts)
    names = _names(KIND[kind].learned, groups, loadings, [features[column] for column in columns])
    rows = np.concatenate([np.sort(columns[members]) for members in groups])
    indptr = np.concatenate([[0], np.cumsum([members.size for members in groups])])
    membership = sparse.csc_matrix(
        (np.ones(rows.size, dtype=np.float32), rows, indptr), shape=(len(features), len(groups))
    )
    logger.info("learned %d %s patterns from %d features that vary", len(groups), kind, columns.size)
    return PatternSet(names, features, membership, ("learned",) * len(groups), (kind,) * len(groups))


def _sizes(kind: str, min_size: int | None, max_size: int | None, n_features: int) -> tuple[int, int]:
    least = KIND[kind].least if min_size is None else min_size
    if max_size is None:
        most = max(_MAX_SIZE, 2 * least)
        if kind == "atac":
            most = max(most, -(-2 * n_features // _MOST_PATTERNS))
    else:
        most = max_size
    if least < 1 or most < 2 * least:
        msg = f"min_size={least} and max_size={most}: expected 1 <= min_size and max_size >= 2 * min_size."
        raise ValueError(msg)
    return least, most


def _n_patterns(kind: str, n_features: int) -> int:
    if KIND[kind].is_panel:
        return int(np.clip(round(np.sqrt(n_features)), 2, _MOST_PATTERNS))
    return int(np.clip(round(np.sqrt(n_features) / 2), 8, _MOST_PATTERNS))


def _as_cells(matrix: Any, n_features: int) -> Cells:
    """Return an array, or a CSR matrix without repeated entries; not copied where it is one already."""
    cells = array_of("matrix", matrix)
    if cells.shape[1] != n_features:
        hint = " It looks transposed: pass matrix.T." if cells.shape[0] == n_features else ""
        msg = f"matrix of shape {cells.shape}: expected (n_cells, {n_features}), one column per feature.{hint}"
        raise ValueError(msg)
    if sparse.issparse(cells):
        cells = sparse.csr_matrix(cells)
        if not cells.has_canonical_format:
            cells = cells.copy()
            cells.sum_duplicates()
    if not is_finite(cells):
        msg = (
            "matrix holds NaN or infinite values; expected scaled values, such as sc.pp.log1p makes of expression and "
            "muon's prot.pp.clr of proteins."
        )
        raise ValueError(msg)
    return cells


def _excluded(features: tuple[str, ...], exclude: Iterable[str] | PatternSet | None) -> np.ndarray:
    if exclude is None:
        return np.zeros(len(features), dtype=bool)
    if isinstance(exclude, PatternSet):
        exclude = np.asarray(exclude.features, dtype=object)[exclude.covered]
    names = {str(name) for name in names_of("exclude", exclude, '["CD3D"]')}
    return np.asarray([feature in names for feature in features], dtype=bool)


def _names(prefix: str, groups: list[np.ndarray], loadings: np.ndarray, features: list[str]) -> tuple[str, ...]:
    """Name each group by its number and the features that load most strongly along its mean direction."""
    digits = max(2, len(str(len(groups))))
    names = []
    for number, members in enumerate(groups, start=1):
        along = loadings[members] @ loadings[members].mean(axis=0)
        leading = members[np.argsort(-along, kind="stable")[:3]]
        names.append(f"{prefix}_{number:0{digits}d}:{'+'.join(features[i] for i in leading)}")
    return tuple(names)
