"""What simulated counts rest on: sizes, cells, features and rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from plkd._arguments import check_whole, is_number, names_of
from plkd.datasets import _counts, _genome, _programmes

_ACTIVITY = (0.5, 1.5)
"""Activity of a programme in a cell whose label has it; uniform, mean 1."""
_DEPTH_SD = 0.3
"""Standard deviation of the logarithm of a cell's depth."""
#: Kinds that can be simulated.
KINDS = ("rna", "protein", "atac")
_BASE_SD = {"rna": 1.0, "protein": 0.7, "atac": 0.7}
"""Likewise of the features' base rates."""
_DISPERSION = {"rna": 0.25, "protein": 0.1}
_BACKGROUND = 0.5
"""Background antibody, in units of what the proteins themselves bind where no programme is active."""
_BACKGROUND_SD = 0.3
_DEPTH = {"rna": (1.5, 10_000), "protein": (50.0, 5000), "atac": (0.2, 5000)}
"""Default depth: mean counts per feature, and the most per cell."""
_SIZE_NAME = {"rna": "n_genes", "protein": "n_proteins", "atac": "n_peaks"}


class Truth(NamedTuple):
    """How often features are counted, and why.

    Parameters
    ----------
    rates
        Per unit of depth, of each batch.
    background
        The part of the base rate that no programme changes, shape ``(n_features,)``.
    log_factor
        Natural logarithm of the batch factors, shape ``(n_batches, n_features)``.
    """

    rates: _counts.Rates
    background: np.ndarray
    log_factor: np.ndarray


def numbered(prefix: str, n: int) -> list[str]:
    """Return ``prefix_0``, ``prefix_1``, ..., with zeros in front so that they sort by number."""
    width = len(str(n - 1))
    return [f"{prefix}_{i:0{width}d}" for i in range(n)]


def check_modalities(modalities: Sequence[str]) -> tuple[str, ...]:
    """Return the modalities as a tuple.

    Raises
    ------
    ValueError
        If there is none, one twice, or one of another name.
    """
    names = (modalities,) if isinstance(modalities, str) else tuple(names_of("modalities", modalities, '("rna",)'))
    names = tuple(name if isinstance(name, str) else repr(name) for name in names)
    if not names or len(set(names)) < len(names) or not set(names) <= set(KINDS):
        msg = f"modalities={modalities!r}: expected one or more of {KINDS}, each at most once."
        raise ValueError(msg)
    return names


def check_sizes(
    modalities: Sequence[str],
    n_obs: int,
    n_labels: int,
    n_batches: int,
    n_programmes: int,
    n_features: Mapping[str, int],
) -> None:
    """Refuse sizes that leave a label without cells or a programme without features.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what was expected.
    """
    sizes = {"n_obs": n_obs, "n_labels": n_labels, "n_batches": n_batches, "n_programmes": n_programmes}
    for name, size in {**sizes, **{_SIZE_NAME[kind]: size for kind, size in n_features.items()}}.items():
        check_whole(name, size, 0)
    _at_least("n_labels", n_labels, 1)
    _at_least("n_batches", n_batches, 1)
    _at_least("n_programmes", n_programmes, 1)
    _at_least("n_obs", n_obs, n_labels * n_batches, "n_labels * n_batches, a cell of each label in each batch")
    _at_least("n_genes", n_features["rna"], 2 * n_programmes, "2 * n_programmes: half of the genes belong to one")
    for kind in ("protein", "atac"):
        least, why = (n_programmes, "n_programmes, so that each has one") if kind in modalities else (0, "")
        _at_least(_SIZE_NAME[kind], n_features[kind], least, why)
    if "protein" in modalities and n_features["protein"] > n_features["rna"]:
        msg = (
            f"n_proteins={n_features['protein']} are more than n_genes={n_features['rna']}; each protein is encoded by "
            f"a gene of its own. Fix: n_genes={n_features['protein']}."
        )
        raise ValueError(msg)
    for kind, most in (("rna", _genome.MAX_GENES), ("atac", _genome.MAX_PEAKS)):
        if kind in {"rna", *modalities} and n_features[kind] > most:
            msg = f"{_SIZE_NAME[kind]}={n_features[kind]}; expected at most {most}, which fit on the simulated chromosomes."
            raise ValueError(msg)


def _at_least(name: str, value: int, least: int, why: str = "") -> None:
    if value < least:
        msg = f"{name}={value}: expected {least} or more{f' ({why})' if why else ''}."
        raise ValueError(msg)


def check_strengths(**strengths: float) -> None:
    """Refuse a strength that is negative or not finite.

    Raises
    ------
    ValueError
        Naming it.
    """
    for name, value in strengths.items():
        # Beyond e^20 no count is drawn that a float holds.
        if not is_number(value, 0, 20):
            msg = f"{name}={value!r}: expected a finite number, 0 (no effect) or larger, at most 20."
            raise ValueError(msg)


def mean_depth(kind: str, depth: float | None, n_features: int) -> float:
    """Return the mean counts of a cell: ``depth``, or the default for so many features where it is None.

    Raises
    ------
    ValueError
        If it is not positive and finite.
    """
    per_feature, most = _DEPTH[kind]
    if depth is None:
        return min(per_feature * n_features, most)
    if not is_number(depth, 0, 1e9) or depth == 0:
        msg = f"{kind}_depth={depth!r}: expected mean counts of a cell, a positive number, or None for the default."
        raise ValueError(msg)
    return float(depth)


def draw_cells(
    n_obs: int, n_batches: int, label_programmes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return label and batch of each cell (int), every label in every batch, and its activity of each programme."""
    n_labels = len(label_programmes)
    order = rng.permutation(n_obs)
    label, batch = order % n_labels, order // n_labels % n_batches
    activity = rng.uniform(*_ACTIVITY, (n_obs, label_programmes.shape[1])) * label_programmes[label]
    return label, batch, activity.astype(np.float32)


def obs_frame(
    label: np.ndarray,
    batch: np.ndarray,
    hidden: np.ndarray,
    n_labels: int,
    n_batches: int,
    unlabeled_category: str,
) -> pd.DataFrame:
    """Return the table of cells: ``label``, hidden or not, ``batch`` and ``true_label``."""
    labels = numbered("label", n_labels)
    seen = np.where(hidden, n_labels, label)
    shown = [*labels, unlabeled_category] if hidden.any() else labels
    return pd.DataFrame(
        {
            "label": pd.Categorical.from_codes(seen, shown),
            "batch": pd.Categorical.from_codes(batch, numbered("batch", n_batches)),
            "true_label": pd.Categorical.from_codes(label, labels),
        },
        index=numbered("cell", len(label)),
    )


def features(
    n_features: Mapping[str, int], n_programmes: int, modalities: Sequence[str], rng: np.random.Generator
) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Return the features of each modality, as its ``var``, and the programme of each, -1 for none."""
    n_genes = n_features["rna"]
    n_coding = min(n_features["protein"], n_genes)
    digits = len(str(n_genes - 1))
    programme = _programmes.gene_programmes(n_genes, n_coding, n_programmes, rng)
    genes = _genome.place_genes([f"GENE{i:0{digits}d}" for i in range(n_genes)], rng)
    proteins = pd.DataFrame({"gene": genes.index[:n_coding]}, index=[f"PROTEIN{i:0{digits}d}" for i in range(n_coding)])
    found = {"rna": (genes, programme), "protein": (proteins, programme[:n_coding])}
    if "atac" in modalities:  # last: it draws more or less, and nothing may depend on how much
        peaks = _genome.place_peaks(genes, programme, n_features["atac"], rng)
        found["atac"] = (peaks.drop(columns="programme"), peaks["programme"].to_numpy())
    return found


def draw_rates(
    kind: str,
    programme: np.ndarray,
    mean_activity: np.ndarray,
    n_batches: int,
    label_strength: float,
    batch_strength: float,
    rng: np.random.Generator,
) -> Truth:
    """Draw base rates, backgrounds and batch factors; rates add up to 1 over features and typical cells."""
    n_features = len(programme)
    base = rng.lognormal(0, _BASE_SD[kind], n_features)
    background = np.zeros(n_features)
    if kind == "protein":
        background = rng.lognormal(0, _BACKGROUND_SD, n_features)
        background *= _BACKGROUND * base.sum() / background.sum()
    added = np.where(programme >= 0, np.expm1(label_strength), 0.0)
    # Programme -1 reads the appended 0.
    total = (background + base * (1 + added * np.append(mean_activity, 0.0)[programme])).sum()
    base, background = base / total, background / total
    # Shifted so that the factor, not its logarithm, has mean 1: batches do not make cells deeper.
    log_factor = batch_strength * rng.standard_normal((n_batches, n_features)) - batch_strength**2 / 2
    factor = np.exp(log_factor)
    rates = _counts.Rates((background + base) * factor, base * added * factor, programme)
    return Truth(rates, background, log_factor)


def draw_depth(mean: float, n_obs: int, rng: np.random.Generator) -> np.ndarray:
    """Return the depth of each cell, float32 with the given mean."""
    return (mean * rng.lognormal(-(_DEPTH_SD**2) / 2, _DEPTH_SD, n_obs)).astype(np.float32)


def draw_counts(kind: str, rates: _counts.Rates, cells: _counts.Cells, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return the counts of a modality of that kind, float32 CSR of shape ``(n_obs, n_features)``."""
    if kind == "atac":
        return _counts.fragments(rates, cells, rng)
    return _counts.negative_binomial(rates, cells, _DISPERSION[kind], rng)
