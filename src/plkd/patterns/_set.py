"""`PatternSet`: named sets of features as one sparse membership matrix."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from plkd._arguments import array_of, check_number, check_type, check_whole, names_of
from plkd._files import as_path
from plkd.patterns import _convert, _filter, _state
from plkd.patterns._coverage import CoverageReport, covered_rows, dropped_frame, kept_frame, uncovered_names
from plkd.patterns._kinds import KIND, check_kind
from plkd.patterns._lookup import look_up, mean_membership, selection_of

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("plkd")


@dataclass(frozen=True, eq=False, repr=False)
class PatternSet:
    """Hold named patterns over a list of features.

    Read one with :func:`plkd.patterns.read` or a ``from_*`` method, then match it to data with :meth:`for_features`.
    Immutable: every method returns a new object. Treat ``membership`` as read-only.

    Parameters
    ----------
    names
        Unique pattern names.
    features
        Unique feature names, one per row of ``membership``.
    membership
        Weights of shape ``(n_features, n_patterns)``, float32, copied; an entry is stored where the feature belongs
        to the pattern (1 unless weighted, negative for features that go down).
    sources
        Where each pattern came from. Empty says ``unknown`` for all.
    kinds
        Kind of each pattern's features, ``rna``, ``protein`` or ``atac``. Empty says ``rna`` for all.
    report
        What :meth:`for_features` found; None where it was not called.

    Raises
    ------
    ValueError
        If names repeat, lengths disagree, a weight is not finite or a pattern has no feature.

    Examples
    --------
    >>> sets = PatternSet.from_dict({"T": ["CD3D", "CD3E"], "B": ["MS4A1"]})
    >>> sets
    PatternSet: 2 patterns x 3 features, sizes 1 to 2 (median 1.5); source: dict; covers 3 of 3 features (100.0 %)
    >>> sets["T"], "B" in sets, list(sets)
    (['CD3D', 'CD3E'], True, ['T', 'B'])
    """

    names: tuple[str, ...]
    features: tuple[str, ...]
    membership: sparse.csc_matrix
    sources: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    report: CoverageReport | None = None

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in names_of("names", self.names, '["T", "B"]'))
        values = self.membership.to_numpy() if isinstance(self.membership, pd.DataFrame) else self.membership
        membership = sparse.csc_matrix(array_of("membership", values), dtype=np.float32, copy=True)
        membership.sum_duplicates()
        membership.eliminate_zeros()
        membership.sort_indices()
        features = _filter.feature_names(self.features)
        sources = tuple(str(source) for source in self.sources or ("unknown",) * len(names))
        kinds = tuple(str(kind) for kind in self.kinds or ("rna",) * len(names))
        if membership.shape != (len(features), len(names)) or len(sources) != len(names) or len(kinds) != len(names):
            msg = (
                f"membership of shape {membership.shape} does not fit {len(features)} features, {len(names)} names, "
                f"{len(sources)} sources and {len(kinds)} kinds; expected (n_features, n_patterns) and one text per name."
            )
            raise ValueError(msg)
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"pattern names must be unique, but {twice!r} occurs more than once; rename one of them."
            raise ValueError(msg)
        if not np.isfinite(membership.data).all():
            msg = "membership holds weights that are not finite; expected numbers, 0 where a feature does not belong."
            raise ValueError(msg)
        empty = np.flatnonzero(np.diff(membership.indptr) == 0)
        if empty.size:
            msg = f"pattern {names[empty[0]]!r} has no feature ({empty.size} such pattern(s)); leave it out."
            raise ValueError(msg)
        for field, value in zip(
            ("names", "features", "membership", "sources", "kinds"),
            (names, features, membership, sources, kinds),
            strict=True,
        ):
            object.__setattr__(self, field, value)

    # reading ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_gmt(cls, path: str | Path) -> PatternSet:
        """Read a GMT file, gzipped or not.

        Parameters
        ----------
        path
            One line per pattern: name, source, features, separated by tabs. Where the second column is empty or
            ``na``, the file's name is the source.

        Examples
        --------
        >>> PatternSet.from_gmt("hallmark.gmt")  # doctest: +SKIP
        """
        path = as_path(path, "path")
        members, texts = _convert.members_from_gmt(path)
        features, membership = _convert.membership_of(members)
        return cls(tuple(members), tuple(features), membership, tuple(text or path.name for text in texts))

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Iterable[str]], source: str = "dict") -> PatternSet:
        """Read ``{pattern: feature names}``.

        Parameters
        ----------
        mapping
            Repeated features of a set collapse; features keep the order in which they are first met.
        source
            Stored as every pattern's source.

        Examples
        --------
        >>> PatternSet.from_dict({"T": ["CD3D", "CD3E", "CD3D"]}).to_dict()
        {'T': ['CD3D', 'CD3E']}
        """
        members = _convert.members_from_mapping(mapping)
        features, membership = _convert.membership_of(members)
        return cls(tuple(members), tuple(features), membership, (source,) * len(members))

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        source_col: str = "source",
        target_col: str = "target",
        weight_col: str | None = "weight",
        kind_col: str | None = "kind",
    ) -> PatternSet:
        """Read a long table, one row per pattern and feature (decoupler's net format).

        Parameters
        ----------
        df
            The table; equal rows collapse.
        source_col
            Column of pattern names.
        target_col
            Column of feature names.
        weight_col
            Column of weights. None, or ``weight`` where the table has no such column: all weights are 1.
        kind_col
            Column of the patterns' kinds, as :meth:`to_frame` writes it. None, or ``kind`` where the table has no such
            column: all are ``rna``.

        Raises
        ------
        KeyError
            If a named column does not exist.
        ValueError
            If names are missing, one feature has two weights in a pattern, or a pattern two kinds or an unknown one.

        Examples
        --------
        >>> df = pd.DataFrame({"source": ["T", "T"], "target": ["CD3D", "MS4A1"], "weight": [1.0, -0.5]})
        >>> PatternSet.from_frame(df).membership.toarray().ravel().tolist()
        [1.0, -0.5]
        """
        members = _convert.members_from_frame(df, source_col, target_col, weight_col)
        kinds = _convert.kinds_from_frame(df, source_col, kind_col)
        features, membership = _convert.membership_of(members)
        sources, kinds_of = ("frame",) * len(members), tuple(kinds.get(name, "rna") for name in members)
        return cls(tuple(members), tuple(features), membership, sources, kinds_of)

    @classmethod
    def from_matrix(
        cls, matrix: Any, features: Iterable[str], names: Iterable[str] | None = None, *, source: str = "matrix"
    ) -> PatternSet:
        """Read a boolean or weighted matrix of shape ``(n_features, n_patterns)``.

        Parameters
        ----------
        matrix
            Array, sparse matrix or DataFrame; 0 or False where a feature does not belong. Empty columns are left out.
        features
            One name per row.
        names
            One name per column. None takes a DataFrame's columns, otherwise ``pattern_1``, ``pattern_2``, ...
        source
            Stored as every pattern's source.

        Examples
        --------
        >>> PatternSet.from_matrix([[1, 0], [1, 1]], ["CD3D", "CD8A"], ["T", "CD8"]).to_dict()
        {'T': ['CD3D', 'CD8A'], 'CD8': ['CD8A']}
        """
        features = tuple(str(feature) for feature in names_of("features", features))
        membership = _convert.sparse_membership(matrix, len(features))
        if names is None:
            framed = isinstance(matrix, pd.DataFrame)
            names = matrix.columns if framed else [f"pattern_{i + 1}" for i in range(membership.shape[1])]
        names = [str(name) for name in names_of("names", names, '["T", "B"]')]
        if len(names) != membership.shape[1]:
            msg = f"names holds {len(names)} entries for {membership.shape[1]} columns; pass one name per column."
            raise ValueError(msg)
        membership.eliminate_zeros()
        full = np.diff(membership.indptr) > 0
        if not full.all():
            empty = [name for name, some in zip(names, full, strict=True) if not some]
            logger.warning("%s: %d pattern(s) without a feature left out: %s", source, len(empty), ", ".join(empty[:5]))
        if not full.any():
            msg = f"the {source} holds no membership; expected True or a weight where a feature belongs to a pattern."
            raise ValueError(msg)
        names = tuple(name for name, some in zip(names, full, strict=True) if some)
        return cls(names, features, membership[:, np.flatnonzero(full)], (source,) * len(names))

    @classmethod
    def from_varm(cls, adata: AnnData, key: str) -> PatternSet:
        """Read ``adata.varm[key]``, a boolean or weighted matrix or DataFrame of features x patterns.

        Parameters
        ----------
        adata
            Its ``var_names`` are the features.
        key
            Key of ``adata.varm``.

        Raises
        ------
        KeyError
            If ``adata.varm`` has no such key.

        Examples
        --------
        >>> from anndata import AnnData
        >>> adata = AnnData(np.ones((1, 2), dtype="float32"), var=pd.DataFrame(index=["CD3D", "CD8A"]))
        >>> adata.varm["sets"] = pd.DataFrame({"T": [True, True], "CD8": [False, True]}, index=adata.var_names)
        >>> PatternSet.from_varm(adata, "sets").to_dict()
        {'T': ['CD3D', 'CD8A'], 'CD8': ['CD8A']}
        """
        if not hasattr(adata, "varm"):
            raise TypeError(f"adata is a {type(adata).__name__}; expected an AnnData.")
        check_type("key", key, str, f"one of {list(adata.varm.keys())}")
        if key not in adata.varm:
            msg = f"key={key!r} is not in adata.varm, which holds {list(adata.varm.keys())}. Pass key=<one of them>."
            raise KeyError(msg)
        return cls.from_matrix(adata.varm[key], adata.var_names, source=f"varm: {key}")

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PatternSet:
        """Rebuild the set that :meth:`state` described.

        Parameters
        ----------
        state
            What :meth:`state` returned.

        Raises
        ------
        ValueError
            If the format number is unknown.

        Examples
        --------
        >>> patterns = plkd.patterns.read({"B": ["CD79A", "MS4A1"]})
        >>> plkd.PatternSet.from_state(patterns.state()).names
        ('B',)
        """
        fields = _state.unpack(state)
        report = None
        if "kept" in fields:
            uncovered = uncovered_names(fields["features"], fields["membership"])
            report = CoverageReport(len(fields["features"]), uncovered, fields.pop("kept"), fields.pop("dropped"))
        return cls(**fields, report=report)

    # writing ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, list[str]]:
        """Return ``{pattern: feature names}``, features in the order of ``features``.

        Examples
        --------
        >>> plkd.patterns.read({"B": ["CD79A", "MS4A1"]}).to_dict()
        {'B': ['CD79A', 'MS4A1']}
        """
        return {name: self[name] for name in self.names}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pattern and feature: ``source`` (pattern), ``target`` (feature), ``weight``.

        A column ``kind`` is there only where some patterns are not of ``rna``. :meth:`from_frame` reads the table back.

        Examples
        --------
        >>> plkd.patterns.read({"B": ["CD79A", "MS4A1"]}).to_frame().shape
        (2, 3)
        """
        columns = {
            "source": np.repeat(np.asarray(self.names, dtype=object), self.sizes),
            "target": np.asarray(self.features, dtype=object)[self.membership.indices],
            "weight": self.membership.data.astype(np.float64),
        }
        if set(self.kinds) - {"rna"}:
            columns["kind"] = np.repeat(np.asarray(self.kinds, dtype=object), self.sizes)
        return pd.DataFrame(columns)

    def to_gmt(self, path: str | Path) -> None:
        """Write a GMT file with the sources as second column; gzipped where the name ends in ``.gz``.

        GMT has no place for weights, kinds and features outside every pattern; weights other than 1 and kinds other than
        ``rna`` are warned about.

        Parameters
        ----------
        path
            File to write.

        Examples
        --------
        >>> plkd.patterns.immune().to_gmt("immune.gmt")
        """
        if set(self.kinds) - {"rna"}:
            logger.warning("GMT carries no kinds; use to_frame() to keep %s", ", ".join(dict.fromkeys(self.kinds)))
        if (self.membership.data != 1).any():
            logger.warning("GMT carries no weights; use to_frame() to keep those of %d patterns", self.n_patterns)
        _convert.write_gmt(as_path(path, "path"), self.to_dict(), self.sources)

    def state(self) -> dict[str, Any]:
        """Describe the set and its report in lists of text and numeric arrays, for saving.

        Returns
        -------
        A flat dict whose key ``plkd_patterns`` holds the format number, 1. :meth:`from_state` reads it back exactly.

        Examples
        --------
        >>> sets = PatternSet.from_dict({"T": ["CD3D", "CD3E"]})
        >>> sets.state()["plkd_patterns"], PatternSet.from_state(sets.state()) == sets
        (1, True)
        """
        return _state.pack(self)

    # matching --------------------------------------------------------------------------------------------------

    def for_features(
        self,
        names: Iterable[str],
        *,
        kind: str = "rna",
        genes: Iterable[str | Iterable[str] | None] | Mapping[str, str | Iterable[str]] | None = None,
        min_size: int | None = None,
        max_size: int | None = 500,
        max_patterns: int | None = None,
        max_overlap: float = 0.8,
    ) -> PatternSet:
        """Match the patterns to the features of a data set and filter them.

        Sets of genes serve every kind of feature: proteins through the genes that encode them, peaks through the genes near
        them. Of a set whose patterns were made for several kinds (:func:`plkd.patterns.concat`), those of ``kind`` are used,
        otherwise those of ``rna``.

        Parameters
        ----------
        names
            Unique feature names of the data; the result has exactly these features, in this order.
        kind
            Kind of these features, ``rna``, ``protein`` or ``atac``, stored for every pattern of the result.
        genes
            For each feature the gene, or the genes, looked up in the patterns: one entry per feature in order, or
            ``{feature: genes}`` such as :func:`plkd.patterns.from_peaks` makes. Where an entry is missing the feature's own
            name is used, where it is an empty list none. A feature joins the patterns of all its genes. None looks up the
            names; with ``kind="protein"`` also the genes of the proteins, taken from their names by
            :func:`plkd.patterns.protein_genes` (mouse genes where the patterns are written Cd3e), and logs how many.
        min_size
            Fewest features of the data that a pattern must hold. None: 2 for proteins, 5 otherwise.
        max_size
            Most features of the data that a pattern may hold. None sets no limit. The size of a pattern of peaks is the
            number of its genes that have peaks, where that is smaller: a gene has many peaks.
        max_patterns
            Keep at most so many, the largest ones (ties by name). None keeps all.
        max_overlap
            Of two patterns whose features of the data have a Jaccard index above this, the smaller (of equal ones the
            later) is dropped. ``1`` keeps all.

        Returns
        -------
        The kept patterns in their order, with ``report`` set. The weight of a feature with several genes in a pattern is
        their mean.

        Raises
        ------
        ValueError
            If feature names repeat; if ``kind`` is unknown; if hardly a name meets and they differ by letter case or by kind
            of identifier, which the message names; or if no pattern is left.

        Examples
        --------
        >>> sets = PatternSet.from_dict({"T": ["CD3D", "CD3E", "CD2"], "B": ["MS4A1", "CD79A"]})
        >>> matched = sets.for_features(["LYZ", "CD3E", "CD2"], min_size=2)
        >>> matched.features, matched.to_dict()
        (('LYZ', 'CD3E', 'CD2'), {'T': ['CD3E', 'CD2']})
        >>> sets.for_features(["CD3", "CD20", "CD2"], kind="protein").to_dict()
        {'T': ['CD3', 'CD2']}
        """
        features = _filter.feature_names(names)
        min_size = KIND[check_kind(kind)].least if min_size is None else min_size
        check_whole("min_size", min_size, 1)
        check_whole("max_size", max_size, 1, optional=True)
        check_whole("max_patterns", max_patterns, 1, optional=True)
        check_number("max_overlap", max_overlap, 0, 1)
        serving = self._serving(kind)
        lookup = look_up(features, serving.features, kind=kind, genes=genes)
        selection = selection_of(lookup, serving.features, len(features))
        found = np.bincount(selection.indices, minlength=serving.n_features) > 0
        _filter.refuse_mismatch(serving.features, lookup, found)
        membership = mean_membership(selection, serving.membership)
        n_found = np.diff(serving.membership[np.flatnonzero(found)].tocsc().indptr)
        sizes = np.diff(membership.indptr)
        if kind == "atac":
            sizes = np.minimum(sizes, n_found)
        filters: dict[str, Any] = {
            "min_size": min_size,
            "max_size": max_size,
            "max_patterns": max_patterns,
            "max_overlap": max_overlap,
        }
        reasons = _filter.reasons_to_drop(membership, serving.names, sizes, **filters)
        keep = [i for i, reason in enumerate(reasons) if not reason]
        drop = [i for i, reason in enumerate(reasons) if reason]
        if not keep:
            msg = _filter.nothing_left(serving.features, lookup, found, sizes, kind=kind, filters=filters)
            raise ValueError(msg)
        membership = membership[:, keep]
        kept_names, kept_sources = [serving.names[i] for i in keep], [serving.sources[i] for i in keep]
        report = CoverageReport(
            n_features=len(features),
            uncovered=uncovered_names(features, membership),
            kept=kept_frame(kept_names, serving.sizes[keep], n_found[keep], kept_sources),
            dropped=dropped_frame(
                [serving.names[i] for i in drop], serving.sizes[drop], n_found[drop], [reasons[i] for i in drop]
            ),
        )
        logger.info("patterns: %s", report)
        return PatternSet(tuple(kept_names), features, membership, tuple(kept_sources), (kind,) * len(keep), report)

    def _serving(self, kind: str) -> PatternSet:
        """Return the patterns made for a kind, otherwise the sets of genes, otherwise all; with the features they hold."""
        for wanted in (kind, "rna"):
            columns = [i for i, own in enumerate(self.kinds) if own == wanted]
            if len(columns) == len(self):
                return self
            if columns:
                membership = self.membership[:, columns]
                rows = np.flatnonzero(covered_rows(membership))
                return PatternSet(
                    tuple(self.names[i] for i in columns),
                    tuple(self.features[i] for i in rows),
                    membership[rows],
                    tuple(self.sources[i] for i in columns),
                    (wanted,) * len(columns),
                )
        return self

    # looking ---------------------------------------------------------------------------------------------------

    @property
    def n_patterns(self) -> int:
        """Number of patterns."""
        return len(self.names)

    @property
    def n_features(self) -> int:
        """Number of features, in a pattern or not."""
        return len(self.features)

    @property
    def n_memberships(self) -> int:
        """Number of (feature, pattern) pairs."""
        return int(self.membership.nnz)

    @property
    def sizes(self) -> np.ndarray:
        """Number of features of each pattern, shape ``(n_patterns,)``."""
        return np.diff(self.membership.indptr)

    @property
    def covered(self) -> np.ndarray:
        """Whether each feature lies in a pattern, bool of shape ``(n_features,)``."""
        return covered_rows(self.membership)

    def __len__(self) -> int:
        return self.n_patterns

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> list[str]:
        if not isinstance(name, str) or name not in self.names:
            msg = f"no pattern is named {name!r}; expected one of {list(self.names[:5])}{' ...' if len(self) > 5 else ''}."
            raise KeyError(msg)
        column = self.names.index(name)
        rows = self.membership.indices[self.membership.indptr[column] : self.membership.indptr[column + 1]]
        return [self.features[row] for row in rows]

    def __eq__(self, other: object) -> bool:
        # The report tells how a set came to be, not what it is.
        if not isinstance(other, PatternSet):
            return NotImplemented
        same = all(getattr(self, f) == getattr(other, f) for f in ("names", "features", "sources", "kinds"))
        arrays = ("indptr", "indices", "data")
        return same and all(np.array_equal(getattr(self.membership, a), getattr(other.membership, a)) for a in arrays)

    def __hash__(self) -> int:
        return hash((self.names, self.features, self.sources, self.kinds))

    def __repr__(self) -> str:
        text = f"PatternSet: {self.n_patterns:,} patterns x {self.n_features:,} features"
        if self.n_patterns:
            text += f", sizes {self.sizes.min()} to {self.sizes.max()} (median {np.median(self.sizes):g})"
            sources = list(dict.fromkeys(self.sources))
            text += f"; source: {', '.join(sources)}" if len(sources) < 3 else f"; {len(sources)} sources"
        if set(self.kinds) - {"rna"}:
            text += f"; kinds: {', '.join(dict.fromkeys(self.kinds))}"
        n_covered = int(self.covered.sum())
        share = 100 * n_covered / self.n_features if self.n_features else 0.0
        return f"{text}; covers {n_covered:,} of {self.n_features:,} features ({share:.1f} %)"
