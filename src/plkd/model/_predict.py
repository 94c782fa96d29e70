"""Labels, tables and latent spaces of a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd import inference
from plkd.confidence import Calibration, Confidence
from plkd.data import Cells, ModalitySpec
from plkd.inference import TeacherOutputs, run_teacher
from plkd.module import PLKDModule


class PredictionMixin:
    """Adds :meth:`predict`, :meth:`annotate`, :meth:`predict_sets` and :meth:`get_latent_representation` to the model."""

    # What the model class provides.
    module: PLKDModule
    is_trained_: bool
    history_: dict[str, pd.DataFrame] | None
    adata: AnnData | MuData | None
    _specs: Sequence[ModalitySpec]
    _cells: Callable[[Any], tuple[Cells, pd.Index]]
    if TYPE_CHECKING:

        @property
        def labels(self) -> list[str]: ...
        @property
        def _confidence(self) -> Confidence | None: ...
        @property
        def _teacher_calibration(self) -> Calibration | None: ...

    def predict(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        model: Literal["student", "teacher"] = "student",
        modality: str = "joint",
    ) -> np.ndarray | pd.DataFrame:
        """Predict labels.

        Parameters
        ----------
        adata
            Query, in memory, a view or backed, with the reference's layers; needs no labels and no batches, and not all
            of the reference's modalities: a MuData with some of them, in which cells may lack some, or an AnnData of
            one. Features are matched by name (peaks also by genomic overlap): any order, some missing, others extra. Not
            changed. None: the reference.
        indices
            Cell numbers, or a boolean mask; None: all cells.
        soft
            Return probabilities.
        batch_size
            Cells of a mini-batch, of which up to four are computed at once on a CPU; None: these hold about 128 MiB of dense values. Does not change the result.
        model
            Which network answers.
        modality
            ``"joint"`` uses all that a cell was measured in; the name of a modality, or its kind, uses that alone.

        Returns
        -------
        Labels, shape ``(n_cells,)``, in the order of the cells; if ``soft`` a frame cells x labels whose rows sum to 1:
        probabilities calibrated on held-out cells of the reference (:meth:`annotate` says more), or the softmax of the
        logits as it is where the model was not calibrated. No cell is ever rejected here.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If too few of the model's features are found, values are negative or not finite, or a chosen cell was not
            measured in ``modality``.

        Examples
        --------
        >>> query.obs["plkd"] = model.predict(query)
        >>> model.predict(query, soft=True).shape
        (60, 3)
        """
        self._check_ready(model)
        cells, names, chosen = self._chosen(adata, indices, modality)
        if model == "teacher":
            logits = self._run_teacher(cells, chosen, batch_size=batch_size).logits
        else:
            logits = inference.student_logits(
                self._scaling(), self.module.student, cells, chosen, batch_size=batch_size
            )
        if soft and model == "teacher" and self._teacher_calibration is not None:
            values = self._teacher_calibration.probabilities(logits)
            return pd.DataFrame(values, index=names[chosen], columns=self.labels)
        if soft:
            confidence = self._confidence if model == "student" else None
            return inference.probability_frame(logits, self.labels, names[chosen], confidence, cells.measured()[chosen])
        labels = np.array(self.labels, dtype=object)
        return labels[logits.argmax(axis=1)] if len(logits) else labels[:0]

    def annotate(
        self,
        adata: AnnData | MuData | None = None,
        *,
        unknown: Literal["auto"] | float | None = None,
        unknown_label: str = "Unknown",
        indices: Sequence[int] | np.ndarray | None = None,
        over_clustering: str | Sequence[Any] | np.ndarray | pd.Series | None = None,
        batch_size: int | None = None,
        modality: str = "joint",
    ) -> pd.DataFrame:
        """Label each cell and say how sure that is.

        Parameters
        ----------
        adata, indices, batch_size, modality
            As in :meth:`predict`.
        unknown
            Share of cells of the reference's types that may be rejected as unknown, in (0, 1); ``"auto"``: 0.05. None
            rejects none.
        unknown_label
            What ``label`` becomes in rejected cells, and in no others.
        over_clustering
            Clusters of similar cells, small ones rather than large ones: column of ``obs`` (of a MuData also of its
            modalities, ``"rna:leiden"``), or one value per cell of ``adata``; a Series is matched by the names of the
            cells. All cells of a cluster get the label that most of them have; with ``indices`` only the cells chosen
            vote. None: each cell by itself.

        Returns
        -------
        Frame indexed by cell, to be written with :func:`plkd.add_annotation`:

        * ``label``, categorical;
        * ``confidence``: the label's probability, in [0, 1], calibrated on held-out cells of the reference;
        * ``novelty``: the share of held-out cells that, with their neighbours, lie nearer to their labels, in [0, 1], so that
          0.95 means the same for every reference. If the query as a whole lies further out, as cells of another protocol do,
          this shift is taken out first, up to twice the distance, and said (``attrs["shift"]``). NaN if the model was not
          calibrated;
        * ``runner_up``: the most probable of the other labels;
        * ``rejected``: whether ``novelty`` is above 1 - ``unknown``;
        * ``reason``: why, ``"unlike the reference"`` or ``"between A and B"``; empty for cells that are not rejected;
        * with ``over_clustering`` also ``cell_label`` (the label the cell had of itself) and ``vote_share`` (the share of
          its cluster's cells that had the voted label; NaN for cells in no cluster, which keep theirs). Rejected cells
          neither vote nor take another label.

        Raises
        ------
        KeyError
            If ``obs`` has no column ``over_clustering``.
        ValueError
            If ``unknown`` is no such share, the model was not calibrated, or ``unknown_label`` is a label of the model; if
            ``over_clustering`` does not hold one value per cell; else as in :meth:`predict`.

        Notes
        -----
        Equal numbers of votes go to the label with the larger sum of confidence. Novelty compares a cell with the others of
        this call (:func:`plkd.confidence.surrounded_distance`): annotate a query whole rather than in parts.

        Examples
        --------
        >>> table = model.annotate(query, unknown="auto")
        >>> list(table)
        ['label', 'confidence', 'novelty', 'runner_up', 'rejected', 'reason']
        """
        self._check_ready("student")
        confidence = self._confidence
        inference.rejection_rate(unknown, unknown_label, self.labels, confidence)
        cells, names, chosen = self._chosen(adata, indices, modality)
        clusters = inference.clusters_of(self.adata if adata is None else adata, over_clustering, chosen)
        return inference.annotate(
            self._scaling(),
            self.module.student,
            cells,
            chosen,
            self.labels,
            names[chosen],
            confidence,
            unknown=unknown,
            unknown_label=unknown_label,
            clusters=clusters,
            batch_size=batch_size,
        )

    def predict_sets(
        self,
        adata: AnnData | MuData | None = None,
        *,
        coverage: float = 0.9,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        modality: str = "joint",
    ) -> pd.DataFrame:
        """Return for each cell a set of labels that holds the right one with a stated probability.

        Parameters
        ----------
        adata, indices, batch_size, modality
            As in :meth:`predict`.
        coverage
            Share of the cells of each label whose set holds it, in (0, 1).

        Returns
        -------
        Bool, cells x labels: whether the label is in the cell's set; the called label always is. ``sets.sum(axis=1)`` is
        how undecided a cell is.

        Raises
        ------
        ValueError
            If ``coverage`` is no such share, or the model was not calibrated; else as in :meth:`predict`.

        Notes
        -----
        Conformal prediction by class on held-out cells of the reference (:func:`plkd.confidence.set_thresholds`). The share is
        that of cells like these; where the query is of another laboratory and the reference of one batch, it is less.

        Examples
        --------
        >>> sets = model.predict_sets(query, coverage=0.95)
        >>> sets.shape
        (60, 3)
        >>> unsure = sets.sum(axis=1) > 1
        """
        self._check_ready("student")
        confidence = inference.check_coverage(coverage, self._confidence)
        cells, names, chosen = self._chosen(adata, indices, modality)
        output = self._run_student(cells, chosen, batch_size)
        return inference.set_frame(
            output, cells.measured()[chosen], self.labels, names[chosen], confidence, float(coverage)
        )

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        model: Literal["student", "teacher"] = "student",
        modality: str = "joint",
    ) -> np.ndarray:
        """Return the latent space, for neighbours and UMAP.

        Parameters
        ----------
        adata, indices, batch_size, modality
            As in :meth:`predict`.
        model
            ``"student"``: its last hidden layer; ``"teacher"``: the class token after the last LayerNorm.

        Returns
        -------
        Shape ``(n_cells, n_latent)``, float32, in the order of the cells; not stored anywhere.

        Examples
        --------
        >>> query.obsm["X_plkd"] = model.get_latent_representation(query)
        >>> query.obsm["X_plkd"].shape
        (60, 8)
        """
        self._check_ready(model)
        cells, _, chosen = self._chosen(adata, indices, modality)
        if model == "teacher":
            return self._run_teacher(cells, chosen, batch_size=batch_size).latent
        return self._run_student(cells, chosen, batch_size).latent

    def _chosen(
        self, adata: AnnData | MuData | None, indices: Any, modality: str = "joint"
    ) -> tuple[Cells, pd.Index, np.ndarray]:
        """Return the cells, their names, and the numbers of those chosen."""
        kind = inference.kind_of(modality, self._specs)
        cells, names = self._cells(adata)
        chosen = inference.chosen_cells(cells.n_obs, indices)
        return inference.restricted(cells, kind, chosen, names), names, chosen

    def _run_student(self, cells: Cells, chosen: np.ndarray, batch_size: int | None) -> inference.StudentOutput:
        return inference.run_student(self._scaling(), self.module.student, cells, chosen, batch_size=batch_size)

    def _run_teacher(self, cells: Cells, chosen: np.ndarray, **kwargs: Any) -> TeacherOutputs:
        return run_teacher(self._scaling(), self.module.teacher, cells, chosen, **kwargs)

    def _scaling(self) -> dict[str, Any]:
        return dict(self.module.scaling.items())

    def _check_ready(self, model: str) -> None:
        if not isinstance(model, str) or model not in ("student", "teacher"):
            raise ValueError(f"model={model!r}; expected 'student' or 'teacher'.")
        if not self.is_trained_:
            raise RuntimeError("The model is not trained. Fix: `model.train()` first.")
        # Only the first of several processes has a history.
        if model == "teacher" and self.history_ and "teacher_loss_train" not in self.history_:
            raise RuntimeError(
                "The Teacher is not trained: with kd_weight=0 the Student learned from the labels alone. Fix: "
                '`model.train(plan_kwargs={"student": {"kd_weight": 1.0}})`, or ask the Student.'
            )
        self.module.eval()
