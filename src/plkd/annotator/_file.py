"""The Annotator's file: tensors and JSON in one safetensors file, every byte covered by a checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from plkd._files import replace_when_written
from plkd._migrate import Hops, migrate

FILE_NAME = "annotator.safetensors"
#: Version of the format; raised when it changes, together with a hop from the one before.
FORMAT = 4


def _uncalibrated(about: dict[str, Any]) -> dict[str, Any]:
    """Format 1 knew no confidence."""
    return {name: value for name, value in about.items() if name not in ("calibration", "novelty")} | {
        "confidence": None
    }


def _of_single_cells(about: dict[str, Any]) -> dict[str, Any]:
    """Format 2 knew no surroundings: the confidence stays as it is, and novelty goes by single cells."""
    return about


def _expecting_nothing(about: dict[str, Any]) -> dict[str, Any]:
    """Format 3 did not know how genes go together: nothing is expected of those that a query lacks."""
    return about


#: By format, the function that turns the description of one into that of the next.
HOPS: Hops = {1: _uncalibrated, 2: _of_single_cells, 3: _expecting_nothing}
_BLANK = "0" * 64
_MARK = b'"sha256":"'


def write_annotator(path: Path, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description to ``path``, whole or not at all."""
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = save(contiguous, metadata={"plkd": json.dumps(about), "sha256": _BLANK})
    place = data.index(_MARK) + len(_MARK)
    digest = hashlib.sha256(data).hexdigest().encode()
    with replace_when_written(path) as temporary:
        temporary.write_bytes(data[:place] + digest + data[place + 64 :])


def read_annotator(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and description; nothing in the file is executed.

    Raises
    ------
    ValueError
        If there is no such file, any byte of it changed, or it is of a newer format.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        if (path / "model.pt").is_file():
            raise ValueError(f"{path} holds a PLKD model, not an Annotator. Fix: `plkd.PLKD.load({str(path)!r})`.")
        raise ValueError(f"No Annotator at {path}; expected a folder with {FILE_NAME}, as export_student() writes it.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}). Fix: get permission to read it.") from error
    # The header comes first; the mark is looked for there alone, so that no tensor can hold a second one.
    header_end = 8 + int.from_bytes(data[:8], "little")
    place = data.find(_MARK, 0, min(header_end, len(data))) + len(_MARK)
    stored = data[place : place + 64]
    digest = hashlib.sha256(data[:place] + _BLANK.encode() + data[place + 64 :]).hexdigest().encode()
    if place < len(_MARK) or stored != digest:
        raise ValueError(f"{file} is damaged, or no Annotator: its checksum does not fit. Fix: export it again.")
    # From the bytes that were checked; the header is JSON behind eight bytes of length.
    try:
        about = json.loads(json.loads(data[8:header_end])["__metadata__"]["plkd"])
        tensors = load(data)
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise ValueError(
            f"{file} is no Annotator ({error}), though its checksum fits. Fix: export it again."
        ) from error
    if not isinstance(about, dict):
        raise ValueError(f"{file} is no Annotator: it describes a {type(about).__name__}. Fix: export it again.")
    return tensors, migrate(about, HOPS, to=FORMAT, key="format", file=file)
