"""Open `.h5ad` and `.h5mu` files, and say what is wrong with those that are damaged."""

from __future__ import annotations

from pathlib import Path

from anndata import AnnData, read_h5ad
from mudata import MuData, read_h5mu

#: What HDF5, anndata and mudata raise for a file that is cut short, or is none of theirs.
_UNREADABLE = (
    OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError, NotImplementedError,
)  # fmt: skip


def read_file(path: Path, *, backed: bool = False) -> AnnData | MuData:
    """Read a file as its suffix says, ``.h5mu`` or else ``.h5ad``.

    Parameters
    ----------
    path
        The file.
    backed
        Leave the matrices on the disk; the caller closes ``.file``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or none of these.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {path}; expected an .h5ad or .h5mu file.")
    try:
        if path.suffix == ".h5mu":
            data = read_h5mu(path, backed="r" if backed else False)
            parts = list(data.mod.values())
        else:
            data = read_h5ad(path, backed="r" if backed else None)
            parts = [data]
        # A backed matrix is looked at only when it is read.
        is_whole = all(part.X is None or tuple(part.X.shape) == part.shape for part in parts)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} is no {path.suffix or '.h5ad'} file, or is damaged ({' '.join(str(error).split())[:200]}); expected one as "
            "AnnData or MuData writes it. Fix: write it again, or take an intact copy."
        ) from error
    if not is_whole:
        raise ValueError(f"{path} is damaged: the shape of X is not that of obs and var. Fix: write it again.")
    return data
