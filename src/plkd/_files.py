"""Files that appear whole or not at all, and messages for those that cannot be written or read."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

if TYPE_CHECKING:
    import torch

#: What disks, torch, safetensors and HDF5 raise where a file cannot be written.
_WRITING = (OSError, RuntimeError, SafetensorError)
#: Files of a model's folder that are moved into place last, in this order; what they rest on is there by then.
_LAST = ("model.pt", "annotator.safetensors")


class NotWrittenError(OSError):
    """A file or folder could not be written; what was there is unchanged."""


def as_path(path: Any, argument: str) -> Path:
    """Return a path.

    Raises
    ------
    TypeError, ValueError
        If it is no text or path, or an empty one.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{argument} is a {type(path).__name__}; expected a path, e.g. {argument}='model'.")
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{argument}={text!r} is no path. Fix: name one, e.g. {argument}='model'.")
    try:
        Path(text).exists()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{argument}={text[:60]!r} cannot be a path here ({_in_words(error)}). Fix: name another."
        ) from error
    return Path(text)


@contextmanager
def replace_when_written(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` and rename it over ``path`` once the block ends without an error.

    The content reaches the disk before the name does: a kill or a power cut leaves the old file or the new one.

    Raises
    ------
    NotWrittenError
        If it cannot be written; what was there is unchanged.
    """
    temporary = _temporary(path.parent, path.name)
    with _refusing(path):
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync_names(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder; move its files into ``folder`` once the block ends without an error.

    A new folder appears with all of them at once. In one that exists each file is replaced as a whole, ``model.pt`` and
    then ``annotator.safetensors`` last: what they rest on has to have names of its own.

    Raises
    ------
    NotWrittenError
        If they cannot be written; what was there is unchanged, and folders that were made are gone.
    """
    folder = folder.resolve()
    is_new = not folder.exists()
    made = [parent for parent in folder.parents if not parent.exists()]
    # Within a folder that exists: its parent may be read-only, or another disk.
    staging = _temporary(folder.parent, folder.name) if is_new else _temporary(folder, "plkd")
    with _refusing(folder):
        try:
            staging.mkdir(parents=True)
            yield staging
            files = sorted(staging.iterdir(), key=_place)
            for file in files:
                _sync(file)
            if is_new:
                _sync_names(staging)
                staging.replace(folder)
            else:
                for file in files:
                    file.replace(folder / file.name)
                _sync_names(folder)
            _sync_names(folder.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()
            raise
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def replace_folder_when_written(folder: Path) -> Iterator[Path]:
    """Give a temporary name beside ``folder``, to be made, and rename it to ``folder`` once the block ends without an error.

    A folder that is there is moved aside first, and removed last.

    Raises
    ------
    NotWrittenError
        If it cannot be written; what was there is unchanged.
    """
    temporary, aside = _temporary(folder.parent, folder.name), _temporary(folder.parent, folder.name)
    with _refusing(folder):
        try:
            yield temporary
            if folder.exists():
                folder.replace(aside)
            try:
                temporary.replace(folder)
            except OSError:
                if aside.exists():
                    aside.replace(folder)
                raise
            _sync_names(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it.

    Raises
    ------
    NotWrittenError
        If it cannot be made, or is a file.
    """
    with _refusing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left while they wrote a file."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with suppress(OSError):
            left.unlink()


def _place(file: Path) -> int:
    return next((i for i, name in enumerate(_LAST, start=1) if file.name.endswith(name)), 0)


def _temporary(folder: Path, name: str) -> Path:
    # Two saves at a time must not meet, and what a killed one left must not hinder the next.
    return folder / f".{name[:100]}.{secrets.token_hex(4)}.tmp"


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Say which file could not be written, whatever library failed at it."""
    try:
        yield
    except _WRITING as error:
        # Of a file within a staged folder, the folder is what the caller knows.
        cause = error.__cause__ if isinstance(error, NotWrittenError) and error.__cause__ else error
        raise NotWrittenError(
            f"{path} could not be written ({_in_words(cause)}); what was there is unchanged. Fix: free space or get "
            f"permission to write there, or name another place."
        ) from cause


def _in_words(error: BaseException) -> str:
    # Without the number and the temporary name.
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:300] or type(error).__name__


def _sync(file: Path) -> None:
    """Have the content of a file written to the disk."""
    if file.is_dir():
        return
    handle = os.open(file, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_names(folder: Path) -> None:
    """Have the names in a folder written to the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_safetensors(path: Path, *, fix: str = "write it again") -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file; nothing in it is executed. ``fix`` is what the error advises.

    Raises
    ------
    ValueError
        If the file is not one, or is cut short.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}). Fix: {fix}.") from error
