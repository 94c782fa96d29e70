"""`PLKD`: the model class."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.model.base import BaseModelClass

from plkd import inference, presets
from plkd.data import Cells, Rows, get_matrix, open_query
from plkd.model import _attention, _files
from plkd.model._fields import CodesField, MatrixField, as_text
from plkd.model._reference import build_patterns, gene_share, is_built, members_of
from plkd.model._setup import check_reference, obs_column
from plkd.model._train import TrainingMixin
from plkd.module import PLKDModule
from plkd.patterns import PatternSet

if TYPE_CHECKING:
    from plkd.annotator import Annotator

logger = logging.getLogger("plkd")

#: Kind and name of the only modality of an AnnData.
RNA = "rna"


class PLKD(TrainingMixin, BaseModelClass):
    """Annotate cells by pattern learning and knowledge distillation :cite:p:`Zhang26`.

    A Transformer Teacher reads each cell as patterns (sets of genes) and learns the reference's labels; a small MLP
    Student is distilled from it and annotates.

    Parameters
    ----------
    adata
        Reference registered with :meth:`setup_anndata`. None only when a saved model is loaded.
    registry
        Registry of a saved model; given by :meth:`load`.
    patterns
        Path of a GMT file, ``{name: genes}``, a table with columns ``source`` and ``target``, a
        :class:`~plkd.PatternSet`, or ``"immune"`` for the bundled collection. Patterns for the genes that these leave
        out are learned from the reference; None learns all.
    gene_symbols
        Column of ``adata.var`` with the names to look up in ``patterns``, for a reference indexed by other
        identifiers. None looks up ``adata.var_names``.
    preset
        Settings of patterns, networks and training.
    pattern_kwargs, teacher_kwargs, student_kwargs
        Changes to the preset's :class:`~plkd.presets.PatternSettings`, :class:`~plkd.presets.TeacherSettings` and
        :class:`~plkd.presets.StudentSettings`.

    Raises
    ------
    TypeError
        If a setting does not exist.
    ValueError
        If the patterns do not fit the reference's genes.

    Examples
    --------
    >>> plkd.PLKD.setup_anndata(ref, labels_key="cell_type")  # doctest: +SKIP
    >>> model = plkd.PLKD(ref)  # doctest: +SKIP
    >>> model.train()  # doctest: +SKIP
    >>> query.obs["plkd"] = model.predict(query)  # doctest: +SKIP
    """

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        patterns: Any = None,
        gene_symbols: str | None = None,
        preset: presets.Preset | Mapping[str, Any] = presets.default,
        pattern_kwargs: Mapping[str, Any] | None = None,
        teacher_kwargs: Mapping[str, Any] | None = None,
        student_kwargs: Mapping[str, Any] | None = None,
    ):
        if isinstance(preset, Mapping):
            preset = presets.Preset.from_dict(preset)
        self._settings = preset.replace(patterns=pattern_kwargs, teacher=teacher_kwargs, student=student_kwargs)
        super().__init__(adata, registry)
        self._features = np.asarray(self.get_state_registry(REGISTRY_KEYS.X_KEY)["column_names"], dtype=object)
        share = np.zeros(self._n_features, dtype=np.float32)
        if registry is not None and is_built(patterns):
            self._patterns = PatternSet.from_state(patterns)
        elif adata is None:
            raise ValueError(
                "PLKD needs a reference: pass adata, set up with PLKD.setup_anndata(adata, labels_key=...)."
            )
        if adata is not None:
            rows = Rows(get_matrix(adata, self._layer)[0])
            # A loaded model gets its constants from its file.
            if registry is None:
                share = gene_share(rows, self._scale)
                rng = np.random.default_rng(int(torch.randint(2**31, ())))
                genes = None if gene_symbols is None else _symbols(adata, gene_symbols)
                self._patterns = build_patterns(
                    patterns,
                    self._features,
                    genes=genes,
                    rows=rows,
                    scale=self._scale,
                    settings=self._settings.patterns,
                    rng=rng,
                )
        self.module = PLKDModule(
            {RNA: members_of(self._patterns)},
            {RNA: share},
            len(self.labels),
            teacher_kwargs=vars(self._settings.teacher),
            student_kwargs=vars(self._settings.student),
        )
        self.module.eval()
        self.format_ = _files.FORMAT
        self._model_summary_string = self._summary()
        # What load() needs: the built patterns and all settings, not the path or the keyword changes.
        self.init_params_ = {
            "kwargs": {},
            "non_kwargs": {"patterns": self._patterns.state(), "preset": self._settings.to_dict()},
        }

    # the reference -----------------------------------------------------------------------------------------------

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        labels_key: str,
        unlabeled_category: str = "Unknown",
        layer: str | None = None,
        batch_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register a reference.

        Adds ``obs["_scvi_labels"]``, ``obs["_scvi_batch"]`` and two identifiers in ``uns``; nothing else is changed.

        Parameters
        ----------
        adata
            Reference; cells x genes. Not a view.
        labels_key
            Column of ``adata.obs`` with the labels. Missing and empty values, and those equal to
            ``unlabeled_category``, are cells without a label; categories in use by no cell are left out.
        unlabeled_category
            Value that marks a cell without a label.
        layer
            Layer with raw counts (dense, CSR, CSC, sparse array, any number type, backed); None takes ``adata.X``.
            Log-normalised values are recognised, said and used as they are.
        batch_key
            Column of ``adata.obs`` with the batch (donor, protocol, laboratory). None: a single batch. Queries need
            no batch.
        **kwargs
            Passed to :meth:`scvi.data.AnnDataManager.register_fields`.

        Raises
        ------
        KeyError
            If a column or the layer does not exist.
        ValueError
            If ``adata`` is a view or empty, genes repeat, values are negative or not finite, there are fewer than two
            labels, or a cell lacks its batch.
        """
        source_registry = kwargs.get("source_registry")
        # Labels are compared as text.
        unlabeled_category = str(unlabeled_category).strip()
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            layer=layer,
            batch_key=batch_key,
        )
        if source_registry is None:
            check_reference(adata, labels_key, unlabeled_category, layer, batch_key)
        manager = AnnDataManager(
            fields=[
                MatrixField(REGISTRY_KEYS.X_KEY, layer),
                CodesField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category),
                CodesField(REGISTRY_KEYS.BATCH_KEY, batch_key),
            ],
            setup_method_args=setup_method_args,
        )
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the columns of ``predict(soft=True)``."""
        state = self.get_state_registry(REGISTRY_KEYS.LABELS_KEY)
        return [str(label) for label in state["categorical_mapping"] if label != state["unlabeled_category"]]

    @property
    def patterns(self) -> PatternSet:
        """The patterns in use, over the reference's genes; ``.report`` says what was dropped and why."""
        return self._patterns

    def get_var_names(self, legacy_mudata_format: bool = False) -> np.ndarray:  # noqa: FBT001, FBT002
        """Return the names of the model's genes, whatever the attached data's order is."""
        return self._features

    @property
    def _n_features(self) -> int:
        return len(self._features)

    @property
    def _layer(self) -> str | None:
        return self.registry_["setup_args"]["layer"]

    @property
    def _scale(self) -> Literal["counts", "log"]:
        return self.get_state_registry(REGISTRY_KEYS.X_KEY)["scale"]

    def _reference_cells(self) -> Cells:
        """Return the reference with label and batch codes, as the training loader reads it."""
        if self.adata is None:
            raise ValueError("The model was loaded without its reference. Fix: `PLKD.load(path, adata=ref)`.")
        # Writes the codes anew if the data were set up for another model since.
        self.adata_manager.validate()
        cells, _ = self._cells(self.adata)
        codes = self.adata_manager.get_from_registry(REGISTRY_KEYS.LABELS_KEY).ravel().astype(np.int64)
        batch = self.adata_manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY).ravel().astype(np.int64)
        labels = np.where(codes < len(self.labels), codes, -1)
        return Cells(cells.modalities, cells.n_obs, labels=labels, batch=batch)

    def _cells(self, adata: AnnData | None) -> tuple[Cells, pd.Index]:
        """Return the cells of a query, or of the reference if None, aligned to the model, and their names."""
        called = "Reference" if adata is None or adata is self.adata else "Query"
        adata = self.adata if adata is None else adata
        if adata is None:
            raise ValueError("The model was loaded without its reference: pass the data to annotate.")
        cells = open_query(
            adata,
            self._features,
            modality=RNA,
            layer=self._layer,
            share_of=lambda present: self.module.scaling[0].share_of(torch.from_numpy(present)),  # type: ignore[operator]
            trained_on=self._scale,
            called=called,
        )
        return cells, adata.obs_names

    # answers -----------------------------------------------------------------------------------------------------

    def predict(
        self,
        adata: AnnData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        model: Literal["student", "teacher"] = "student",
    ) -> np.ndarray | pd.DataFrame:
        """Predict labels.

        Parameters
        ----------
        adata
            Query, in memory, a view or backed, with the reference's layer; needs no labels and no batches. Genes are
            matched by name: any order, some missing, others extra. Not changed. None: the reference.
        indices
            Cell numbers, or a boolean mask; None: all cells.
        soft
            Return probabilities.
        batch_size
            Cells at a time; None holds about 128 MiB of dense values. Does not change the result.
        model
            Which network answers.

        Returns
        -------
        Labels, shape ``(n_cells,)``, in the order of the cells; if ``soft`` a frame cells x labels whose rows sum to 1
        (softmax of the logits; not calibrated).

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If too few of the model's genes are found, or values are negative or not finite.
        """
        logits, names = self._logits(adata, indices, batch_size, model)
        if soft:
            return inference.probability_frame(logits, self.labels, names)
        return np.array(self.labels, dtype=object)[logits.argmax(axis=1)] if len(logits) else np.array([], dtype=object)

    def annotate(
        self,
        adata: AnnData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Label each cell and say how sure that is.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`predict`.

        Returns
        -------
        Frame indexed by cell: ``label``, ``confidence`` (the label's softmax probability, in [0, 1], not calibrated)
        and ``runner_up`` (the second most probable label). Write it with :func:`plkd.add_annotation`.
        """
        logits, names = self._logits(adata, indices, batch_size, "student")
        return inference.annotation_table(inference.probability_frame(logits, self.labels, names))

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        model: Literal["student", "teacher"] = "student",
    ) -> np.ndarray:
        """Return the latent space, for neighbours and UMAP.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`predict`.
        model
            ``"student"``: its last hidden layer; ``"teacher"``: the class token after the last LayerNorm.

        Returns
        -------
        Shape ``(n_cells, n_latent)``, float32, in the order of the cells; not stored anywhere.
        """
        self._check_ready(model)
        cells, _ = self._cells(adata)
        chosen = inference.chosen_cells(cells.n_obs, indices)
        if model == "teacher":
            return _attention.run_teacher(self.module, cells, chosen, batch_size=batch_size).latent
        return self._run_student(cells, chosen, batch_size).latent

    def get_pattern_attention(
        self,
        adata: AnnData | None = None,
        *,
        groupby: str | Sequence[str] | np.ndarray | pd.Series | None = None,
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
        Frame, cells (or groups) x patterns, rows sum to 1 unless ``raw``; free tokens are named ``free_1``, ...
        Attention says where the Teacher looked, not what caused the call; compare :meth:`get_pattern_attribution`.
        """
        self._check_ready("teacher")
        cells, names = self._cells(adata)
        chosen = inference.chosen_cells(cells.n_obs, indices)
        shares = _attention.run_teacher(
            self.module, cells, chosen, batch_size=batch_size, attention=True, raw=raw
        ).rollout
        frame = pd.DataFrame(shares, index=names[chosen], columns=self._token_names())
        return self._grouped(frame, adata, groupby, chosen)

    def get_pattern_attribution(
        self,
        adata: AnnData | None = None,
        *,
        groupby: str | Sequence[str] | np.ndarray | pd.Series | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return what the Student's call rests on: gradient x input, summed over each pattern's genes.

        Parameters
        ----------
        adata, groupby, indices, batch_size
            As in :meth:`get_pattern_attention`.

        Returns
        -------
        Frame, cells (or groups) x patterns, in units of the called label's logit less the mean over labels.
        """
        self._check_ready("student")
        cells, names = self._cells(adata)
        chosen = inference.chosen_cells(cells.n_obs, indices)
        scores = inference.pattern_attribution(
            self._scaling(), self.module.student, cells, chosen, {RNA: self._patterns.membership}, batch_size=batch_size
        )
        frame = pd.DataFrame(scores, index=names[chosen], columns=list(self._patterns.names))
        return self._grouped(frame, adata, groupby, chosen)

    def _logits(
        self, adata: AnnData | None, indices: Any, batch_size: int | None, model: str
    ) -> tuple[np.ndarray, pd.Index]:
        self._check_ready(model)
        cells, names = self._cells(adata)
        chosen = inference.chosen_cells(cells.n_obs, indices)
        if model == "teacher":
            logits = _attention.run_teacher(self.module, cells, chosen, batch_size=batch_size).logits
        else:
            logits = self._run_student(cells, chosen, batch_size).logits
        return logits, names[chosen]

    def _run_student(self, cells: Cells, chosen: np.ndarray, batch_size: int | None) -> inference.StudentOutput:
        return inference.run_student(self._scaling(), self.module.student, cells, chosen, batch_size=batch_size)

    def _scaling(self) -> dict[str, Any]:
        return dict(zip(self.module.modalities, self.module.scaling, strict=True))

    def _check_ready(self, model: str) -> None:
        if model not in ("student", "teacher"):
            raise ValueError(f"model={model!r}; expected 'student' or 'teacher'.")
        if not self.is_trained_:
            raise RuntimeError("The model is not trained. Fix: `model.train()` first.")
        self.module.eval()

    def _token_names(self) -> list[str]:
        return [*self._patterns.names, *(f"free_{i + 1}" for i in range(self.module.teacher.n_free))]

    def _grouped(self, frame: pd.DataFrame, adata: AnnData | None, groupby: Any, chosen: np.ndarray) -> pd.DataFrame:
        if groupby is None:
            return frame
        if isinstance(groupby, str):
            column = obs_column(self.adata if adata is None else adata, groupby, "groupby")
            groups = as_text(column)[chosen]
        else:
            groups = as_text(pd.Series(np.asarray(groupby)))
            if len(groups) != len(frame):
                raise ValueError(f"groupby holds {len(groups)} values for {len(frame)} cells; expected one per cell.")
        return frame.groupby(pd.Index(groups, name=groupby if isinstance(groupby, str) else "group"), sort=True).mean()

    # files -------------------------------------------------------------------------------------------------------

    def export_student(self, path: str | Path, *, overwrite: bool = False) -> Annotator:
        """Write the Student as an :class:`~plkd.Annotator` and return it.

        Parameters
        ----------
        path
            Folder to write ``annotator.safetensors`` into: no code, no pickle, readable without scvi-tools.
        overwrite
            Replace an Annotator that is there.
        """
        from plkd.annotator import Annotator

        self._check_ready("student")
        annotator = Annotator(
            student=self.module.student,
            scaling=self.module.scaling[0],  # type: ignore[arg-type]
            labels=self.labels,
            patterns=self._patterns,
            layer=self._layer,
            scale=self._scale,
        )
        annotator.save(path, overwrite=overwrite)
        return Annotator.load(path)

    def save(
        self,
        dir_path: str | Path,
        prefix: str | None = None,
        overwrite: bool = False,  # noqa: FBT001, FBT002 - scvi-tools' signature
        save_anndata: bool = False,  # noqa: FBT001, FBT002
        save_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the model; the folder then holds all that :meth:`load` needs.

        The files are written beside their place and moved into it last: a kill leaves the old model or the new one.
        ``model.pt`` is scvi-tools' format, a pickle: load only files that you trust.

        Parameters
        ----------
        dir_path
            Folder.
        prefix
            Put before the file names.
        overwrite
            Replace a model that is there.
        save_anndata
            Save the reference too.
        save_kwargs
            Passed to :func:`torch.save`.
        **kwargs
            Passed to scvi-tools' ``save``.

        Raises
        ------
        ValueError
            If the folder exists and ``overwrite`` is False.
        """
        _files.check_target(Path(dir_path), overwrite)
        with _files.staged(Path(dir_path)) as staging:
            super().save(str(staging), prefix, True, save_anndata, save_kwargs, **kwargs)
        if not save_anndata:
            # The data of a model that was replaced is not this model's.
            (Path(dir_path) / f"{prefix or ''}adata.h5ad").unlink(missing_ok=True)

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | Literal[False] | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        **kwargs: Any,
    ) -> PLKD:
        """Load a saved model.

        Parameters
        ----------
        dir_path
            Folder written by :meth:`save`. Its ``model.pt`` is a pickle: load only files that you trust.
        adata
            Data to attach, e.g. the reference to train on: it gets the keys that :meth:`setup_anndata` adds; its genes
            are matched by name, it needs no labels. None attaches what the folder holds, if anything: a model without
            data predicts, explains and exports.
        accelerator, device
            Where to; as in scvi-tools.
        prefix
            As given to :meth:`save`.
        **kwargs
            Passed to scvi-tools' ``load``.

        Raises
        ------
        ValueError
            If there is no model, it is damaged, or it is of another class or of a newer version of plkd.
        """
        folder = Path(dir_path)
        _files.check_model(folder, prefix)
        if adata is None and not (folder / f"{prefix or ''}adata.h5ad").exists():
            adata = False
        _files.check_format(folder, prefix)
        return super().load(str(dir_path), adata, accelerator, device, prefix, **kwargs)

    def __repr__(self) -> str:
        return self._summary()

    def _summary(self) -> str:
        curated = sum(source != "learned" for source in self._patterns.sources)
        n_weights = sum(p.numel() for p in self.module.parameters())
        lines = [
            f"PLKD: {self._n_features} genes ({self._scale}), {len(self.labels)} labels, {len(self._patterns)} patterns "
            f"({curated} given, {len(self._patterns) - curated} learned, {self._patterns.n_memberships} memberships)",
            f"  Teacher: width {self._settings.teacher.width}, depth {self._settings.teacher.depth}; "
            f"Student: hidden {self._settings.student.n_hidden}; {n_weights:,} weights",
            "  " + self._status(),
        ]
        return "\n".join(lines)

    def _status(self) -> str:
        if not self.is_trained_:
            return "Not trained: call train()"
        epochs = [
            f"{phase.capitalize()} {len(self.history_[key])} epochs"
            for phase in ("teacher", "student")
            if self.history_ and (key := f"{phase}_loss_train") in self.history_
        ]
        return f"Trained: {', '.join(epochs)}" if epochs else "Trained"


def _symbols(adata: AnnData, key: str) -> np.ndarray:
    if key not in adata.var:
        raise KeyError(f"gene_symbols={key!r} is no column of adata.var; found {list(adata.var.columns)[:20]}.")
    return as_text(adata.var[key])
