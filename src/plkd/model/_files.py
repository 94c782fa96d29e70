"""A model folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

#: Version of what a saved model holds; raised when that changes, together with a migration from the one before.
FORMAT = 1
#: Names that scvi-tools gives to data saved with a model.
DATA_FILES = ("adata.h5ad", "mdata.h5mu")


def check_target(folder: Path, overwrite: bool) -> None:  # noqa: FBT001
    """Refuse to write over something.

    Raises
    ------
    ValueError
        If the folder exists and may not be overwritten, or is a file.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; expected a folder to save into. Fix: name another path.")
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} already exists. Fix: name another folder, or pass overwrite=True.")


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder``; move its files into ``folder`` once the block ends without an error."""
    folder = folder.resolve()
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield staging
        folder.mkdir(exist_ok=True)
        # The data first: model.pt is what makes the folder a model.
        for file in sorted(staging.iterdir(), key=lambda path: path.name.endswith("model.pt")):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_model(folder: Path, prefix: str | None) -> None:
    """Refuse a folder without a whole model file.

    Raises
    ------
    ValueError
        Naming what was found instead.
    """
    file = folder / f"{prefix or ''}model.pt"
    if not file.is_file():
        if (folder / "annotator.safetensors").is_file():
            raise ValueError(f"{folder} holds an exported Annotator. Fix: `plkd.Annotator.load({str(folder)!r})`.")
        found = sorted(path.name for path in folder.iterdir())[:10] if folder.is_dir() else "no such folder"
        raise ValueError(f"{folder} holds no saved PLKD model ({file.name}); found {found}.")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is damaged or cut short. Fix: save the model again, or take an intact copy.")


def check_format(folder: Path, prefix: str | None) -> dict[str, Any]:
    """Refuse a model of a newer version of plkd, before anything is built from it; return its saved attributes.

    Raises
    ------
    ValueError
        Naming both formats.
    """
    saved = torch.load(folder / f"{prefix or ''}model.pt", map_location="cpu", mmap=True, weights_only=False)
    found = saved["attr_dict"].get("format_", 0)
    if found > FORMAT:
        raise ValueError(f"{folder} was saved in format {found}; this plkd reads up to {FORMAT}. Fix: update plkd.")
    return saved["attr_dict"]
