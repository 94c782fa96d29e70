"""`rank_patterns`: which patterns mark which label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.stats import false_discovery_control

from plkd._arguments import check_type, check_whole
from plkd.interpret._permutation import mean_difference, permutation_pvalues, standardised
from plkd.interpret._scores import groups_of, score_frames

logger = logging.getLogger("plkd")

_FEWEST_CELLS = 2


def rank_patterns(
    model_or_frame: Any,
    adata: AnnData | MuData,
    groupby: str | Sequence[Any] | np.ndarray | pd.Series,
    *,
    scores: Literal["attribution", "attention"] = "attribution",
    batch_key: str | Sequence[Any] | np.ndarray | pd.Series | None = None,
    n_permutations: int = 1000,
    n_top: int = 10,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    r"""Rank the patterns of each label by how far its cells' scores lie from those of all other cells.

    Parameters
    ----------
    model_or_frame
        A trained :class:`plkd.PLKD`, a :class:`plkd.Annotator`, or a frame of scores, cells x patterns; or a list of them,
        the same model trained with several seeds, with the same patterns.
    adata
        The cells.
    groupby
        Column of ``obs`` with the labels, or one value per cell. Cells without one are left out, labels of a single cell too.
    scores
        What a model is asked for: the Student's ``"attribution"`` or the Teacher's ``"attention"``; frames are taken as they are.
    batch_key
        Column of ``obs`` with batches, or one value per cell: labels are permuted within batches, so that a difference between
        batches is not taken for one between labels. None: among all cells.
    n_permutations
        Permutations of the labels. The least p-value is 1 / (n_permutations + 1).
    n_top
        A pattern counts as found by a model if it is among this many with the largest effect; used with several models.
    seed
        Of the permutations; the same one gives the same table.
    key_added
        Also write the table to ``adata.uns[key_added]``, in the form of :func:`scanpy.tl.rank_genes_groups`, so that
        ``sc.get.rank_genes_groups_df(adata, group, key=key_added)`` reads it. None writes nothing.

    Returns
    -------
    Frame, a row for each label and pattern, within a label the largest effect first:

    * ``group``: the label, categorical; ``names``: the pattern;
    * ``scores``: the effect, a standardised mean difference: 1 means that the label's cells lie one standard deviation above
      the other cells; negative ones mark what the label lacks;
    * ``difference``: of the two means, in the scores' own units;
    * ``pvals``: two-sided, from the permutations; ``pvals_adj``: false discovery rate over the patterns of the label;
    * ``stability``: the share of models in which the pattern is among the label's first ``n_top``; with several models only.
      The other columns are then of the models' mean: that of their effects, and of their differences.

    Raises
    ------
    KeyError
        If ``obs`` has no such column.
    TypeError
        If something is neither a model with such scores nor a frame.
    ValueError
        If there are fewer than two labels of two cells, no batch has cells of two labels, or a frame does not fit the cells.

    Notes
    -----
    The effect is :math:`(m_1 - m_0) / \sqrt{(s_1^2 + s_0^2) / 2}`, with means and unbiased variances of the label's cells and all
    other cells. Unlike the area under the ROC curve it does not level off at 1 for the patterns that mark a label best, which are
    those to be ranked. P-values count permutations with an effect as large :cite:p:`Phipson10`; the false discovery rate
    :cite:p:`Benjamini95` is taken within each label, as scanpy's. In ``adata.uns`` the ``logfoldchanges`` are missing
    values: scores have no fold change.

    The null is that labels say nothing about scores. Cells are its units, not donors, and the model was trained to tell labels
    apart: with many cells nearly every pattern passes. Read effect and stability first. Time grows with cells x patterns x
    permutations.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> from plkd import interpret
    >>> adata = anndata.AnnData(np.zeros((6, 1)), obs=pd.DataFrame({"type": list("BBBTTT")}, index=list("abcdef")))
    >>> scores = pd.DataFrame({"B set": [3.0, 4, 5, 1, 2, 3], "flat": 1.0}, index=adata.obs_names)
    >>> interpret.rank_patterns(scores, adata, "type", n_permutations=99)[["group", "names", "scores"]]
      group  names  scores
    0     B  B set     2.0
    1     B   flat     0.0
    2     T   flat     0.0
    3     T  B set    -2.0
    """
    check_type("adata", adata, (AnnData, MuData), "an AnnData or a MuData")
    check_whole("n_permutations", n_permutations, 1)
    check_whole("n_top", n_top, 1)
    check_whole("seed", seed, 0)
    if key_added is not None:
        check_type("key_added", key_added, str, "a key of adata.uns, or None")
    labels, order = groups_of(adata, groupby, "groupby")
    strata = np.full(adata.n_obs, "") if batch_key is None else groups_of(adata, batch_key, "batch_key")[0]
    kept, groups = _usable(labels, order)
    codes = pd.Index(groups).get_indexer(pd.Index(labels[kept]))
    batches = pd.factorize(strata[kept])[0]
    if pd.DataFrame({"batch": batches, "code": codes}).groupby("batch")["code"].nunique().max() < 2:
        raise ValueError(
            "Every batch of batch_key has cells of one label only; expected a batch with two labels, within which they can be "
            "permuted. Fix: `batch_key=None`."
        )

    frames = score_frames(model_or_frame, adata, scores)
    values = [frame.to_numpy(dtype=np.float64)[kept] for frame in frames]
    effects, pvals = permutation_pvalues(
        [standardised(v) for v in values], codes, len(groups), batches, n_permutations=n_permutations, seed=seed
    )
    table = _table(
        groups,
        frames[0].columns,
        scores=np.mean(effects, axis=0),
        difference=np.mean([mean_difference(v, codes, len(groups)) for v in values], axis=0),
        pvals=pvals,
        pvals_adj=false_discovery_control(pvals, axis=1),
        **({"stability": np.mean([_among_first(e, n_top) for e in effects], axis=0)} if len(effects) > 1 else {}),
    )
    if key_added is not None:
        about = {"groupby": groupby if isinstance(groupby, str) else "groupby", "method": f"plkd {scores}"}
        adata.uns[key_added] = _as_scanpy(table, about)
    return table


def _usable(labels: np.ndarray, order: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return which cells have a label of enough cells, and these labels."""
    counts = pd.Series(labels).value_counts()
    groups = [name for name in order if counts[name] >= _FEWEST_CELLS]
    if len(groups) < 2:
        raise ValueError(
            f"groupby has {len(groups)} label(s) with at least {_FEWEST_CELLS} cells; expected 2 or more, to compare. Fix: "
            "name a column with cell types."
        )
    if single := [name for name in order if counts[name] < _FEWEST_CELLS]:
        logger.warning("Labels of a single cell are left out: %s", ", ".join(single[:10]))
    return np.flatnonzero(np.isin(labels, groups)), groups


def _among_first(effects: np.ndarray, n: int) -> np.ndarray:
    """Whether each pattern is among its group's ``n`` largest effects."""
    place = np.argsort(np.argsort(-effects, axis=1, kind="stable"), axis=1)
    return place < n


def _table(groups: Sequence[str], patterns: pd.Index, **columns: np.ndarray) -> pd.DataFrame:
    """Return a row for each group and pattern, from columns of shape ``(n_groups, n_patterns)``."""
    parts = []
    for i in range(len(groups)):
        part = pd.DataFrame({"names": patterns, **{name: values[i] for name, values in columns.items()}})
        parts.append(part.sort_values("scores", ascending=False, kind="stable"))
    table = pd.concat(parts, ignore_index=True)
    group = pd.Categorical.from_codes(np.repeat(np.arange(len(groups)), len(patterns)), categories=list(groups))
    table.insert(0, "group", group)
    return table


def _as_scanpy(table: pd.DataFrame, about: dict[str, str]) -> dict[str, Any]:
    """Return the table in the form in which scanpy keeps ranked genes: records of one column per group."""
    groups = list(table["group"].cat.categories)
    parts = [part for _, part in table.groupby("group", observed=True, sort=True)]
    types = {"names": "O", "scores": "f4", "logfoldchanges": "f4", "pvals": "f8", "pvals_adj": "f8"}

    def records(column: str) -> np.recarray:
        arrays = [
            np.full(len(part), np.nan) if column == "logfoldchanges" else part[column].to_numpy() for part in parts
        ]
        return np.rec.fromarrays(arrays, dtype=[(group, types[column]) for group in groups])

    params = {**about, "reference": "rest", "use_raw": False, "layer": None, "corr_method": "benjamini-hochberg"}
    return {"params": params, **{column: records(column) for column in types}}
