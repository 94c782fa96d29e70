"""Refuse tasks that their files cannot give, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterable

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from benchmarks.annotation.tasks import Spec, data_folder


def check_tasks(specs: Iterable[Spec]) -> None:
    """Look at the columns of all files of all tasks.

    Raises
    ------
    FileNotFoundError
        If a file is not in the data folder.
    ValueError
        If a file lacks a column or a modality, or no file has a label or a batch that the task names.
    """
    for spec in specs:
        if spec.files and not (spec.simulate or spec.dataset):
            _check(spec, pd.concat([_columns(spec, name) for name in spec.files]))


def _columns(spec: Spec, name: str) -> pd.DataFrame:
    """Read the columns that a task needs of a file."""
    path = data_folder() / name
    if not path.is_file():
        raise FileNotFoundError(f"Task {spec.name!r}: there is no {path}. Fix: `files`, or PLKD_DATA.")
    with h5py.File(path) as file:
        # The modality of a task of several is a name of results, not of the file.
        parts = spec.modalities.values() or [spec.modality] * bool(spec.modality)
        if missing := sorted(part for part in parts if f"mod/{part}" not in file):
            there = ", ".join(file["mod"]) if "mod" in file else "none, it is one AnnData"
            raise ValueError(f"Task {spec.name!r}: {name} has no modality {', '.join(missing)}; there are: {there}.")
        obs = ad.io.read_elem(file["obs"])
    for field in ("labels_key", "batch_key", "held_key"):
        key = getattr(spec, field)
        if key and key not in obs:
            raise ValueError(
                f"Task {spec.name!r}: {field} is {key!r}, which obs of {name} lacks; it has {', '.join(map(str, obs))}."
            )
    return obs[list(dict.fromkeys([spec.labels_key, spec.batch_key, spec.held_key or spec.batch_key]))]


def _check(spec: Spec, columns: pd.DataFrame) -> None:
    """Refuse labels and batches that no file has."""
    labels = columns[spec.labels_key].dropna().astype(str)
    renamed = labels.replace(spec.rename_labels)
    held = columns[spec.held_key or spec.batch_key].dropna().astype(str)
    for field, values in (("rename_labels", labels), ("drop_labels", renamed), ("held_batches", held)):
        there = np.unique(values)
        if unknown := sorted(set(getattr(spec, field)) - set(there)):
            raise ValueError(
                f"Task {spec.name!r}: {field} names {', '.join(unknown)}, which no file has; there are {', '.join(there)}."
            )
    if spec.split == "held-batches" and set(held) <= set(spec.held_batches):
        raise ValueError(
            f"Task {spec.name!r}: held_batches are all batches; expected some, so that there is a reference."
        )
