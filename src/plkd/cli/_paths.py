"""Refuse wrong paths before any work."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from plkd._files import as_path

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

ANNOTATOR_FILE = "annotator.safetensors"
MODEL_FILE = "model.pt"


def check_input(path: Path, what: str) -> None:
    """Refuse what is no readable ``.h5ad`` or ``.h5mu`` file; a ``.zarr`` folder is looked at when it is opened.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming ``what`` it should have been.
    """
    import h5py

    as_path(path, what)
    if is_zarr(path) and path.is_dir():
        return
    if not path.is_file():
        raise FileNotFoundError(f"No such {what}: {path}; expected an .h5ad, .h5mu or .zarr file.")
    if not h5py.is_hdf5(path):
        raise ValueError(
            f"{path} is no {_FORM.get(path.suffix, '.h5ad')} file, or is damaged; expected the {what} as AnnData or MuData "
            "writes it."
        )


_FORM = {".h5mu": ".h5mu"}


def is_mudata(path: Path) -> bool:
    """Whether a file is named as MuData's."""
    return path.suffix == ".h5mu"


def is_zarr(path: Path) -> bool:
    """Whether a path is named as a folder of zarr's."""
    return path.suffix == ".zarr"


def read_data(path: Path) -> AnnData | MuData:
    """Read an ``.h5ad``, ``.h5mu`` or ``.zarr`` file."""
    from plkd.data import read_file

    return read_file(path)


def open_data(path: Path) -> AbstractContextManager[AnnData | MuData]:
    """Open such a file, its matrices left on the disk."""
    from plkd.data import open_file

    return open_file(path)


def check_output(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse a file that cannot, or must not, be written.

    Raises
    ------
    ValueError
        If the name has another suffix, is a folder's, or the file exists and ``overwrite`` is False.
    FileNotFoundError
        If its folder does not exist.
    PermissionError
        If its folder cannot be written into.
    """
    as_path(path, "output")
    if not path.name.endswith(suffixes):
        raise ValueError(f"{path} does not end in {' or '.join(suffixes)}. Fix: name a file that does.")
    if path.is_dir() and not is_zarr(path):
        raise ValueError(f"{path} is a folder; expected the name of a file.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} already exists. Fix: name another file, or pass --overwrite.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"No such folder: {path.parent}. Fix: `mkdir -p {path.parent}`.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"No permission to write into {path.parent}.")


def check_model_target(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds a model already, or that cannot be made.

    Raises
    ------
    ValueError
        If it is a file, or holds a model and ``overwrite`` is False.
    PermissionError
        If it cannot be made or written into.
    """
    as_path(folder, "out")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder. Fix: name another path.")
    found = [name for name in (MODEL_FILE, ANNOTATOR_FILE) if (folder / name).exists()]
    if found and not overwrite:
        raise ValueError(f"{folder} already holds {found[0]}. Fix: name another folder, or pass --overwrite.")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise PermissionError(f"{folder} cannot be made: no permission to write into {existing}.")


def check_model(folder: Path) -> None:
    """Refuse what is neither a model's nor an Annotator's folder.

    Raises
    ------
    FileNotFoundError
        Naming what was expected.
    """
    as_path(folder, "model")
    if not any((folder / name).is_file() for name in (ANNOTATOR_FILE, MODEL_FILE)):
        where = "no such folder" if not folder.exists() else f"it holds neither {ANNOTATOR_FILE} nor {MODEL_FILE}"
        raise FileNotFoundError(
            f"No model at {folder}: {where}. Expected the folder of `plkd train --out`, PLKD.save or export_student."
        )
