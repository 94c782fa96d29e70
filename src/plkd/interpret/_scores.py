"""Scores of cells by pattern, from models or as frames, and the cells' groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd._arguments import check_order, one_per_cell
from plkd.data import as_text, obs_column, ordered_categories

_METHODS = {"attribution": "get_pattern_attribution", "attention": "get_pattern_attention"}


def score_frames(model_or_frame: Any, adata: AnnData | MuData, scores: str) -> list[pd.DataFrame]:
    """Return a frame cells x patterns of each model or frame, all with the cells of ``adata`` and the same columns.

    Parameters
    ----------
    model_or_frame
        A model or a frame, or a list of them.
    adata
        The cells.
    scores
        ``"attribution"`` or ``"attention"``: what models are asked for. The Teacher's free tokens are no patterns, and left
        out.

    Raises
    ------
    TypeError
        If something is neither a model with such scores nor a frame.
    ValueError
        If ``scores`` is neither, or a frame has other cells or patterns, or values that are not finite.
    """
    if not isinstance(scores, str) or scores not in _METHODS:
        raise ValueError(f"scores={scores!r}; expected 'attribution' (the Student's) or 'attention' (the Teacher's).")
    several = model_or_frame if isinstance(model_or_frame, list | tuple) else [model_or_frame]
    if not len(several):
        raise ValueError("model_or_frame is an empty list; expected a model or a frame of scores at least.")
    frames: list[pd.DataFrame] = []
    for given in several:
        frame = _checked(_scores_of(given, adata, scores), adata)
        if frames and set(frame.columns) != set(frames[0].columns):
            odd = list(frame.columns.symmetric_difference(frames[0].columns))
            raise ValueError(
                f"Models or frames differ in {len(odd)} patterns, e.g. {odd[:3]}; expected the same patterns in all. Fix: give "
                "each model the same patterns, `PLKD(adata, patterns=first.patterns)`."
            )
        frames.append(frame[frames[0].columns] if frames else frame)
    return frames


def _scores_of(given: Any, adata: AnnData | MuData, scores: str) -> pd.DataFrame:
    if isinstance(given, pd.DataFrame):
        return given
    method = getattr(given, _METHODS[scores], None)
    if method is None:
        has_other = any(hasattr(given, name) for name in _METHODS.values())
        hint = " An Annotator has no Teacher. Fix: `scores='attribution'`." if has_other else ""
        raise TypeError(
            f"model_or_frame is a {type(given).__name__}, which has no {scores}; expected a plkd.PLKD, or a frame cells x "
            f"patterns, or a list of either.{hint}"
        )
    return method(adata)[list(given.patterns.names)]


def _checked(frame: pd.DataFrame, adata: AnnData | MuData) -> pd.DataFrame:
    fix = "Fix: `model.get_pattern_attribution(adata)`."
    if not frame.index.equals(adata.obs_names):
        if not (frame.index.is_unique and len(frame) == adata.n_obs and frame.index.isin(adata.obs_names).all()):
            raise ValueError(
                f"The frame of scores has {len(frame)} rows that are not the {adata.n_obs} cells of adata, e.g. "
                f"{list(frame.index[:3])}; expected a row for each cell. {fix}"
            )
        frame = frame.loc[adata.obs_names]
    if frame.shape[1] == 0 or not frame.columns.is_unique:
        raise ValueError(f"The frame of scores has no columns, or columns that repeat; expected one per pattern. {fix}")
    if not all(pd.api.types.is_numeric_dtype(dtype) and dtype.kind != "c" for dtype in frame.dtypes):
        raise ValueError(f"The frame of scores holds {sorted({str(d) for d in frame.dtypes})}; expected numbers. {fix}")
    if not np.isfinite(frame.to_numpy(dtype=np.float64)).all():
        raise ValueError(f"The frame of scores holds values that are not finite; expected numbers. {fix}")
    return frame


def groups_of(
    adata: AnnData | MuData, key: str | Sequence[Any] | np.ndarray | pd.Series, argument: str
) -> tuple[np.ndarray, list[str]]:
    """Return each cell's group as text, ``""`` where it has none, and the groups in order.

    Parameters
    ----------
    adata
        The cells.
    key
        A column of ``obs``, or one value per cell.
    argument
        What the caller calls it, for the message.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there is no such column, or not one value per cell.
    """
    if isinstance(key, str):
        column = obs_column(adata, key, argument)
    else:
        values = one_per_cell(argument, key)
        if len(values) != adata.n_obs:
            raise ValueError(
                f"{argument} holds {len(values)} values for {adata.n_obs} cells; expected one value per cell, or the name of a "
                f"column of obs. Fix: `{argument}='cell_type'`."
            )
        check_order(argument, key, adata.obs_names)
        column = pd.Series(key) if isinstance(key, pd.Series | pd.Categorical) else pd.Series(values)
    return as_text(column), ordered_categories(column)
