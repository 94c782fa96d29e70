"""`gene_attribution` and `genes_of_pattern`: which genes, proteins and peaks the Student's calls rest on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from plkd._arguments import check_type, names_of

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_COLUMNS = ["group", "names", "modality", "scores"]


def gene_attribution(
    model: Any,
    adata: AnnData | MuData | None = None,
    *,
    label: str | Sequence[str] | None = None,
    method: Literal["integrated", "gradient"] = "integrated",
    indices: Sequence[int] | np.ndarray | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Rank the features that the Student's calls of each label rest on.

    Parameters
    ----------
    model
        A trained :class:`plkd.PLKD`.
    adata, indices, batch_size
        As in :meth:`plkd.PLKD.predict`.
    label
        Label, or several. None: all that a cell is called.
    method
        ``"integrated"``: integrated gradients, whose sums over patterns :meth:`plkd.PLKD.get_pattern_attribution` gives;
        ``"gradient"``: gradient x input.

    Returns
    -------
    Frame, a row for each label and feature, within a label the largest score first: ``group`` (the label, categorical), ``names``
    (the feature), ``modality``, ``scores``: how much of the label's logit, less the mean over labels, rests on the feature, the mean
    over the cells that the Student calls so. Negative scores speak against the label.

    Raises
    ------
    TypeError
        If ``model`` is no such model.
    ValueError
        If ``label`` is none of the model, or no cell is called so.

    Notes
    -----
    Integrated gradients :cite:p:`Sundararajan17` are the default because they are complete: a label's scores sum to the
    difference of its logit between its cells and a cell without any counts. Gradient x input sums to nearly 0, since the Student's
    LayerNorm leaves its answer nearly the same when all values grow alike; it says how small changes act, not what the call is made
    of. A negative or small score does not mean that a gene is not expressed.

    Examples
    --------
    >>> genes = plkd.interpret.gene_attribution(model, query)
    >>> top = genes[genes["group"] == "type_0"].head(10)
    >>> list(top)
    ['group', 'names', 'modality', 'scores']
    """
    if not hasattr(model, "get_feature_attribution"):
        raise TypeError(
            f"model is a {type(model).__name__}, which has no attributions of features; expected a plkd.PLKD. Fix: "
            "`plkd.PLKD.load(path, adata=reference)`."
        )
    wanted = None
    if label is not None:
        wanted = [label] if isinstance(label, str) else names_of("label", label, '["B cell"]')
        if unknown := [name for name in wanted if name not in model.labels]:
            raise ValueError(f"label={unknown[0]!r} is no label of the model; expected some of {model.labels[:20]}.")
        wanted = list(dict.fromkeys(wanted))
    frame = model.get_feature_attribution(adata, method=method, indices=indices, batch_size=batch_size)
    if wanted is not None:
        if absent := [name for name in wanted if name not in frame.index]:
            raise ValueError(
                f"No cell is called {absent[0]!r}; expected one at least. The cells are called {list(frame.index)[:20]}."
            )
        frame = frame.loc[wanted]
    values = frame.to_numpy()
    order = np.argsort(-values, axis=1, kind="stable")
    columns = {level: frame.columns.get_level_values(level).to_numpy() for level in ("feature", "modality")}
    group = pd.Categorical.from_codes(np.repeat(np.arange(len(frame)), frame.shape[1]), categories=list(frame.index))
    return pd.DataFrame(
        {
            "group": group,
            "names": columns["feature"][order].ravel(),
            "modality": columns["modality"][order].ravel(),
            "scores": np.take_along_axis(values, order, axis=1).ravel(),
        }
    )


def genes_of_pattern(model: Any, genes: pd.DataFrame, pattern: str) -> pd.DataFrame:
    """Say which genes carry a pattern for each label.

    Parameters
    ----------
    model
        The :class:`plkd.PLKD` whose pattern it is.
    genes
        Result of :func:`gene_attribution`.
    pattern
        Name of the pattern.

    Returns
    -------
    The rows of ``genes`` that the pattern holds, in its modality, with the column ``share``: the size of the score as a share of
    the sizes of all of the pattern's features, for the label; 0 where all are 0. A gene of several patterns counts in full
    in each, so that the sums of patterns do not add up to the logit.

    Raises
    ------
    KeyError
        If the model has no such pattern.
    TypeError, ValueError
        If ``genes`` is no such table.

    Examples
    --------
    >>> genes = plkd.interpret.gene_attribution(model, query)
    >>> carried = plkd.interpret.genes_of_pattern(model, genes, model.patterns.names[0])
    >>> list(carried)
    ['group', 'names', 'modality', 'scores', 'share']
    """
    check_type("genes", genes, pd.DataFrame, "the table that gene_attribution() returned")
    if missing := [name for name in _COLUMNS if name not in genes]:
        raise ValueError(
            f"genes has no column {missing[0]!r}; expected the table of gene_attribution(). Fix: "
            "`genes = plkd.interpret.gene_attribution(model, query)`."
        )
    if not isinstance(pattern, str) or pattern not in model.patterns:
        close = difflib.get_close_matches(str(pattern), list(model.patterns.names), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise KeyError(
            f"pattern={pattern!r} is no pattern of the model; expected one of {list(model.patterns.names)[:10]}.{hint}"
        )
    inside = genes["names"].isin(model.patterns[pattern]) & (genes["modality"] == model.token_kinds[pattern])
    held = genes[inside].reset_index(drop=True)
    size = held["scores"].abs()
    total = size.groupby(held["group"], observed=True).transform("sum")
    return held.assign(share=(size / total.where(total > 0, 1)))
