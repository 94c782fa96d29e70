"""Paired RNA, protein and ATAC counts with a known answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from plkd._arguments import check_type, check_whole
from plkd.datasets import _counts, _genome, _mudata, _programmes, _shares, _world

if TYPE_CHECKING:
    from mudata import MuData


def simulate(
    n_obs: int = 1000,
    *,
    n_labels: int = 5,
    n_batches: int = 2,
    n_programmes: int = 8,
    n_genes: int = 500,
    n_proteins: int = 30,
    n_peaks: int = 1000,
    modalities: Sequence[str] = _world.KINDS,
    label_strength: float = 1.0,
    batch_strength: float = 0.3,
    rna_depth: float | None = None,
    protein_depth: float | None = None,
    atac_depth: float | None = None,
    missing: float | Mapping[str, float] = 0.0,
    unlabeled: float = 0.0,
    unlabeled_category: str = "Unknown",
    seed: int = 0,
) -> MuData:
    r"""Simulate raw counts of the same cells in several modalities, with all that made them known.

    A *programme* is a set of genes, the proteins they encode and the peaks near them, active together: what a pattern
    is meant to find. A label is a combination of programmes.

    Parameters
    ----------
    n_obs
        Cells, at least ``n_labels * n_batches``. Labels are equally frequent and spread evenly over batches, up to
        rounding, so a batch says nothing about labels.
    n_labels
        Labels, ``label_0`` and so on. Each has a third of the programmes (half, with two labels), a combination of its
        own.
    n_batches
        Batches, ``batch_0`` and so on.
    n_programmes
        Programmes, ``programme_0`` and so on. Half of the features belong to one each, equally many to each.
    n_genes
        Genes, at least ``2 * n_programmes``, at most 100,000. They exist, with coordinates, also where ``"rna"`` is not
        among the modalities.
    n_proteins
        Proteins, at least ``n_programmes``, at most ``n_genes``. Protein ``k`` is encoded by gene ``k``.
    n_peaks
        Peaks, at least ``n_programmes``, at most 300,000. Four of five lie near a gene: one at its start,
        further ones, where there are more peaks than genes, up to 50,000 base pairs away.
    modalities
        Which of ``"rna"``, ``"protein"``, ``"atac"`` to return, in this order; one alone may be a plain string.
    label_strength
        Dimensionless, ``>= 0``: natural logarithm of how many times a programme raises its features where its activity
        is 1. 0 leaves labels without a trace.
    batch_strength
        Dimensionless, ``>= 0``: standard deviation of the natural logarithm of the factor by which a batch multiplies a
        feature, drawn for each batch and feature, with mean 1. 0 leaves batches without a trace.
    rna_depth
        Mean counts of a cell. None takes 1.5 for each gene, at most 10,000.
    protein_depth
        Mean counts of a cell, background included. None takes 50 for each protein, at most 5,000.
    atac_depth
        Mean fragments of a cell. None takes 0.2 for each peak, at most 5,000.
    missing
        Share of the cells that lack each modality, from 0 to 1; modalities that are not named are complete. One number
        stands for each. A cell lacks one modality at most, so thirds of three modalities leave no cell complete. A cell
        that lacks a modality has no row in it.
    unlabeled
        Share of the cells whose ``label`` is hidden, from 0 to 1.
    unlabeled_category
        What ``label`` says where it is hidden.
    seed
        Not negative. The same seed gives the same data, bit for bit. ``modalities``, ``missing`` and ``unlabeled`` take
        cells, rows or labels away from the same data, so that what they cost can be measured.

    Returns
    -------
    MuData with counts in ``X`` (float32 CSR of whole numbers). For AnnData users, ``simulate(...)["rna"]`` is complete
    in itself. In ``obs``, the same for all cells and in each modality:

    * ``label``, ``batch``: categorical, what a method may see;
    * ``true_label``: categorical, never hidden.

    The truth, in each modality ``m``:

    * ``m.varm["programmes"]``: bool frame, features x programmes;
    * ``m.varm["batch_log_factor"]``: float frame, features x batches, natural logarithm;
    * ``m.obsm["programme_activity"]``: float32, cells x programmes, 0 where a programme is off; in ``mdata.obsm`` too;
    * ``m.uns["label_programmes"]``: bool frame, labels x programmes; in ``mdata.uns`` too;
    * ``m.uns["genome"]``: ``"simulated"``, for the coordinates belong to no build; in ``mdata.uns`` too;
    * ``var`` of genes: ``chrom``, ``start``, ``end`` (base pairs, 0-based, ``end`` not included), ``strand``;
    * ``var`` of proteins: ``gene``, the gene that encodes it, and ``background``, the part of its rate (see Notes) that
      no programme changes;
    * ``var`` of peaks, whose names are ``chrom:start-end``: ``chrom``, ``start``, ``end``, ``gene``, the gene it lies
      near, empty for none.

    Raises
    ------
    ValueError
        If a number is out of its range, a modality has another name, or too few programmes are asked for to tell the
        labels apart.

    Notes
    -----
    With depth :math:`d_i` of cell :math:`i`, log-normal with standard deviation 0.3 of its logarithm, base rate
    :math:`r_j` and background :math:`g_j` of feature :math:`j` (0 but for proteins), batch factor :math:`f_{bj}`, and
    activity :math:`a_{ip}` of the programme :math:`p` of :math:`j`, uniform between 0.5 and 1.5 where the label has it,
    otherwise 0, the expected count is

    .. math:: \mu_{ij} = d_i \, f_{b(i)j} \, \bigl(g_j + r_j \, (1 + a_{ip} (e^{s} - 1))\bigr),
        \qquad s = \text{label_strength}.

    Rates add up so that the mean of a cell's counts is the depth asked for. RNA and protein counts are negative
    binomial, with variance :math:`\mu + 0.25 \mu^2` and :math:`\mu + 0.1 \mu^2`. Fragments are Poisson, at most 2 to a
    peak (what exceeds that is lost), and are thrown one by one: no matrix of cells times peaks is ever dense. Depths,
    batch factors and noise of the modalities are independent. Memory: the result twice, and about 200 MB.

    Examples
    --------
    >>> mdata = simulate(60, n_genes=100, n_peaks=200, missing={"protein": 0.5})
    >>> {name: adata.shape for name, adata in mdata.mod.items()}
    {'rna': (60, 100), 'protein': (30, 30), 'atac': (60, 200)}
    >>> mdata["protein"].var["gene"].tolist()[:2]
    ['GENE00', 'GENE01']

    The patterns that a model should find:

    >>> from plkd import PatternSet
    >>> programmes = mdata["rna"].varm["programmes"]
    >>> PatternSet.from_matrix(programmes, programmes.index, source="truth")
    PatternSet: 8 patterns x 100 features, sizes 6 to 7 (median 6); source: truth; covers 50 of 100 features (50.0 %)
    """
    modalities = _world.check_modalities(modalities)
    n_features = {"rna": n_genes, "protein": n_proteins, "atac": n_peaks}
    _world.check_sizes(modalities, n_obs, n_labels, n_batches, n_programmes, n_features)
    _world.check_strengths(label_strength=label_strength, batch_strength=batch_strength)
    check_whole("seed", seed, 0)
    check_type("unlabeled_category", unlabeled_category, str, "text")
    given = {"rna": rna_depth, "protein": protein_depth, "atac": atac_depth}
    depths = {kind: _world.mean_depth(kind, given[kind], n_features[kind]) for kind in modalities}
    shares = _shares.missing_shares(missing, modalities)
    # A generator for each thing, so that leaving one out or asking for more of it does not change the others.
    names = ("design", "cells", "missing", "unlabeled", *_world.KINDS)
    rngs = dict(zip(names, np.random.default_rng(seed).spawn(len(names)), strict=True))

    combined = _programmes.label_programmes(n_labels, n_programmes, rngs["design"])
    features = _world.features(n_features, n_programmes, modalities, rngs["design"])
    label, batch, activity = _world.draw_cells(n_obs, n_batches, combined, rngs["cells"])
    hidden = _shares.draw_unlabeled(unlabeled, n_obs, rngs["unlabeled"])
    obs = _world.obs_frame(label, batch, hidden, n_labels, n_batches, unlabeled_category)
    absent = _shares.draw_missing(shares, n_obs, rngs["missing"])
    columns = _world.numbered("programme", n_programmes)
    by_label = pd.DataFrame(combined, index=_world.numbered("label", n_labels), columns=columns)

    parts = {}
    for kind in modalities:
        var, programme = features[kind]
        # The expected activity, not the drawn one, so that rates do not depend on the cells.
        truth = _world.draw_rates(
            kind, programme, combined.mean(axis=0), n_batches, label_strength, batch_strength, rngs[kind]
        )
        cells = _counts.Cells(batch, activity, _world.draw_depth(depths[kind], n_obs, rngs[kind]))
        counts = _world.draw_counts(kind, truth.rates, cells, rngs[kind])
        there = np.flatnonzero(~absent[kind])
        if len(there) < n_obs:
            counts = counts[there]
        if kind == "protein":
            var = var.assign(background=truth.background)
        adata = AnnData(counts, obs=obs.iloc[there].copy(), var=var)
        member = programme[:, None] == np.arange(n_programmes)
        adata.varm["programmes"] = pd.DataFrame(member, index=var.index, columns=columns)
        adata.varm["batch_log_factor"] = pd.DataFrame(
            truth.log_factor.T, index=var.index, columns=_world.numbered("batch", n_batches)
        )
        adata.obsm["programme_activity"] = activity[there]
        adata.uns.update(genome=_genome.GENOME, label_programmes=by_label.copy())
        parts[kind] = adata

    mdata = _mudata.join(parts)
    # A mosaic lists the cells of its first modality first.
    order = obs.index.get_indexer(mdata.obs_names)
    for column in obs:
        mdata.obs[column] = obs[column].array[order]
    mdata.obsm["programme_activity"] = activity[order]
    mdata.uns.update(genome=_genome.GENOME, label_programmes=by_label)
    return mdata
