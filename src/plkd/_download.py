"""Files from the web: downloaded once, checked, kept."""

from __future__ import annotations

import logging
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from plkd._arguments import check_type

logger = logging.getLogger("plkd")

CACHE_VARIABLE = "PLKD_CACHE"
_HASH = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", re.IGNORECASE)
_TIMEOUT = 30
"""Seconds without a byte from the server."""


def is_address(place: Any) -> bool:
    """Whether text is the address of something on the web, and no path."""
    return isinstance(place, str) and place.lower().startswith(("http://", "https://"))


def download(url: str, known_hash: Any, cache_dir: str | Path | None = None) -> Path:
    """Return the path of a file that has a known checksum; download it where the cache does not have it.

    Parameters
    ----------
    url
        Begins with ``http://`` or ``https://``.
    known_hash
        ``md5:`` or ``sha256:``, then the checksum in hexadecimal digits.
    cache_dir
        Folder to keep the file in, made where it does not exist. None takes ``$PLKD_CACHE``, or else the system's
        folder for such things.

    Raises
    ------
    ImportError
        If pooch is not installed.
    ValueError
        If the URL or the checksum is not of that form, or the file that came has another checksum; it is not kept.
    OSError
        If the file cannot be had, or comes only in part, or cannot be written.
    """
    check_type("url", url, str, "the address of a file")
    try:
        name = Path(urlsplit(url).path).name
    except ValueError:  # brackets of something that is no address
        name = ""
    if not is_address(url) or not name:
        raise ValueError(f"url={url!r}: expected the address of a file that begins with http:// or https://.")
    if not isinstance(known_hash, str) or _HASH.fullmatch(known_hash) is None:
        msg = (
            f"known_hash={known_hash!r}: expected 'md5:' and 32 hexadecimal digits, or 'sha256:' and 64. A file is not "
            f"loaded unchecked: take the checksum from where you have the address, such as the md5 beside each download "
            f"of 10x Genomics."
        )
        raise ValueError(msg)
    pooch = _pooch()
    folder = cache_folder(cache_dir)
    # Sets share file names, and new versions of a set share all but the folder of their address.
    path = folder / f"{known_hash.rpartition(':')[2][:8].lower()}-{name}"
    if not path.exists():
        logger.info("downloading %s to %s", url, path)
    # Servers refuse clients that do not say who they are.
    fetch = pooch.HTTPDownloader(headers={"User-Agent": f"plkd/{version('plkd')}"}, timeout=_TIMEOUT)
    try:
        return Path(pooch.retrieve(url, known_hash, fname=path.name, path=folder, downloader=fetch))
    except OSError as error:  # all that requests raises is one
        msg = (
            f"{name} could not be downloaded from {url} ({error}). Fix: try again, or download it by other means and "
            f"save it as {path}."
        )
        raise OSError(msg) from error
    except ValueError as error:
        msg = (
            f"{name} from {url} is not the expected file, and was not kept. {error} Fix: try again; if it happens "
            f"again, the file was replaced at its source: ask there for its new checksum (of a data set, "
            f"`plkd.datasets.fetch_10x` takes it)."
        )
        raise ValueError(msg) from error


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return where files are kept: the argument, ``$PLKD_CACHE``, or the system's cache folder, in this order."""
    chosen = cache_dir if cache_dir is not None else os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(_pooch().os_cache("plkd"))


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        msg = 'downloads and their cache folder need pooch, which is not installed. Fix: pip install "plkd[datasets]", or "plkd[decoupler]" for collections of patterns'
        raise ImportError(msg) from error
    return pooch
