"""What a model's folder holds: `model.pt`, and the reference if asked for, in a file that `model.pt` names."""

from __future__ import annotations

import logging
import pickle
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from anndata import AnnData
from mudata import MuData

from plkd._migrate import Hops, migrate
from plkd.data import ModalitySpec, read_file
from plkd.patterns import PatternSet
from plkd.presets import Preset

logger = logging.getLogger("plkd")

#: Version of what a saved model holds; raised when that changes, together with a hop from the one before.
FORMAT = 5


def _uncalibrated(saved: dict[str, Any]) -> dict[str, Any]:
    """Format 1 knew no confidence; a model that trains on goes by what it was made with."""
    given = saved["init_params_"]["non_kwargs"]
    preset = dict(given["preset"])
    preset["teacher_training"] = {**preset["teacher_training"], "unlabeled_ratio": 0.0}
    preset["student_training"] = {**preset["student_training"], "unlabeled_ratio": 0.0, "alignment_weight": 0.0}
    preset["confidence"] = {"n_folds": 5, "drop_doubtful": False}
    init_params = {**saved["init_params_"], "non_kwargs": {**given, "preset": preset}}
    return {**saved, "confidence_": None, "held_out_": None, "init_params_": init_params}


def _of_single_cells(saved: dict[str, Any]) -> dict[str, Any]:
    """Format 2 knew no surroundings: the confidence stays as it is, and novelty goes by single cells. Nor did it mix cells."""
    return _with_student(saved, lambda student: {"mixup": 0.0})


def _aligned_at_once(saved: dict[str, Any]) -> dict[str, Any]:
    """Format 3 aligned batches and modalities by one weight."""
    return _with_student(saved, lambda student: {"modality_alignment_weight": student["alignment_weight"]})


def _expecting_nothing(saved: dict[str, Any]) -> dict[str, Any]:
    """Format 4 did not know how genes go together: nothing is expected of those that a query lacks."""
    return saved


def _with_student(saved: dict[str, Any], changes: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds with some settings of the Student's training changed."""
    given = saved["init_params_"]["non_kwargs"]
    student = given["preset"]["student_training"]
    preset = {**given["preset"], "student_training": {**student, **changes(student)}}
    return {**saved, "init_params_": {**saved["init_params_"], "non_kwargs": {**given, "preset": preset}}}


#: By format, the function that turns the saved attributes of one into those of the next.
HOPS: Hops = {1: _uncalibrated, 2: _of_single_cells, 3: _aligned_at_once, 4: _expecting_nothing}
#: Names that scvi-tools gives to data saved with a model.
DATA_FILES = ("adata.h5ad", "mdata.h5mu")
#: What reading a file raises that is not what its name says.
_UNREADABLE = (
    OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, ImportError, EOFError,
    pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError, RecursionError, MemoryError, OverflowError,
    zipfile.LargeZipFile,
)  # fmt: skip


def check_target(folder: Path, overwrite: bool) -> None:  # noqa: FBT001
    """Refuse to write over something.

    Raises
    ------
    ValueError
        If the folder exists and may not be overwritten, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder to save into. Fix: name another path.")
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} already exists. Fix: name another folder, or pass overwrite=True.")


def check_prefix(prefix: Any) -> None:
    """Refuse what cannot stand before a file's name.

    Raises
    ------
    TypeError, ValueError
        If it is no text, or holds a separator of folders.
    """
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f"prefix is a {type(prefix).__name__}; expected text to put before file names, or None.")
    if prefix and set(prefix) & set("/\\\0"):
        raise ValueError(f"prefix={prefix!r} names a folder; expected the start of a file name, e.g. prefix='first_'.")


# the reference saved with a model ----------------------------------------------------------------------------------
# A folder with two files cannot be replaced at one moment. So the data have a name of their own at each save, and model.pt,
# which is moved last, says which they are: until then the old model and its old data stand as they were.


def name_data(data: AnnData | MuData | None) -> str:
    """Return a name that no other save uses.

    Raises
    ------
    ValueError
        If there are no data.
    """
    if data is None:
        raise ValueError("The model was loaded without its reference, so save_anndata=True has nothing to save.")
    stem, _, suffix = _plain_name(data).partition(".")
    return f"{stem}.{secrets.token_hex(4)}.{suffix}"


def rename_data(staging: Path, prefix: str | None, name: str, data: AnnData | MuData) -> None:
    """Give data that scvi-tools wrote the name that the model knows."""
    (staging / f"{prefix or ''}{_plain_name(data)}").replace(staging / f"{prefix or ''}{name}")


def remove_old_data(folder: Path, prefix: str | None, *, keep: str | None) -> None:
    """Remove data of models that were replaced; a file that plkd did not name itself may be the user's own."""
    for plain in DATA_FILES:
        stem, _, suffix = plain.partition(".")
        start, end = f"{prefix or ''}{stem}.", f".{suffix}"
        for file in folder.iterdir():
            token = file.name[len(start) : -len(end)]
            ours = file.name == f"{start}{token}{end}" and len(token) == 8 and set(token) <= set("0123456789abcdef")
            if ours and file.name != f"{prefix or ''}{keep}":
                # The new model is in place; an old file that stays takes room and does no harm.
                with suppress(OSError):
                    file.unlink(missing_ok=True)


def saved_data(folder: Path, prefix: str | None, attributes: dict[str, Any]) -> AnnData | MuData | None:
    """Read the data saved with a model; None where there are none.

    Raises
    ------
    ValueError
        If their file is damaged.
    """
    of_mudata = attributes["registry_"]["setup_method_name"] == "setup_mudata"
    # Models of the first version of plkd do not say; theirs have scvi-tools' name.
    name = attributes.get("data_file_", DATA_FILES[of_mudata])
    if name is None:
        return None
    file = folder / f"{prefix or ''}{name}"
    if not file.is_file():
        if "data_file_" in attributes:
            logger.warning("%s is not there: the model is loaded without its reference", file)
        return None
    try:
        return read_file(file)
    except ValueError as error:
        raise ValueError(
            f"{file}, the reference saved with the model, is damaged ({_first_line(error)}). Fix: take an intact copy, or "
            f"load the model without it: `PLKD.load({str(folder)!r}, adata=False)`."
        ) from error


def _plain_name(data: AnnData | MuData) -> str:
    return DATA_FILES[isinstance(data, MuData)]


@contextmanager
def refusing_to_write(*, with_data: bool) -> Iterator[None]:
    """Say that a model, or its reference, holds what cannot be written; of disks that are full :func:`staged` says so."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, NotImplementedError, pickle.PicklingError) as error:
        fix = "pass save_anndata=False, or make every column of obs one type" if with_data else "check save_kwargs"
        raise ValueError(
            f"The model{' and its reference' if with_data else ''} cannot be written ({type(error).__name__}: "
            f"{_first_line(error)}). Fix: {fix}."
        ) from error


# model.pt ----------------------------------------------------------------------------------------------------------


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
        if folder.is_file():
            raise ValueError(f"{folder} is a file; expected the folder that PLKD.save wrote. Fix: name the folder.")
        found = sorted(path.name for path in folder.iterdir())[:10] if folder.is_dir() else "no such folder"
        raise ValueError(
            f"{folder} holds no saved PLKD model ({file.name}); found {found}. Fix: name the folder that PLKD.save wrote."
        )
    check_whole(file)


def check_whole(file: Path) -> None:
    """Refuse a model file that is no zip archive, or of which a byte changed: torch itself reads on over wrong numbers.

    Raises
    ------
    ValueError
        Naming the file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            is_whole = archive.testzip() is None
    except _UNREADABLE:
        is_whole = False
    if not is_whole:
        raise ValueError(f"{file} is damaged or cut short. Fix: save the model again, or take an intact copy.")


@contextmanager
def in_present_format(
    folder: Path, prefix: str | None, *, class_name: str = "PLKD"
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give a folder with the model in the present format, and its saved attributes.

    That is the folder itself, or, for a model of an earlier format, one that is gone after the block.

    Raises
    ------
    ValueError
        If the file holds no PLKD model, parts of it are missing, or it is of a newer version of plkd.
    """
    file = folder / f"{prefix or ''}model.pt"
    content = _content(file, class_name)
    found = content["attr_dict"]
    try:
        attributes = migrate(found, HOPS, to=FORMAT, key="format_", file=file)
    except (KeyError, TypeError, AttributeError) as error:
        raise _lacking(file, error) from error
    _check_attributes(attributes, file)
    if attributes is found:
        yield folder, attributes
        return
    with tempfile.TemporaryDirectory() as temporary:
        torch.save({**content, "attr_dict": attributes}, Path(temporary) / file.name)
        yield Path(temporary), attributes


def _content(file: Path, class_name: str) -> dict[str, Any]:
    parts = ("model_state_dict", "var_names", "attr_dict")
    try:
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=False)
    except _UNREADABLE as error:
        raise ValueError(
            f"{file} cannot be read as a PLKD model ({_first_line(error)}). Fix: take an intact copy, or one that plkd wrote."
        ) from error
    if not (isinstance(content, dict) and all(isinstance(content.get(part), dict) for part in parts[::2])):
        found = sorted(map(str, content))[:5] if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(
            f"{file} holds no PLKD model: found {found}; expected {list(parts)}. Fix: name another folder."
        )
    registry = content["attr_dict"].get("registry_")
    named = registry.get("model_name") if isinstance(registry, dict) else None
    if named != class_name:
        raise ValueError(
            f"{file} holds a model of another class, {named}; expected {class_name}. Fix: load it with `{named}.load`."
        )
    return content


def _check_attributes(attributes: dict[str, Any], file: Path) -> None:
    """Refuse attributes that no model can be built from; of damage to bytes the checksum knows, this is about content."""
    try:
        registry, given = attributes["registry_"], attributes["init_params_"]
        for field in registry["field_registries"].values():
            if "spec" in field["state_registry"]:
                ModalitySpec.from_dict(field["state_registry"]["spec"])
        PatternSet.from_state(given["non_kwargs"]["patterns"])
        Preset.from_dict(given["non_kwargs"]["preset"])
        missing = sorted({"setup_method_name", "setup_args"} - set(registry)) + sorted(
            {"is_trained_"} - set(attributes)
        )
        if missing:
            raise KeyError(missing[0])
    except _UNREADABLE as error:
        raise _lacking(file, error) from error


def _lacking(file: Path, error: BaseException) -> ValueError:
    return ValueError(
        f"{file} lacks parts of a PLKD model ({type(error).__name__}: {_first_line(error)}). Fix: save the model again, or "
        "take an intact copy."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def refusing_other_weights(folder: Path) -> Iterator[None]:
    """Say that the weights are not those of the networks that the attributes describe."""
    try:
        yield
    except RuntimeError as error:
        raise ValueError(
            f"{folder}: the weights do not fit the model that was saved ({_first_line(error)}). Fix: take an intact copy."
        ) from error
