"""Annotation tasks over a data folder: which cells are the reference, which are the query.

``tasks.toml`` says what the tasks are; the folder is named by the environment variable ``PLKD_DATA``.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

import plkd

TASK_FILE = Path(__file__).with_name("tasks.toml")


@dataclass(frozen=True)
class Spec:
    """One task as the task file states it; see there for what the fields mean."""

    name: str
    split: str
    files: tuple[str, ...]
    labels_key: str = "cell_type"
    batch_key: str = "batch"
    gene_sets: str = "human_reactome.gmt"
    modality: str = ""
    modalities: dict[str, str] = field(default_factory=dict)
    simulate: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    capitals: bool = False
    rename_labels: dict[str, str] = field(default_factory=dict)
    drop_labels: tuple[str, ...] = ()
    parents: dict[str, str] = field(default_factory=dict)
    held_batches: tuple[str, ...] = ()
    held_key: str = ""
    query_fraction: float = 0.3
    split_seed: int = 0
    n_genes: int = 0
    in_average: bool = True

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split of {self.name!r} is {self.split!r}; expected one of {', '.join(SPLITS)}.")
        if self.split == "across-files" and len(self.files) != 2:
            raise ValueError(f"files of {self.name!r} are {list(self.files)}; across-files expects two.")
        if self.split == "held-batches" and not self.held_batches:
            raise ValueError(f"{self.name!r} names no held_batches; held-batches expects those of the query.")
        if not 0 < self.query_fraction < 1:
            raise ValueError(
                f"query_fraction of {self.name!r} is {self.query_fraction}; expected more than 0, less than 1."
            )
        if self.n_genes and self.modalities:
            raise ValueError(
                f"n_genes of {self.name!r} is {self.n_genes}, of several modalities; expected one (modality)."
            )

    @property
    def full_name(self) -> str:
        """The name that tables give the task: with its modality, where the file holds several."""
        return f"{self.name}@{self.modality}" if self.modality else self.name


@dataclass(frozen=True)
class Task:
    """One reference-to-query annotation problem (a fold of a ``Spec``), raw counts in ``X``.

    Attributes
    ----------
    reference
        ``obs`` holds the label and the batch.
    query
        The same genes in the same order; ``obs`` holds the batch (and what was held out) only, so that no method can read a label.
    truth
        Labels of the query cells, for scoring.
    """

    spec: Spec
    fold: str
    reference: ad.AnnData | md.MuData
    query: ad.AnnData | md.MuData
    truth: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Labels of the reference cells."""
        return self.reference.obs[self.spec.labels_key].to_numpy().astype(str)

    @property
    def gene_sets(self) -> Path:
        """Path of a GMT file for the task's species."""
        return data_folder() / "genesets" / self.spec.gene_sets


def data_folder() -> Path:
    """Return the folder that ``PLKD_DATA`` names."""
    if "PLKD_DATA" not in os.environ:
        raise KeyError(
            "PLKD_DATA is not set: export PLKD_DATA=/path/to/the/data/folder (see benchmarks/annotation/README.md)."
        )
    return Path(os.environ["PLKD_DATA"])


def read_specs(path: Path = TASK_FILE) -> list[Spec]:
    """Read the tasks of a task file."""
    entries = tomllib.loads(path.read_text()).get("task", [])
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} holds no task; expected `[[task]]` with name, split and files, as in {TASK_FILE}.")
    return [_spec(path, entry) for entry in entries]


def _spec(path: Path, entry: dict[str, Any]) -> Spec:
    """Return a task of a file's entry, whose fields must be those of a task and of their types."""
    types = {name: get_origin(hint) or hint for name, hint in get_type_hints(Spec).items()}
    whose = f"Task {entry.get('name')!r} of {path}"
    if missing := [name for name in ("name", "split", "files") if not entry.get(name)]:
        raise ValueError(f"{whose} lacks {', '.join(missing)}.")
    if unknown := sorted(set(entry) - set(types)):
        raise ValueError(f"{whose} has unknown fields: {', '.join(unknown)}; known are {', '.join(types)}.")
    for name, value in entry.items():
        expected = list if types[name] is tuple else types[name]
        fits = isinstance(value, (float, int) if expected is float else expected)
        if not fits or isinstance(value, bool) and expected is not bool:
            raise ValueError(f"{whose}: {name} is {value!r}; expected {expected.__name__}.")
    return Spec(**{name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()})


def rna_specs() -> list[Spec]:
    """Return the tasks of RNA alone."""
    return [spec for spec in read_specs() if not spec.modalities and spec.modality in ("", "rna")]


def named(parser: argparse.ArgumentParser, specs: list[Spec], names: Sequence[str] | None) -> list[Spec]:
    """Return the tasks of these names, or names with modalities; all for None. A name that there is not is an error of the command line."""
    known = {name for spec in specs for name in (spec.name, spec.full_name)}
    if unknown := sorted(set(names or ()) - known):
        there = ", ".join(dict.fromkeys(spec.full_name for spec in specs))
        parser.error(f"no such task: {', '.join(unknown)}; there are {there}")
    return [spec for spec in specs if names is None or {spec.name, spec.full_name} & set(names)]


def _read(spec: Spec, name: str) -> ad.AnnData | md.MuData:
    """Read one file as raw counts, with labels and batches as strings and without the cells to be dropped."""
    if spec.modalities:
        return _read_joint(spec, name)
    keys = list(dict.fromkeys([spec.labels_key, spec.batch_key, spec.held_key or spec.batch_key]))
    if spec.dataset:
        modality = getattr(plkd.datasets, spec.dataset)()
        columns = modality.obs[keys]
    elif spec.modality:
        with h5py.File(
            data_folder() / name
        ) as file:  # one modality of a MuData file, and the columns that its modalities share
            modality, columns = (ad.io.read_elem(file[part]) for part in (f"mod/{spec.modality}", "obs"))
        columns = columns.loc[modality.obs_names, keys]
    else:
        modality = ad.read_h5ad(data_folder() / name)
        columns = modality.obs[keys]
    counts = sp.csr_matrix(modality.X, dtype=np.float32)
    labelled = columns[spec.labels_key].notna().to_numpy()
    adata = ad.AnnData(counts[labelled], obs=columns[labelled].astype(str), var=modality.var[[]])
    adata.obs[spec.labels_key] = adata.obs[spec.labels_key].replace(spec.rename_labels)
    if spec.capitals:
        adata.var_names = adata.var_names.str.upper()
        adata = adata[:, ~adata.var_names.duplicated()]
    return adata[~adata.obs[spec.labels_key].isin(spec.drop_labels)].copy()


def _read_joint(spec: Spec, name: str) -> md.MuData:
    """Read the modalities of a MuData file, or simulate them; labels and batches in the obs of the whole alone."""
    mdata = plkd.datasets.simulate(**spec.simulate) if spec.simulate else md.read_h5mu(data_folder() / name)
    tables = {
        kept: ad.AnnData(
            sp.csr_matrix(mdata.mod[kept].X, dtype=np.float32),
            obs=mdata.mod[kept].obs[[]],
            var=mdata.mod[kept].var[[]],
        )
        for kept in spec.modalities.values()
    }
    joint = md.MuData(tables)
    for key in (spec.labels_key, spec.batch_key):
        joint.obs[key] = mdata.obs[key].astype(str)
    known = mdata.obs[spec.labels_key].notna().reindex(joint.obs_names).to_numpy()
    return joint[known & ~joint.obs[spec.labels_key].isin(spec.drop_labels).to_numpy()].copy()


def _task(spec: Spec, fold: str, reference: Any, query: Any) -> Task:
    """Restrict both sides to the genes they share and the query to labels that the reference has; hide its labels."""
    if isinstance(reference, md.MuData):
        reference = reference.copy()
        query = query[query.obs[spec.labels_key].isin(set(reference.obs[spec.labels_key])).to_numpy()].copy()
        truth = query.obs[spec.labels_key].to_numpy().astype(str)
        query.obs = query.obs.drop(columns=spec.labels_key)
        return Task(spec, fold, reference, query, truth)
    genes = reference.var_names.intersection(query.var_names, sort=False)
    if spec.n_genes:
        genes = panel(reference[:, genes], spec.n_genes)
    reference, query = reference[:, genes].copy(), query[:, genes].copy()
    query = query[query.obs[spec.labels_key].isin(set(reference.obs[spec.labels_key]))].copy()
    truth = query.obs.pop(spec.labels_key).to_numpy().astype(str)
    reference.obs = reference.obs.astype("category")
    return Task(spec, fold, reference, query, truth)


def panel(reference: ad.AnnData, n_genes: int) -> pd.Index:
    """Return the reference's most variable genes, as a targeted panel might have them."""
    adata = reference.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_genes)
    return adata.var_names[adata.var["highly_variable"]]


def read_cells(spec: Spec) -> ad.AnnData:
    """Return all cells of a task with one modality, their genes in common; ``label`` and ``batch`` in obs, batches told apart by file."""
    files = {Path(name).stem: _read(spec, name) for name in spec.files}
    both = ad.concat(files, label="file", index_unique="-")
    batch = both.obs[spec.batch_key].astype(str)
    both.obs["batch"] = (both.obs["file"].astype(str) + ":" + batch if len(files) > 1 else batch).astype("category")
    both.obs["label"] = both.obs[spec.labels_key].astype(str)
    both.obs = both.obs[["label", "batch"]]
    return both


def _leave_one_batch_out(spec: Spec) -> Iterator[Task]:
    adata = _read(spec, spec.files[0])
    for batch in sorted(adata.obs[spec.batch_key].unique()):
        held = (adata.obs[spec.batch_key] == batch).to_numpy()
        yield _task(spec, batch, adata[~held], adata[held])


def _one_batch_alone(spec: Spec) -> Iterator[Task]:
    adata = _read(spec, spec.files[0])
    for batch in sorted(adata.obs[spec.batch_key].unique()):
        alone = (adata.obs[spec.batch_key] == batch).to_numpy()
        yield _task(spec, f"{batch} alone", adata[alone], adata[~alone])


def _across_files(spec: Spec) -> Iterator[Task]:
    for reference, query in (spec.files, spec.files[::-1]):
        fold = f"{Path(reference).stem}->{Path(query).stem}"
        yield _task(spec, fold, _read(spec, reference), _read(spec, query))


def _held_batches(spec: Spec) -> Iterator[Task]:
    adata = _read(spec, spec.files[0])
    held = adata.obs[spec.held_key or spec.batch_key].isin(spec.held_batches).to_numpy()
    yield _task(spec, "+".join(spec.held_batches), adata[~held], adata[held])


def _random(spec: Spec) -> Iterator[Task]:
    adata = _read(spec, spec.files[0])
    rng = np.random.default_rng(spec.split_seed)
    labels = adata.obs[spec.labels_key].to_numpy()
    held = np.zeros(adata.n_obs, dtype=bool)
    for label in np.unique(labels.astype(str)):
        cells = rng.permutation(np.flatnonzero(labels == label))
        held[cells[: max(1, int(len(cells) * spec.query_fraction))]] = True
    yield _task(spec, f"seed{spec.split_seed}", adata[~held], adata[held])


SPLITS: dict[str, Callable[[Spec], Iterator[Task]]] = {
    "leave-one-batch-out": _leave_one_batch_out,
    "one-batch-alone": _one_batch_alone,
    "across-files": _across_files,
    "held-batches": _held_batches,
    "random": _random,
}


def folds(spec: Spec) -> Iterator[Task]:
    """Yield the folds of a task."""
    return SPLITS[spec.split](spec)
