"""Open `.h5ad`, `.h5mu` and `.zarr`, and say what is wrong with those that are damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
from anndata import AnnData, read_h5ad
from anndata.io import read_elem, read_zarr, sparse_dataset
from mudata import MuData, read_h5mu

#: What HDF5, zarr, anndata and mudata raise for a file that is cut short, or is none of theirs.
_UNREADABLE = (
    OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError, NotImplementedError, AssertionError,
    EOFError, zlib.error,
)  # fmt: skip


def read_file(path: Path) -> AnnData | MuData:
    """Read into memory, as the suffix says: ``.h5mu``, ``.zarr`` or else ``.h5ad``.

    Parameters
    ----------
    path
        The file, or zarr's folder.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or none of these.
    """
    read: Callable[[Path], Any] = {".h5mu": read_h5mu, ".zarr": read_zarr}.get(path.suffix, read_h5ad)
    return _checked(path, read)


@contextmanager
def open_file(path: Path) -> Iterator[AnnData | MuData]:
    """Open with the matrices left on the disk: ``X`` and, but for ``.h5mu``, layers and arrays of ``obsm`` too.

    Parameters
    ----------
    path
        As in :func:`read_file`.

    Raises
    ------
    FileNotFoundError, ValueError
        As in :func:`read_file`.
    """
    with ExitStack() as stack:
        yield _checked(path, lambda path: _open(path, stack))


def _checked(path: Path, read: Callable[[Path], Any]) -> Any:
    is_folder = path.suffix == ".zarr"
    if not (path.is_dir() if is_folder else path.is_file()):
        expected = "the folder of an AnnData in zarr's form" if is_folder else "an .h5ad, .h5mu or .zarr file"
        raise FileNotFoundError(f"No such {'folder' if is_folder else 'file'}: {path}; expected {expected}.")
    try:
        data = read(path)
        parts = list(data.mod.values()) if isinstance(data, MuData) else [data]
        # A matrix on disk is looked at only when it is read.
        is_whole = all(part.X is None or tuple(part.X.shape) == part.shape for part in parts)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} is no {path.suffix or '.h5ad'} file, or is damaged ({' '.join(str(error).split())[:200]}); expected one as "
            "AnnData or MuData writes it. Fix: write it again, or take an intact copy."
        ) from error
    if not is_whole:
        raise ValueError(f"{path} is damaged: the shape of X is not that of obs and var. Fix: write it again.")
    return data


def _open(path: Path, stack: ExitStack) -> AnnData | MuData:
    """Open a file, to be closed by the stack."""
    if path.suffix == ".zarr":
        return _open_zarr(path)
    if path.suffix == ".h5mu":
        opened = read_h5mu(path, backed="r")
        stack.callback(opened.file.close)
        return opened
    file = stack.enter_context(h5py.File(path))
    if file.attrs.get("encoding-type") == "anndata":
        return _on_disk(file)
    # Of anndata before 0.7, which it still reads.
    opened = read_h5ad(path, backed="r")
    stack.callback(opened.file.close)
    return opened


def _open_zarr(path: Path) -> AnnData:
    import zarr

    group = zarr.open_group(str(path), mode="r")
    encoding = group.attrs.get("encoding-type")
    if encoding != "anndata":
        raise ValueError(f"it holds {encoding or 'no AnnData'}; of a MuData pass `mudata.read_zarr(path)`")
    return _on_disk(group)


def _on_disk(group: Any) -> AnnData:
    """Return an AnnData of what annotating looks at, its matrices left where they are."""
    parts = {
        name: {key: _matrix(group[name][key]) for key in group[name]} for name in ("layers", "obsm") if name in group
    }
    return AnnData(
        _matrix(group["X"]) if "X" in group else None,
        obs=read_elem(group["obs"]),
        var=read_elem(group["var"]),
        uns=read_elem(group["uns"]) if "uns" in group else {},
        **parts,
    )


def _matrix(stored: Any) -> Any:
    encoding = stored.attrs.get("encoding-type")
    if encoding in ("csr_matrix", "csc_matrix"):
        return sparse_dataset(stored)
    return stored if encoding in ("array", None) and hasattr(stored, "shape") else read_elem(stored)
