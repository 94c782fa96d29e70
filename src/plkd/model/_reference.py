"""What a model takes from its reference before training: scaling constants and patterns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from plkd.data import ModalitySpec, Rows
from plkd.nn import constant_names
from plkd.patterns import KIND, PatternSet, concat, learn, read
from plkd.presets import PatternSettings

logger = logging.getLogger("plkd")

_BLOCK = 4096


@dataclass(frozen=True)
class ReferenceTable:
    """One modality of the reference: its spec, its rows and, where told, the genes to look up for each feature."""

    spec: ModalitySpec
    rows: Rows
    genes: Any = None


def scaling_constants(table: ReferenceTable) -> dict[str, np.ndarray]:
    """Return the constants of a modality's input scaling by name, each of shape ``(n_features,)``, float32."""
    return {name: _CONSTANTS[name](table.rows, table.spec.scale) for name in constant_names(table.spec.kind)}


def _log_mean(rows: Rows, scale: str) -> np.ndarray:
    total, n_counted = np.zeros(rows.n_features), 0
    for block in _blocks(rows):
        total += np.asarray(block.log1p().sum(axis=0)).ravel()
        # Cells without counts have no ratios, and would shrink the differences between the features' means.
        n_counted += int((block.max(axis=1).toarray() > 0).sum())
    return (total / max(n_counted, 1)).astype(np.float32)


def _idf(rows: Rows, scale: str) -> np.ndarray:
    n_open = np.zeros(rows.n_features)
    for block in _blocks(rows):
        n_open += np.bincount(block.indices[block.data > 0], minlength=rows.n_features)
    return (rows.n_obs / (1.0 + n_open)).astype(np.float32)


def mean_share(rows: Rows, scale: str) -> np.ndarray:
    """Return the mean share of each feature in a cell's counts, shape ``(n_features,)``, float32, summing to 1.

    Log-normalised values are taken back through ``expm1`` first. Cells without counts are left out.
    """
    total = np.zeros(rows.n_features)
    for block in _blocks(rows):
        values = block.expm1() if scale == "log" else block
        size = np.asarray(values.sum(axis=1)).ravel()
        total += values.T @ (1 / np.where(size > 0, size, np.inf))
    return (total / max(total.sum(), 1e-12)).astype(np.float32)


#: By name of a constant, how it is computed from the rows and their scale.
_CONSTANTS = {"gene_share": mean_share, "peak_share": mean_share, "log_mean": _log_mean, "idf": _idf}


def _blocks(rows: Rows) -> Iterator[sp.csr_matrix]:
    for start in range(0, rows.n_obs, _BLOCK):
        yield rows.read(slice(start, start + _BLOCK))


def values_to_learn_from(table: ReferenceTable, rng: np.random.Generator) -> Any:
    """Return scaled values of drawn cells, cells x features: at most 5,000, of sparse peaks 50,000.

    RNA: log1p of counts per 10,000, CSR. Proteins: centred log ratios, dense. ATAC: log1p of 10,000 times TF-IDF, CSR.
    """
    chosen, most = np.arange(table.rows.n_obs), KIND[table.spec.kind].learned_from
    if len(chosen) > most:
        chosen = np.sort(rng.choice(len(chosen), most, replace=False))
    return scaled_values(table, chosen)


def scaled_values(table: ReferenceTable, chosen: np.ndarray) -> Any:
    """Return scaled values of chosen rows, as :func:`values_to_learn_from` does of drawn ones."""
    block = table.rows.read(chosen)
    if table.spec.scale == "log":
        return block
    # As the kind's input scaling does it, told by the constants that it has.
    constants = constant_names(table.spec.kind)
    if "log_mean" in constants:
        logged = block.log1p().toarray()
        return logged - logged.mean(axis=1, keepdims=True)
    size = np.asarray(block.sum(axis=1)).ravel()
    scaled = sp.diags(1e4 / np.where(size > 0, size, np.inf)) @ block
    if "idf" in constants:
        n_open = np.bincount(block.indices, minlength=table.rows.n_features)
        scaled = scaled @ sp.diags(block.shape[0] / (1.0 + n_open))
    return scaled.tocsr().log1p()


def build_patterns(
    source: Any, tables: Sequence[ReferenceTable], *, settings: PatternSettings, rng: np.random.Generator
) -> PatternSet:
    """Match given patterns to the modalities of the reference, and learn patterns for what they leave out.

    Parameters
    ----------
    source
        Anything :func:`plkd.patterns.read` takes; None learns all patterns.
    tables
        The reference's modalities.
    settings
        Filters, and whether to learn.
    rng
        Draws the cells and seeds the learning.

    Returns
    -------
    Patterns over the features of all modalities, modality after modality, each with its kind.
    """
    given = None if source is None else read(source)
    if given is not None and settings.max_set_size is not None:
        given = _no_larger_than(given, settings.max_set_size)
    parts: list[PatternSet] = []
    for table in tables:
        own = None if given is None else _matched(given, table, settings, only_kind=len(tables) == 1)
        if own is not None:
            parts.append(own)
        if settings.learned or own is None:
            learned = _learned(table, settings, own, rng)
            if len(learned):
                parts.append(learned)
    return parts[0] if len(parts) == 1 else concat(*parts)


def _learned(
    table: ReferenceTable, settings: PatternSettings, exclude: PatternSet | None, rng: np.random.Generator
) -> PatternSet:
    values = values_to_learn_from(table, rng)
    try:
        return learn(
            values,
            table.spec.features,
            kind=table.spec.kind,
            n_patterns=settings.n_learned,
            min_size=_least(table, settings),
            # Modules of peaks are as many as those of genes, and larger.
            max_size=None if table.spec.kind == "atac" else settings.max_learned_size,
            exclude=exclude,
            seed=int(rng.integers(2**31)),
        )
    except ValueError as error:
        raise ValueError(f"No patterns can be learned for {table.spec.called}: {error}") from None


def _matched(
    given: PatternSet, table: ReferenceTable, settings: PatternSettings, *, only_kind: bool
) -> PatternSet | None:
    """Return the given patterns that serve a modality, or None where there are none.

    Patterns made for the kind are matched by name; sets of genes also serve proteins, through the genes that encode them,
    and peaks, where the genes near them are told.
    """
    kind = table.spec.kind
    reached_by_genes = kind == "protein" or table.genes is not None
    serving = {kind, "rna"} if reached_by_genes else {kind}
    if not serving & set(given.kinds):
        if only_kind:
            raise ValueError(
                f"The patterns are for {', '.join(dict.fromkeys(given.kinds))}, the reference holds {kind}. Fix: "
                + ("pass `peak_genes=plkd.patterns.from_peaks(...)`." if kind == "atac" else "pass others, or None.")
            )
        return None
    try:
        return given.for_features(
            table.spec.features,
            kind=kind,
            genes=table.genes,
            min_size=_least(table, settings),
            max_size=settings.max_size,
            max_patterns=settings.max_patterns,
            max_overlap=settings.max_overlap,
        )
    except ValueError:
        # A small panel may miss sets of genes that were not made for it; its patterns are then learned.
        if not KIND[kind].is_panel or only_kind:
            raise
        logger.warning(
            "%s: no given pattern holds enough of the %s; theirs are learned", table.spec.called, KIND[kind].features
        )
        return None


def _least(table: ReferenceTable, settings: PatternSettings) -> int:
    """Fewest features of a pattern: panels are small."""
    kind = KIND[table.spec.kind]
    return min(settings.min_size, kind.least) if kind.is_panel else settings.min_size


def _columns(patterns: PatternSet, chosen: Sequence[int]) -> PatternSet:
    return replace(
        patterns,
        names=tuple(patterns.names[i] for i in chosen),
        membership=patterns.membership[:, list(chosen)],
        sources=tuple(patterns.sources[i] for i in chosen),
        kinds=tuple(patterns.kinds[i] for i in chosen),
        report=None,
    )


def _no_larger_than(patterns: PatternSet, size: int) -> PatternSet:
    kept = np.flatnonzero(patterns.sizes <= size)
    if not len(kept):
        raise ValueError(f"No pattern has {size} features or fewer; the smallest has {patterns.sizes.min()}.")
    return _columns(patterns, kept.tolist())


def is_built(source: Any) -> bool:
    """Whether ``source`` is the stored state of patterns that a model already matched to its reference."""
    return isinstance(source, Mapping) and "plkd_patterns" in source
