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
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.model.base import BaseModelClass

from plkd import inference, presets
from plkd._compat import validation_without_pairing
from plkd._files import as_path, staged
from plkd.data import Cells, ModalitySpec, Rows, as_text, find_table, open_query
from plkd.model import _files
from plkd.model._confidence import ConfidenceMixin
from plkd.model._device import check_device, single_device
from plkd.model._explain import ExplanationMixin
from plkd.model._fields import KEYS, ClusterField, CodesField, ModalityField
from plkd.model._grow import as_model, check_grown, register_second, take_over
from plkd.model._labels import unlabeled_text
from plkd.model._predict import PredictionMixin
from plkd.model._reference import ReferenceTable, build_patterns, is_built, scaling_constants
from plkd.model._report import ReportMixin
from plkd.model._setup import (
    anndata_specs,
    check_attached,
    check_container,
    check_reference,
    check_transfer,
    check_usable,
    mudata_specs,
    refusing_other_data,
)
from plkd.model._train import TrainingMixin
from plkd.module import PLKDModule
from plkd.patterns import KINDS, PatternSet
from plkd.train._check import check_settings

if TYPE_CHECKING:
    from plkd.annotator import Annotator

logger = logging.getLogger("plkd")


class PLKD(TrainingMixin, ConfidenceMixin, PredictionMixin, ExplanationMixin, ReportMixin, BaseModelClass):
    """Annotate cells by pattern learning and knowledge distillation :cite:p:`Zhang26`.

    A Transformer Teacher reads each cell as patterns (sets of genes, proteins or peaks) and learns the reference's
    labels; a small MLP Student is distilled from it and annotates.

    Parameters
    ----------
    adata
        Reference registered with :meth:`setup_anndata` or :meth:`setup_mudata`. None only when a saved model is loaded.
    registry
        Registry of a saved model; given by :meth:`load`.
    patterns
        Path of a GMT file or table, ``{name: genes}``, a table with columns ``source`` and ``target``, a
        :class:`~plkd.PatternSet`, or the name of a collection (:func:`plkd.patterns.collection`): ``"immune"`` is
        bundled, ``"hallmark"`` and others are downloaded. Sets of genes serve proteins too, through
        the genes that encode them; sets for each kind come from :func:`plkd.patterns.concat`. Patterns for the
        features that these leave out are learned from the reference; None learns all.
    gene_symbols
        Column of ``var`` of the RNA with the names to look up in ``patterns``, for a reference indexed by other
        identifiers. None looks up ``var_names``.
    peak_genes
        Genes near each peak (:func:`plkd.patterns.from_peaks`), by which sets of genes in ``patterns`` serve the peaks too.
        None: patterns of peaks are learned, unless ``patterns`` holds some.
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
    >>> plkd.PLKD.setup_anndata(ref, labels_key="cell_type", batch_key="batch")
    >>> model = plkd.PLKD(ref)
    >>> model.train(max_epochs=2, enable_progress_bar=False)  # by default as many epochs as it takes
    >>> query.obs["plkd"] = model.predict(query)
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        patterns: Any = None,
        gene_symbols: str | None = None,
        peak_genes: Mapping[str, Sequence[str]] | None = None,
        preset: presets.Preset | Mapping[str, Any] = presets.default,
        pattern_kwargs: Mapping[str, Any] | None = None,
        teacher_kwargs: Mapping[str, Any] | None = None,
        student_kwargs: Mapping[str, Any] | None = None,
    ):
        self._settings = _settings(preset, patterns=pattern_kwargs, teacher=teacher_kwargs, student=student_kwargs)
        if not isinstance(peak_genes, Mapping | None):
            raise TypeError(
                f"peak_genes is a {type(peak_genes).__name__}; expected {{peak: genes}}, as plkd.patterns.from_peaks returns it."
            )
        if adata is None and registry is None:
            raise ValueError(
                "PLKD needs a reference. Fix: `PLKD(adata)`, after `PLKD.setup_anndata(adata, labels_key=...)`."
            )
        if adata is not None:
            check_usable(adata)
        with refusing_other_data(adata):
            super().__init__(adata, registry)
        self._specs = [
            ModalitySpec.from_dict(self.get_state_registry(key)[ModalityField.SPEC_KEY])
            for key in KEYS.values()
            if key in self.registry_["field_registries"]
        ]
        constants = None
        if registry is not None and is_built(patterns):
            # A loaded model gets its constants from its file.
            self._patterns = PatternSet.from_state(patterns)
        elif adata is None:
            raise ValueError(
                "PLKD needs a reference: pass adata, set up with PLKD.setup_anndata(adata, labels_key=...)."
            )
        else:
            tables = [self._reference_table(adata, spec, gene_symbols, peak_genes) for spec in self._specs]
            constants = {table.spec.kind: scaling_constants(table) for table in tables}
            rng = np.random.default_rng(int(torch.randint(2**31, ())))
            self._patterns = build_patterns(patterns, tables, settings=self._settings.patterns, rng=rng)
        self._memberships = inference.membership_by_kind(self._patterns, self._specs)
        self.module = PLKDModule(
            {kind: inference.members(membership) for kind, membership in self._memberships.items()},
            {spec.kind: len(spec.features) for spec in self._specs},
            len(self.labels),
            constants=constants,
            teacher_kwargs=vars(self._settings.teacher),
            student_kwargs=vars(self._settings.student),
        )
        self.module.eval()
        self.format_ = _files.FORMAT
        # Instance attributes, since scvi-tools saves those alone.
        self.confidence_, self.held_out_, self.training_ = None, None, None
        self.doubtful_indices_ = np.array([], dtype=np.int64)
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
        labels_key: str | None,
        unlabeled_category: str = "Unknown",
        layer: str | None = None,
        batch_key: str | None = None,
        protein_expression_obsm_key: str | None = None,
        protein_names_uns_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register a reference.

        Adds ``obs["_scvi_labels"]``, ``obs["_scvi_batch"]`` and two identifiers in ``uns``; nothing else is changed.

        Parameters
        ----------
        adata
            Reference; cells x genes. Not a view.
        labels_key
            Column of ``adata.obs`` with the labels, read as text without spaces around it (1, 1.0 and ``"1"`` are one
            label). Missing and empty values, and those equal to ``unlabeled_category``, are cells without a label;
            categories in use by no cell are left out. Labels keep the order of the categories; those of a column without
            categories are sorted. None: no labels; clusters stand in for them, and the model integrates (several batches need
            harmonypy).
        unlabeled_category
            Value that marks a cell without a label; of any type.
        layer
            Layer with raw counts (dense, CSR, CSC, sparse array, any number type, backed); None takes ``adata.X``.
            Log-normalised values are recognised, said and used as they are.
        batch_key
            Column of ``adata.obs`` with the batch (donor, protocol, laboratory). None: a single batch. Queries need
            no batch.
        protein_expression_obsm_key
            Key of ``adata.obsm`` with raw protein (ADT) counts, a DataFrame or an array; None: RNA alone.
        protein_names_uns_key
            Key of ``adata.uns`` with the names of the columns of that array; None where it is a DataFrame.
        **kwargs
            Passed to :meth:`scvi.data.AnnDataManager.register_fields`.

        Raises
        ------
        KeyError
            If a column, the layer or a key does not exist.
        ValueError
            If ``adata`` is a view or empty, genes repeat, values are negative or not finite, there are fewer than two
            labels, or a cell lacks its batch.

        Examples
        --------
        >>> plkd.PLKD.setup_anndata(ref, labels_key="cell_type", batch_key="batch")
        """
        loading = check_transfer(kwargs)
        unlabeled_category = unlabeled_text(unlabeled_category)
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            layer=layer,
            batch_key=batch_key,
            protein_expression_obsm_key=protein_expression_obsm_key,
            protein_names_uns_key=protein_names_uns_key,
        )
        if not loading:
            check_container(adata, AnnData, "adata")
        specs = anndata_specs(adata, layer, protein_expression_obsm_key, protein_names_uns_key, complete=not loading)
        if not loading:
            check_reference(adata, specs, labels_key, unlabeled_category, batch_key)
        cls._register(adata, specs, setup_method_args, kwargs)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        labels_key: str | None,
        rna_layer: str | None = None,
        protein_layer: str | None = None,
        atac_layer: str | None = None,
        batch_key: str | None = None,
        unlabeled_category: str = "Unknown",
        modalities: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register a reference of one, two or three modalities: RNA, protein (ADT), ATAC.

        Adds ``mdata.obs["_scvi_labels"]``, ``mdata.obs["_scvi_batch"]`` and two identifiers in ``mdata.uns``; nothing
        else is changed or reordered. Cells are matched by name; each needs to be in one of the modalities at least.

        Parameters
        ----------
        mdata
            Reference; modalities that share cells (``axis=0``). Not a view.
        labels_key
            Column of ``mdata.obs`` or, failing that, of ``obs`` of the modalities, with the labels, read as
            :meth:`setup_anndata` does. Missing and empty values, and those equal to ``unlabeled_category``, are cells
            without a label. None: no labels; clusters of the cells stand in for them, and the model integrates (several
            batches need harmonypy).
        rna_layer, protein_layer, atac_layer
            Layers of the modalities with raw counts; None takes ``X``.
        batch_key
            Column with the batch, looked up as ``labels_key``. None: a single batch. Queries need no batch.
        unlabeled_category
            Value that marks a cell without a label.
        modalities
            Which modality is which: ``{"rna_layer": name, "protein_layer": name, "atac_layer": name}``, those there are.
            None goes by usual names (``rna``, ``prot``, ``protein``, ``adt``, ``atac``, ...) and says so.
        **kwargs
            Passed to :meth:`scvi.data.AnnDataManager.register_fields`.

        Raises
        ------
        KeyError
            If a modality, a column or a layer does not exist.
        ValueError
            If ``mdata`` is a view or empty, a cell is in none of the modalities, features repeat, values are negative or
            not finite, proteins or peaks are normalised, there are fewer than two labels, or a cell lacks its batch.

        Examples
        --------
        >>> names = {"rna_layer": "rna", "protein_layer": "prot", "atac_layer": "atac"}
        >>> plkd.PLKD.setup_mudata(mdata, labels_key="cell_type", batch_key="batch", modalities=names)
        """
        unlabeled_category = unlabeled_text(unlabeled_category)
        layers = {"rna": rna_layer, "protein": protein_layer, "atac": atac_layer}
        # Kinds added later have their argument among kwargs, so that adding one does not touch this signature.
        others = {f"{kind}_layer": kwargs.pop(f"{kind}_layer", None) for kind in KINDS if kind not in layers}
        layers |= {argument.removesuffix("_layer"): layer for argument, layer in others.items()}
        loading = check_transfer(kwargs)
        if not loading:
            check_container(mdata, MuData, "mdata")
        specs = mudata_specs(mdata, layers, modalities, complete=not loading)
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            mdata=mdata,
            labels_key=labels_key,
            rna_layer=rna_layer,
            protein_layer=protein_layer,
            atac_layer=atac_layer,
            **others,
            batch_key=batch_key,
            unlabeled_category=unlabeled_category,
            modalities={f"{spec.kind}_layer": spec.name for spec in specs},
        )
        if not loading:
            check_reference(mdata, specs, labels_key, unlabeled_category, batch_key)
        cls._register(mdata, specs, setup_method_args, kwargs)

    @classmethod
    def _register(
        cls, data: AnnData | MuData, specs: Sequence[ModalitySpec], setup_method_args: dict[str, Any], kwargs: Any
    ) -> None:
        asked = setup_method_args["setup_args"]
        labels_key, missing, batch_key = asked["labels_key"], asked["unlabeled_category"], asked["batch_key"]
        labels = (
            CodesField(REGISTRY_KEYS.LABELS_KEY, labels_key, missing)
            if labels_key is not None
            else ClusterField(REGISTRY_KEYS.LABELS_KEY, specs, batch_key, missing)
        )
        manager = AnnDataManager(
            fields=[
                *(ModalityField(spec) for spec in specs),
                labels,
                CodesField(REGISTRY_KEYS.BATCH_KEY, batch_key),
            ],
            setup_method_args=setup_method_args,
            validation_checks=validation_without_pairing(),
        )
        manager.register_fields(data, **kwargs)
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

    def get_var_names(self, legacy_mudata_format: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Return the names of the model's features, whatever the attached data's order is.

        Parameters
        ----------
        legacy_mudata_format
            Of a MuData, one array with the names of all modalities instead of a dict.

        Examples
        --------
        >>> len(model.get_var_names())
        60
        """
        names = {spec.called: np.asarray(spec.features, dtype=object) for spec in self._specs if spec.obsm is None}
        if self._specs[0].name is None:
            return names[self._specs[0].called]
        return np.concatenate(list(names.values())) if legacy_mudata_format else names

    def _reference_table(
        self, adata: AnnData | MuData, spec: ModalitySpec, gene_symbols: str | None, peak_genes: Any
    ) -> ReferenceTable:
        table = find_table(adata, spec)
        if table is None:
            raise ValueError(f"The reference has lost its {spec.called}. Fix: set it up again.")
        genes = peak_genes if spec.kind == "atac" else None
        if gene_symbols is not None and spec.kind == "rna":
            genes = _symbols(adata if spec.name is None else adata.mod[spec.name], gene_symbols)
        return ReferenceTable(spec, Rows(table.matrix), genes)

    def _reference_cells(self) -> Cells:
        """Return the reference with label and batch codes, as the training loader reads it."""
        if self.adata is None:
            raise ValueError("The model was loaded without its reference. Fix: `PLKD.load(path, adata=ref)`.")
        # Writes the codes anew if the data were set up for another model since.
        self.adata_manager.validate()
        cells, _ = self._cells(self.adata)
        # Of tables left on the disk they are no arrays of numpy.
        codes, batch = (
            np.asarray(self.adata_manager.get_from_registry(key)).ravel().astype(np.int64)
            for key in (REGISTRY_KEYS.LABELS_KEY, REGISTRY_KEYS.BATCH_KEY)
        )
        labels = np.where(codes < len(self.labels), codes, -1)
        return Cells(cells.modalities, cells.n_obs, labels=labels, batch=batch)

    def _cells(self, adata: AnnData | MuData | None) -> tuple[Cells, pd.Index]:
        """Return the cells of a query, or of the reference if None, aligned to the model, and their names."""
        own = adata is None or adata is self.adata
        adata = self._attached(adata)
        return open_query(adata, self._specs, called="Reference" if own else "Query", told=own), adata.obs_names

    def _attached(self, adata: AnnData | MuData | None) -> AnnData | MuData:
        """Return the data, or the reference if None."""
        adata = self.adata if adata is None else adata
        if adata is None:
            raise ValueError("The model was loaded without its reference: pass the data to annotate.")
        return adata

    def adapt(
        self,
        adata: AnnData | MuData,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Annotator:
        """Return an :class:`~plkd.Annotator` for data sets that see features as this query does.

        Another protocol, laboratory or species catches more of some genes and less of others, in cells of all types. How much
        more, the query's own cells tell by what they are called, without any label (:meth:`plkd.Annotator.adapt`).

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`predict`: cells of one batch and of several types.
        progress
            Show a progress bar.

        Returns
        -------
        The Student, adapted, with all that an Annotator does. The model stays as it is, and shares nothing with it.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If it was not calibrated, or there are no cells; else as in :meth:`predict`.

        Examples
        --------
        >>> table = model.adapt(query).annotate(query)
        """
        return self._annotator().adapt(adata, indices=indices, batch_size=batch_size, progress=progress)

    # files -------------------------------------------------------------------------------------------------------

    def export_student(self, path: str | Path, *, card: str | None = None, overwrite: bool = False) -> Annotator:
        """Write the Student as an :class:`~plkd.Annotator` and return it.

        Parameters
        ----------
        path
            Folder to write ``annotator.safetensors`` into: no code, no pickle, readable without scvi-tools.
        card
            Text that goes with it, :attr:`Annotator.card <plkd.Annotator.card>`. None takes :meth:`model_card`, which a
            description of yours makes better.
        overwrite
            Replace an Annotator that is there.

        Examples
        --------
        >>> annotator = model.export_student("blood/")
        >>> annotator.labels
        ['type_0', 'type_1', 'type_2']
        """
        from plkd.annotator import Annotator

        self._annotator(card).save(path, overwrite=overwrite)
        return Annotator.load(path)

    def _annotator(self, card: str | None = None) -> Annotator:
        """Return the Student as an Annotator that shares its weights."""
        from plkd.annotator import Annotator

        self._check_ready("student")
        return Annotator(
            student=self.module.student,
            scaling=self._scaling(),
            labels=self.labels,
            patterns=self._patterns,
            specs=self._specs,
            confidence=self._confidence,
            card=self.model_card() if card is None else card,
        )

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

        Examples
        --------
        >>> model.save("mine/", save_anndata=True)
        >>> plkd.PLKD.load("mine/").labels
        ['type_0', 'type_1', 'type_2']
        """
        folder = as_path(dir_path, "dir_path")
        _files.check_prefix(prefix)
        _files.check_target(folder, overwrite)
        self.data_file_ = _files.name_data(self.adata) if save_anndata else None
        with staged(folder) as staging:
            with _files.refusing_to_write(with_data=save_anndata):
                super().save(str(staging), prefix, True, save_anndata, save_kwargs, **kwargs)
            _files.check_whole(staging / f"{prefix or ''}model.pt")
            if self.data_file_ is not None:
                _files.rename_data(staging, prefix, self.data_file_, self.adata)
        _files.remove_old_data(folder, prefix, keep=self.data_file_)

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | MuData | Literal[False] | None = None,
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
            Where to; as in scvi-tools. A number is the index of a GPU.
        prefix
            As given to :meth:`save`.
        **kwargs
            Passed to scvi-tools' ``load``.

        Raises
        ------
        ValueError
            If there is no model, it is damaged, or it is of another class or of a newer version of plkd; if ``adata`` is a
            view.
        TypeError
            If ``adata`` is an AnnData and the reference was a MuData, or the other way round.

        Examples
        --------
        >>> model = plkd.PLKD.load("model/", adata=ref)
        >>> model.is_trained
        True
        """
        folder = as_path(dir_path, "dir_path")
        _files.check_prefix(prefix)
        device = single_device(accelerator, device)
        check_device(accelerator, device, called="device", single=True)
        _files.check_model(folder, prefix)
        with _files.in_present_format(folder, prefix, class_name=cls.__name__) as (current, attributes):
            if adata is None:
                adata = _files.saved_data(folder, prefix, attributes)
            if adata is None or adata is False:
                adata = False
            else:
                of_mudata = attributes["registry_"]["setup_method_name"] == "setup_mudata"
                check_attached(adata, MuData if of_mudata else AnnData)
            with _files.refusing_other_weights(folder):
                return super().load(str(current), adata, accelerator, device, prefix, **kwargs)

    @classmethod
    def load_query_data(cls, adata: AnnData | MuData, reference_model: PLKD | str | Path) -> PLKD:
        """Return a copy of a trained model that learns on, by ``train()``, with a second labelled reference.

        Parameters
        ----------
        adata
            The second reference, with the columns and layers that the first was set up with; it gets the keys that setup adds.
            Its features are matched to the model's by name, as a query's are: those the model does not know are not learned.
        reference_model
            A trained model, or the folder it was saved in. Not changed.

        Returns
        -------
        A model with the weights, patterns and scaling of the first. Its labels are the old ones, in their order, and behind
        them the new ones, in that of the categories of ``adata``. No weight is frozen, and it predicts once it has trained:
        ``train(earlier=first_reference)`` keeps what only the first reference shows; without it, labels that ``adata`` lacks
        are forgotten.

        Raises
        ------
        TypeError
            If ``adata`` is not of the first reference's type, or ``reference_model`` no model.
        ValueError
            If the model is not trained or has clusters for labels, ``adata`` has no label, or too few features are found; else
            as in :meth:`setup_anndata`.
        KeyError
            If a column or a layer does not exist.

        Examples
        --------
        >>> model = plkd.PLKD.load_query_data(second, "model/")
        >>> model.train(max_epochs=2, earlier=ref, enable_progress_bar=False)
        >>> model.labels
        ['type_0', 'type_1', 'type_2', 'type_3']
        """
        old = as_model(cls, reference_model)
        check_grown(old, cls)
        register_second(cls, adata, old.registry, old._specs)
        model = cls(adata, registry=old.registry, patterns=old._patterns.state(), preset=old._settings)
        model.to_device(old.device)
        take_over(model.module, old.module.state_dict())
        # What it says of new labels is chance until it has trained.
        model.grown_ = True
        return model

    def __repr__(self) -> str:
        return self._summary()

    def _summary(self) -> str:
        curated = sum(source != "learned" for source in self._patterns.sources)
        n_weights = sum(p.numel() for p in self.module.parameters())
        lines = [
            f"PLKD: {inference.features_in_words(self._specs)}, {len(self.labels)} labels, {len(self._patterns)} patterns "
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


def _settings(preset: Any, **changes: Mapping[str, Any] | None) -> presets.Preset:
    if isinstance(preset, Mapping):
        preset = presets.Preset.from_dict(preset)
    if not isinstance(preset, presets.Preset):
        raise TypeError(
            f"preset is a {type(preset).__name__}; expected one of plkd.presets. Fix: `preset=plkd.presets.default`."
        )
    preset = preset.replace(**changes)
    for part in ("patterns", "scaling", "teacher", "student"):
        check_settings(part, getattr(preset, part))
    return preset


def _symbols(adata: AnnData, key: str) -> np.ndarray:
    if not isinstance(key, str) or key not in adata.var:
        there = list(adata.var.columns)[:20]
        raise KeyError(f"gene_symbols={key!r} is no column of var of the RNA; expected one of {there}, or None.")
    return as_text(adata.var[key])
