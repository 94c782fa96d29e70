"""`Annotator`: the Student alone, with its scaling, labels, features and patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from plkd import inference
from plkd._arguments import check_type
from plkd._download import download, is_address
from plkd._files import as_path, staged
from plkd.align import AlignmentReport
from plkd.annotator._file import FILE_NAME, read_annotator, write_annotator
from plkd.annotator._state import from_state, to_state
from plkd.confidence import Confidence
from plkd.data import Cells, ModalitySpec, open_file, open_query
from plkd.nn import InputScaling, Student
from plkd.patterns import PatternSet


class Annotator:
    """Annotate with an exported Student.

    Made by :meth:`plkd.PLKD.export_student` and :meth:`load`; needs neither scvi-tools nor the Teacher.

    Parameters
    ----------
    student
        The network.
    scaling
        Its input scaling by kind of features.
    labels
        In the order of the Student's outputs.
    patterns
        Over the features of all modalities.
    specs
        The modalities: kind, features, and where queries have them.
    confidence
        What held-out cells say about the Student's answers; None: not calibrated.
    card
        What the Student was trained on, as Markdown; None: not known.

    Examples
    --------
    >>> annotator = plkd.Annotator.load("annotator/")
    >>> table = annotator.annotate("query.h5ad")
    """

    def __init__(
        self,
        *,
        student: Student,
        scaling: Mapping[str, InputScaling],
        labels: Sequence[str],
        patterns: PatternSet,
        specs: Sequence[ModalitySpec],
        confidence: Confidence | None = None,
        card: str | None = None,
    ):
        if card is not None:
            check_type("card", card, str, "text, as `model.model_card()` returns it, or None")
        self._student = student.eval()
        self._scaling = dict(scaling)
        self.labels = list(labels)
        self.patterns = patterns
        self.modalities = tuple(specs)
        self.confidence = confidence
        #: What the Student was trained on and how good it is, in Markdown. None where nobody said.
        self.card = card

    @property
    def features(self) -> dict[str, np.ndarray]:
        """Names of the features the Student reads, in its order, by kind (``rna``, ``protein``, ``atac``)."""
        return {spec.kind: np.asarray(spec.features, dtype=object) for spec in self.modalities}

    def predict(
        self,
        adata: AnnData | MuData | str | Path,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        modality: str = "joint",
        progress: bool = False,
        client: Any = None,
    ) -> np.ndarray | pd.DataFrame:
        """Predict labels, as :meth:`plkd.PLKD.predict` does.

        Parameters
        ----------
        adata
            Query, in memory, a view, backed, or of arrays of dask or zarr; or the path of an ``.h5ad``, ``.h5mu`` or
            ``.zarr`` file, which is read in blocks. It may lack some of the modalities.
        indices
            Cell numbers, or a boolean mask; None: all cells.
        soft
            Return probabilities, cells x labels, rows sum to 1, calibrated where the model was.
        batch_size
            Cells of a mini-batch, of which up to four are computed at once on a CPU; None: these hold about 128 MiB of dense values.
        modality
            ``"joint"`` uses all that a cell was measured in; the name of a modality, or its kind, uses that alone.
        progress
            Show a progress bar.
        client
            A ``dask.distributed.Client``, whose workers then read and annotate the cells; ``adata`` is the path of a file
            that they all see, or holds arrays of dask. None: this process does.

        Raises
        ------
        TypeError
            If ``client`` is none, or the workers cannot read ``adata``.

        Examples
        --------
        >>> plkd.Annotator.load("annotator/").predict("query.h5ad").shape
        (60,)
        """
        logits, measured, names = self._run(
            adata, indices, batch_size, modality, run=inference.student_logits, progress=progress, client=client
        )
        if soft:
            return inference.probability_frame(logits, self.labels, names, self.confidence, measured)
        return np.array(self.labels, dtype=object)[logits.argmax(axis=1)] if len(logits) else np.array([], dtype=object)

    def annotate(
        self,
        adata: AnnData | MuData | str | Path,
        *,
        unknown: Literal["auto"] | float | None = None,
        unknown_label: str = "Unknown",
        indices: Sequence[int] | np.ndarray | None = None,
        over_clustering: str | Sequence[Any] | np.ndarray | pd.Series | None = None,
        batch_size: int | None = None,
        modality: str = "joint",
        progress: bool = False,
        client: Any = None,
    ) -> pd.DataFrame:
        """Return label, confidence, novelty and more of each cell, as :meth:`plkd.PLKD.annotate` does.

        Parameters
        ----------
        adata, indices, batch_size, modality, progress, client
            As in :meth:`predict`.
        unknown, unknown_label, over_clustering
            As in :meth:`plkd.PLKD.annotate`.

        Examples
        --------
        >>> table = plkd.Annotator.load("annotator/").annotate(query, unknown=0.05)
        >>> list(table)
        ['label', 'confidence', 'novelty', 'runner_up', 'rejected', 'reason']
        """
        inference.rejection_rate(unknown, unknown_label, self.labels, self.confidence)
        inference.check_client(client, adata)
        with _opened(adata) as data:
            cells, names, chosen = self._chosen(data, indices, modality)
            clusters = inference.clusters_of(data, over_clustering, chosen)
            return inference.annotate(
                self._scaling,
                self._student,
                cells,
                chosen,
                self.labels,
                names[chosen],
                self.confidence,
                unknown=unknown,
                unknown_label=unknown_label,
                clusters=clusters,
                batch_size=batch_size,
                progress="Annotating" if progress else None,
                outputs=self._outputs(client, adata, cells, modality),
            )

    def predict_sets(
        self,
        adata: AnnData | MuData | str | Path,
        *,
        coverage: float = 0.9,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        modality: str = "joint",
    ) -> pd.DataFrame:
        """Return for each cell a set of labels that holds the right one, as :meth:`plkd.PLKD.predict_sets` does.

        Parameters
        ----------
        adata, indices, batch_size, modality
            As in :meth:`predict`.
        coverage
            Share of the cells of each label whose set holds it, in (0, 1).

        Examples
        --------
        >>> plkd.Annotator.load("annotator/").predict_sets(query).shape
        (60, 3)
        """
        confidence = inference.check_coverage(coverage, self.confidence)
        output, measured, names = self._run(adata, indices, batch_size, modality)
        return inference.set_frame(output, measured, self.labels, names, confidence, float(coverage))

    def get_latent_representation(
        self,
        adata: AnnData | MuData | str | Path,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        modality: str = "joint",
    ) -> np.ndarray:
        """Return the Student's last hidden layer, shape ``(n_cells, n_latent)``, float32.

        Parameters
        ----------
        adata, indices, batch_size, modality
            As in :meth:`predict`.

        Examples
        --------
        >>> plkd.Annotator.load("annotator/").get_latent_representation(query).shape
        (60, 8)
        """
        return self._run(adata, indices, batch_size, modality)[0].latent

    def get_pattern_attribution(
        self,
        adata: AnnData | MuData | str | Path,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return what each call rests on, cells x patterns, as :meth:`plkd.PLKD.get_pattern_attribution` does.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`predict`.

        Examples
        --------
        >>> plkd.Annotator.load("annotator/").get_pattern_attribution(query).shape
        (60, 6)
        """
        with _opened(adata) as data:
            cells, names, chosen = self._chosen(data, indices)
            scores = inference.pattern_attribution(
                self._scaling,
                self._student,
                cells,
                chosen,
                inference.membership_by_kind(self.patterns, self.modalities),
                batch_size=batch_size,
            )
        columns = [name for own in inference.names_by_kind(self.patterns, self.modalities).values() for name in own]
        return pd.DataFrame(scores, index=names[chosen], columns=columns)

    def adapt(
        self,
        adata: AnnData | MuData | str | Path,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Annotator:
        """Return an Annotator for data sets that see features as this one does.

        Another protocol, laboratory or species catches more of some genes and less of others, in cells of all types. How much
        more, the query's own cells tell by what they are called, without any label; the new Annotator makes up for it. It pays
        where the query is far from the reference; where it is near, calls hardly change.

        Parameters
        ----------
        adata, indices, batch_size, progress
            As in :meth:`predict`: cells of one batch and of several types, of which about 10,000 are looked at. A query of several
            batches is best adapted to batch by batch.

        Returns
        -------
        An Annotator as any other, to annotate these cells or others of their kind, in any parts, or to be saved; its card says
        that it was adapted. This one stays as it is.

        Raises
        ------
        ValueError
            If it was not calibrated, or there are no cells; else as in :meth:`predict`.

        Notes
        -----
        What most labels say of a feature is made up for, so a query of one type, rightly called, changes nothing. Cells to annotate
        should have the features that were adapted to. Cells of types that the
        reference lacks are taken for the types that they are called; where many are such, or many calls wrong, part of
        what tells them apart is made up for too: compare ``novelty`` with that of this Annotator. Formulas:
        :func:`plkd.inference.adapt`.

        Examples
        --------
        >>> annotator = plkd.Annotator.load("annotator/")
        >>> table = annotator.adapt(query).annotate(query)
        """
        confidence = inference.check_adaptable(self.confidence)
        with _opened(adata) as data:
            cells, _, chosen = self._chosen(data, indices)
            if not len(chosen):
                raise ValueError(
                    "There are no cells to adapt to. Fix: pass a query that has some, or `indices` of some of its cells."
                )
            scaling, student, confidence = inference.adapt(
                self._scaling,
                self._student,
                cells,
                chosen,
                confidence,
                batch_size=batch_size,
                progress="Adapting" if progress else None,
            )
        other = copy(self)
        other._scaling, other._student, other.confidence, other.labels = scaling, student, confidence, list(self.labels)
        if self.card is not None:
            other.card = (
                f"{self.card.rstrip()}\n\nAdapted to a query of {len(chosen):,} cells, after all that is said above.\n"
            )
        return other

    def _chosen(
        self, data: AnnData | MuData, indices: Any, modality: str = "joint"
    ) -> tuple[Cells, pd.Index, np.ndarray]:
        """Return a query's cells, aligned, their names, and the numbers of those chosen."""
        kind = inference.kind_of(modality, self.modalities)
        cells, names = open_query(data, self.modalities), data.obs_names
        chosen = inference.chosen_cells(cells.n_obs, indices)
        return inference.restricted(cells, kind, chosen, names), names, chosen

    def _run(
        self,
        adata: AnnData | MuData | str | Path,
        indices: Any,
        batch_size: int | None,
        modality: str,
        *,
        run: Callable[..., Any] = inference.run_student,
        progress: bool = False,
        client: Any = None,
    ) -> tuple[Any, np.ndarray, pd.Index]:
        """Return what ``run`` returns of the Student, what each cell was measured in, and the cells' names."""
        inference.check_client(client, adata)
        with _opened(adata) as data:
            cells, names, chosen = self._chosen(data, indices, modality)
            output = run(
                self._scaling,
                self._student,
                cells,
                chosen,
                batch_size=batch_size,
                progress="Annotating" if progress else None,
                outputs=self._outputs(client, adata, cells, modality),
            )
            return output, cells.measured()[chosen], names[chosen]

    def _outputs(
        self, client: Any, adata: Any, cells: Cells, modality: str
    ) -> Callable[..., Iterable[inference.StudentOutput]]:
        """Return what runs the Student: this process, or the workers of a cluster."""
        if client is None:
            return inference.student_outputs
        source = str(Path(adata).absolute()) if isinstance(adata, str | Path) else cells
        kind = inference.kind_of(modality, self.modalities)
        return partial(inference.cluster_outputs, client, source, self.modalities, kind)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write ``annotator.safetensors`` into a folder.

        Parameters
        ----------
        path
            Folder; made if it does not exist.
        overwrite
            Replace an Annotator that is there.

        Raises
        ------
        ValueError
            If there is one and ``overwrite`` is False, or ``path`` is a file.

        Examples
        --------
        >>> plkd.Annotator.load("annotator/").save("copy/")
        """
        folder = as_path(path, "path")
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; expected a folder. Fix: name another path.")
        file = folder / FILE_NAME
        if file.exists() and not overwrite:
            raise ValueError(f"{file} already exists. Fix: name another folder, or pass overwrite=True.")
        tensors, about = to_state(
            student=self._student,
            scaling=self._scaling,
            labels=self.labels,
            patterns=self.patterns,
            specs=self.modalities,
            confidence=self.confidence,
            card=self.card,
        )
        with staged(folder) as staging:
            write_annotator(staging / FILE_NAME, tensors, about)

    @classmethod
    def load(cls, path: str | Path, *, known_hash: str | None = None, cache_dir: str | Path | None = None) -> Annotator:
        """Load an Annotator; nothing in its file is executed.

        Parameters
        ----------
        path
            Folder written by :meth:`save`, the file in it, or the address of such a file, with ``http://`` or
            ``https://``: it is downloaded once, checked and kept (needs pooch).
        known_hash
            Of an address: ``sha256:`` or ``md5:``, then the checksum of the file, as its author gives it. There is no way
            around it. None: ``path`` is no address.
        cache_dir
            Of an address: folder to keep the file in. None takes the environment variable ``PLKD_CACHE``, or else the
            system's cache folder, such as ``~/.cache/plkd``.

        Raises
        ------
        ValueError
            If there is none, a byte of it changed, or it is of a newer format; of an address also if the checksum is missing
            or differs (nothing is kept).
        ImportError
            If ``path`` is an address and pooch is not installed.
        OSError
            If the download fails or ends early (nothing is kept).

        Examples
        --------
        >>> annotator = plkd.Annotator.load("annotator/")
        >>> address = "https://example.org/pbmc/annotator.safetensors"
        >>> annotator = plkd.Annotator.load(address, known_hash="sha256:...")  # doctest: +SKIP
        >>> print(annotator.card)  # doctest: +SKIP
        """
        if is_address(path):
            return cls._from_address(str(path), known_hash, cache_dir)
        for argument, value in (("known_hash", known_hash), ("cache_dir", cache_dir)):
            if value is not None:
                raise ValueError(
                    f"{argument} goes with an address, and {str(path)!r} is none. Fix: `plkd.Annotator.load({str(path)!r})`."
                )
        place = as_path(path, "path")
        tensors, about = read_annotator(place)
        try:
            return cls(**from_state(tensors, about))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise ValueError(
                f"{place} lacks parts of an Annotator ({type(error).__name__}: {error}), though its checksum fits. Fix: "
                "export it again."
            ) from error

    @classmethod
    def _from_address(cls, url: str, known_hash: str | None, cache_dir: str | Path | None) -> Annotator:
        file = download(url, known_hash, cache_dir)
        try:
            return cls.load(file)
        except ValueError as error:
            raise ValueError(
                f"{url} is the file with that checksum, but it cannot be used: {error} Fix: give the address of an "
                f"{FILE_NAME}, and its checksum."
            ) from error

    def alignment_report(self, adata: AnnData | MuData | str | Path) -> AlignmentReport:
        """Say which of the Student's features a query has, overall and pattern by pattern.

        Parameters
        ----------
        adata
            As in :meth:`predict`; only its names are looked at.

        Raises
        ------
        ValueError
            As in :meth:`predict`, if too few features are found.

        Examples
        --------
        >>> plkd.Annotator.load("annotator/").alignment_report(query[:, :45]).fraction
        0.75
        """
        with _opened(adata) as query:
            return inference.alignment_report(query, self.patterns, self.modalities)

    def rename_features(self, mapping: Mapping[str, str] | pd.Series) -> Annotator:
        """Return this Annotator under other names of its features: other identifiers, or orthologues.

        Parameters
        ----------
        mapping
            Dict or Series, name in :attr:`features` to new name. Features that are not in it, or have no new name there
            (missing, empty), keep theirs; names that are no features are ignored. It applies to all modalities.

        Returns
        -------
        A new Annotator, to be saved as any other; its patterns hold the new names too, and it shares the weights of this
        one, which stays as it is.

        Raises
        ------
        TypeError
            If ``mapping`` is neither a dict nor a Series.
        ValueError
            If it holds none of the features, gives one two names, or two features of a modality would get one name.

        Examples
        --------
        >>> human = plkd.Annotator.load("annotator/")
        >>> mouse = human.rename_features({name: name.capitalize() for name in human.features["rna"]})
        >>> mouse.features["rna"][0]
        'Gene000'
        """
        other = copy(self)
        other.patterns, other.modalities = inference.rename_features(self.patterns, self.modalities, mapping)
        return other

    def __repr__(self) -> str:
        features = inference.features_in_words(self.modalities)
        return f"Annotator: {features}, {len(self.labels)} labels, {len(self.patterns)} patterns"


@contextmanager
def _opened(adata: AnnData | MuData | str | Path) -> Iterator[AnnData | MuData]:
    """Give the data; a file opened here is closed again."""
    if not isinstance(adata, str | Path):
        yield adata
        return
    with open_file(as_path(adata, "adata")) as opened:
        yield opened
