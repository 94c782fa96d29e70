"""Why a model called cells as it did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from plkd import inference
from plkd._arguments import check_order
from plkd.align import AlignmentReport
from plkd.data import Cells, ModalitySpec, as_text, obs_column
from plkd.inference import TeacherOutputs
from plkd.module import PLKDModule
from plkd.patterns import PatternSet

logger = logging.getLogger("plkd")

Groups: TypeAlias = "str | Sequence[str] | np.ndarray | pd.Series"


class ExplanationMixin:
    """Adds pattern attention, pattern attribution and modality weights to the model."""

    # What the model class provides.
    module: PLKDModule
    adata: AnnData | MuData | None
    _specs: Sequence[ModalitySpec]
    _patterns: PatternSet
    _memberships: Mapping[str, sp.csc_matrix]
    _attached: Callable[[Any], Any]
    _check_ready: Callable[[str], None]
    _chosen: Callable[..., tuple[Cells, pd.Index, np.ndarray]]
    _scaling: Callable[[], dict[str, Any]]
    _run_teacher: Callable[..., TeacherOutputs]
    if TYPE_CHECKING:

        @property
        def labels(self) -> list[str]: ...

    def get_pattern_attention(
        self,
        adata: AnnData | MuData | None = None,
        *,
        groupby: Groups | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        raw: bool = False,
    ) -> pd.DataFrame:
        """Return how much of the Teacher's attention reaches each pattern, by roll-out.

        Parameters
        ----------
        adata, indices
            As in :meth:`predict`.
        groupby
            Column of ``adata.obs``, or one value per chosen cell, to average over; None: one row per cell.
        batch_size
            Cells at a time; each holds the attention of all pairs of patterns. None: 64.
        raw
            The released form, not renormalised over the patterns.

        Returns
        -------
        Frame, cells (or groups) x patterns, rows sum to 1 unless ``raw``; free tokens are named ``free_1``, ..., where
        there are several modalities ``free_1 (rna)``, ... ``model.token_kinds`` gives each column's modality.
        Attention says where the Teacher looked, not what caused the call; compare :meth:`get_pattern_attribution`.

        Examples
        --------
        >>> attention = model.get_pattern_attention(query, groupby=model.predict(query))
        >>> attention.index.tolist()
        ['type_0', 'type_1', 'type_2']
        """
        self._check_ready("teacher")
        cells, names, chosen = self._chosen(adata, indices)
        shares = self._run_teacher(cells, chosen, batch_size=batch_size, attention=True, raw=raw).rollout
        frame = pd.DataFrame(shares, index=names[chosen], columns=self._token_names())
        return self._grouped(frame, adata, groupby, chosen)

    def get_pattern_attribution(
        self,
        adata: AnnData | MuData | None = None,
        *,
        groupby: Groups | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return what the Student's call rests on: integrated gradients, summed over each pattern's genes.

        Parameters
        ----------
        adata, groupby, indices, batch_size
            As in :meth:`get_pattern_attention`.

        Returns
        -------
        Frame, cells (or groups) x patterns: how much of the called label's logit, less the mean over labels, rests on the
        pattern. A gene of several patterns counts in full in each. :meth:`get_feature_attribution` says how it is computed.

        Examples
        --------
        >>> attribution = model.get_pattern_attribution(query, groupby=model.predict(query))
        >>> attribution.index.tolist()
        ['type_0', 'type_1', 'type_2']
        """
        self._check_ready("student")
        cells, names, chosen = self._chosen(adata, indices)
        scores = inference.pattern_attribution(
            self._scaling(), self.module.student, cells, chosen, self._memberships, batch_size=batch_size
        )
        columns = [name for own in inference.names_by_kind(self._patterns, self._specs).values() for name in own]
        frame = pd.DataFrame(scores, index=names[chosen], columns=columns)
        return self._grouped(frame, adata, groupby, chosen)

    def get_feature_attribution(
        self,
        adata: AnnData | MuData | None = None,
        *,
        method: Literal["integrated", "gradient"] = "integrated",
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        r"""Return what the Student's calls of each label rest on, feature by feature.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`predict`.
        method
            ``"integrated"``: integrated gradients, which sum to the called label's logit less the mean over labels, less the
            same of a cell whose scaled values are all 0; :meth:`get_pattern_attribution` gives their sums over patterns.
            ``"gradient"``: gradient x input.

        Returns
        -------
        Frame, labels x features, the mean over the cells called so, in units of the logit, without labels that no cell is
        called; its columns have the levels ``modality`` and ``feature``, since a gene and its protein may share a name.
        :func:`plkd.interpret.gene_attribution` ranks them.

        Notes
        -----
        With :math:`x` the scaled values and :math:`f` the called label's logit less the mean over labels, integrated gradients are
        :math:`x_j \int_0^1 \partial_j f(t x) \, dt` :cite:p:`Sundararajan17`. The integral is taken behind the first layer, which is
        linear, so that it costs little.

        Examples
        --------
        >>> genes = model.get_feature_attribution(query)
        >>> genes.shape
        (3, 60)
        """
        if not isinstance(method, str) or method not in ("integrated", "gradient"):
            raise ValueError(f"method={method!r}; expected 'integrated' or 'gradient'.")
        self._check_ready("student")
        cells, _, chosen = self._chosen(adata, indices)
        found = inference.feature_attribution(
            self._scaling(),
            self.module.student,
            cells,
            chosen,
            integrated=method == "integrated",
            batch_size=batch_size,
        )
        columns = pd.MultiIndex.from_tuples(
            [(spec.called, name) for spec in self._specs for name in spec.features], names=["modality", "feature"]
        )
        values = np.hstack([found.scores[spec.kind] for spec in self._specs])
        labels = pd.Index(self.labels, name="label")
        some = found.n_cells > 0
        if method == "integrated":
            _say_gap(values[some], found.explained[some])
        return pd.DataFrame(values[some], index=labels[some], columns=columns)

    def get_modality_weights(
        self,
        adata: AnnData | MuData | None = None,
        *,
        groupby: Groups | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return which modality decided each call of the Student.

        Parameters
        ----------
        adata, groupby, indices, batch_size
            As in :meth:`get_pattern_attention`.

        Returns
        -------
        Frame, cells (or groups) x modalities, rows sum to 1; a modality that a cell lacks has 0. Shapley values of the
        called label's log-probability over the modalities (:func:`plkd.inference.modality_weights`).

        Examples
        --------
        >>> weights = joint.get_modality_weights(mdata)
        >>> list(weights)
        ['rna', 'prot', 'atac']
        """
        self._check_ready("student")
        cells, names, chosen = self._chosen(adata, indices)
        weights = inference.modality_weights(self._scaling(), self.module.student, cells, chosen, batch_size=batch_size)
        frame = pd.DataFrame(weights, index=names[chosen], columns=[spec.called for spec in self._specs])
        return self._grouped(frame, adata, groupby, chosen)

    def alignment_report(self, adata: AnnData | MuData | None = None) -> AlignmentReport:
        """Say which of the model's features a query has, overall and pattern by pattern.

        Parameters
        ----------
        adata
            As in :meth:`predict`; only its names are looked at. The model need not be trained.

        Raises
        ------
        ValueError
            As in :meth:`predict`, if too few features are found.

        Examples
        --------
        >>> report = model.alignment_report(query[:, :45])
        >>> report.fraction
        0.75
        """
        return inference.alignment_report(self._attached(adata), self._patterns, self._specs)

    @property
    def token_kinds(self) -> pd.Series:
        """The modality of each of the Teacher's tokens, in the order of the columns of :meth:`get_pattern_attention`."""
        return pd.Series(dict(self._tokens()), name="modality")

    def _tokens(self) -> list[tuple[str, str]]:
        names = inference.names_by_kind(self._patterns, self._specs)
        tokens = []
        for spec in self._specs:
            mark = f" ({spec.called})" if len(self._specs) > 1 else ""
            own = [*names[spec.kind], *(f"free_{i + 1}{mark}" for i in range(self.module.teacher.n_free))]
            tokens += [(name, spec.called) for name in own]
        return tokens

    def _token_names(self) -> list[str]:
        return [name for name, _ in self._tokens()]

    def _grouped(
        self, frame: pd.DataFrame, adata: AnnData | MuData | None, groupby: Any, chosen: np.ndarray
    ) -> pd.DataFrame:
        if groupby is None:
            return frame
        if isinstance(groupby, str):
            column = obs_column(self.adata if adata is None else adata, groupby, "groupby")
            groups = as_text(column)[chosen]
        else:
            values = _one_per_cell(groupby, len(frame))
            check_order("groupby", groupby, frame.index)
            groups = as_text(pd.Series(values))
        return frame.groupby(pd.Index(groups, name=groupby if isinstance(groupby, str) else "group"), sort=True).mean()


def _say_gap(values: np.ndarray, explained: np.ndarray) -> None:
    """Warn where integrated gradients do not sum to the difference of logits that they explain."""
    gap = np.abs(values.sum(axis=1) - explained)
    if (gap > 0.02 * np.maximum(np.abs(explained), 0.1)).any():
        logger.warning(
            "Attributions miss up to %.2g of a logit difference of %.2g: read them as approximate",
            gap.max(),
            explained[gap.argmax()],
        )


def _one_per_cell(groupby: Any, n_cells: int) -> np.ndarray:
    try:
        values = np.asarray(groupby)
    except ValueError:
        values = np.empty(0)
    if values.shape != (n_cells,):
        raise ValueError(
            f"groupby is a {type(groupby).__name__} of shape {values.shape} for {n_cells} cells; expected one value per cell, "
            'or the name of a column of obs. Fix: `groupby="cell_type"`.'
        )
    return values
