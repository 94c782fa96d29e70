"""Loading, saving and exporting: broken files, things that pose as others, places that cannot be written."""

from __future__ import annotations

import errno
import gzip
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests import moments
from tests.hostile import arguments
from tests.hostile.judge import Outcome, judge, judge_error
from tests.hostile.world import SAVED, Case, World, good

MODEL, ANNOTATOR = "model.pt", "annotator.safetensors"
Break = Callable[[bytes], bytes]


def _executed() -> None:
    raise SystemExit("a pickle was executed")


class Posing:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return _executed, ()


def _with(data: bytes, place: int, change: int) -> bytes:
    broken = bytearray(data)
    broken[place] ^= change
    return bytes(broken)


def damages(data: bytes) -> dict[str, bytes]:
    """Return a file with some bytes changed, cut off, added, and other files under its name."""
    n = len(data)
    places = np.unique(np.linspace(0, n - 1, 40).astype(int)).tolist()
    found = {f"byte {place}": _with(data, place, 0xFF) for place in places}
    found |= {f"cut at {place}": data[:place] for place in places[::4]}
    found |= {
        "one byte more": data + b"\0", "twice": data * 2, "first byte gone": data[1:], "empty": b"", "zeros": b"\0" * n, "text": b"not a model\n" * 20,
        "pickle": pickle.dumps(Posing()), "pickle of a dict": pickle.dumps({"labels": ["a"]}), "gzip": gzip.compress(data), "HTML": b"<html>404</html>",
        "huge header": (2**62).to_bytes(8, "little") + data[8:], "negative header": b"\xff" * 8 + data[8:], "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\n",
    }  # fmt: skip
    return found


def _unharmed(found: Any, world: World, expected: Any) -> str | None:
    same = np.allclose(found.predict(good(), soft=True), expected.predict(good(), soft=True), atol=1e-6)
    return None if same else "it loads, and answers otherwise"


def loading(kind: str, write: Callable[[Path], Any], *, place: Callable[[Path], Any] = lambda folder: folder):
    """Load what was written into a folder: an error, or the very model that was saved."""

    def run(world: World, folder: Path) -> Outcome:
        from plkd import PLKD, Annotator

        write(folder)
        before = sorted((path.name, path.stat().st_size) for path in folder.iterdir())
        if kind == "PLKD":
            outcome = judge(
                lambda: PLKD.load(place(folder), accelerator="cpu"), lambda m: _unharmed(m, world, world.model)
            )
        else:
            outcome = judge(lambda: Annotator.load(place(folder)), lambda a: _unharmed(a, world, world.annotator))
        if sorted((path.name, path.stat().st_size) for path in folder.iterdir()) != before:
            return Outcome(False, "loading changed the folder")
        return outcome

    return run


def _contents() -> dict[str, Any]:
    """Return what a model file may hold that is no model."""
    content = torch.load(SAVED / "anndata" / MODEL, weights_only=False)

    def without(*path: str) -> Any:
        fresh = {**content, "attr_dict": {**content["attr_dict"]}}
        at = fresh
        for key in path[:-1]:
            at[key] = dict(at[key])
            at = at[key]
        at.pop(path[-1])
        return fresh

    attributes, weights = content["attr_dict"], content["model_state_dict"]
    found = {f"no {name}": without("attr_dict", name) for name in attributes}
    found |= {f"registry without {name}": without("attr_dict", "registry_", name) for name in attributes["registry_"]}
    found |= {f"no {name}": without(name) for name in content}
    other_class = {**attributes, "registry_": {**attributes["registry_"], "model_name": "SCVI"}}
    first = next(iter(weights))
    found |= {
        "a list": [1, 2], "text": "model", "a tensor": torch.ones(3), "None": None, "empty dict": {}, "weights alone": weights,
        "another class": {**content, "attr_dict": other_class}, "a weight less": {**content, "model_state_dict": {k: v for k, v in weights.items() if k != first}},
        "a weight of another shape": {**content, "model_state_dict": {**weights, first: torch.ones(1)}},
        "registry of text": {**content, "attr_dict": {**attributes, "registry_": "x"}}, "init_params of text": {**content, "attr_dict": {**attributes, "init_params_": "x"}},
        "attributes of a list": {**content, "attr_dict": []}, "newer format": {**content, "attr_dict": {**attributes, "format_": 10**6}},
        "format of text": {**content, "attr_dict": {**attributes, "format_": "one"}},
    }  # fmt: skip
    return found


def _zip_of_nothing(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")


def _zip_of_a_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02garbage")
        archive.writestr("archive/version", "3\n")


def _signed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Write an Annotator whose description was changed and whose checksum fits all the same."""

    def write(folder: Path) -> None:
        from plkd.annotator._file import read_annotator, write_annotator

        tensors, about = read_annotator(SAVED / "anndata")
        write_annotator(folder / ANNOTATOR, tensors, change(dict(about)))

    return write


def _without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda about: {k: v for k, v in about.items() if k != key}


def cases() -> Iterator[Case]:
    """Give load, save and export every file and every place."""
    for kind, name in (("PLKD", MODEL), ("Annotator", ANNOTATOR)):
        data = (SAVED / "anndata" / name).read_bytes()
        for what, broken in damages(data).items():
            yield Case(
                f"{kind}.load", what, loading(kind, lambda folder, n=name, b=broken: (folder / n).write_bytes(b))
            )
        other = ANNOTATOR if kind == "PLKD" else MODEL
        other_data = (SAVED / "anndata" / other).read_bytes()
        yield Case(
            f"{kind}.load",
            "the other's file",
            loading(kind, lambda folder, n=name, b=other_data: (folder / n).write_bytes(b)),
        )
        yield Case(f"{kind}.load", "a folder as the file", loading(kind, lambda folder, n=name: (folder / n).mkdir()))
        yield Case(f"{kind}.load", "an empty folder", loading(kind, lambda folder: None))
        yield Case(
            f"{kind}.load", "no folder", loading(kind, lambda folder: None, place=lambda folder: folder / "none")
        )
        for what, path in arguments.PATHS.items():
            yield Case(
                f"{kind}.load", f"path: {what}", loading(kind, lambda folder: None, place=lambda folder, p=path: p)
            )
    for what, write in {"zip of text": _zip_of_nothing, "zip of garbage": _zip_of_a_pickle}.items():
        yield Case("PLKD.load", what, loading("PLKD", lambda folder, w=write: w(folder / MODEL)))
    for what, content in _contents().items():
        yield Case(
            "PLKD.load", f"holds {what}", loading("PLKD", lambda folder, c=content: torch.save(c, folder / MODEL))
        )
    for key in ("format", "labels", "modalities", "student", "patterns"):
        yield Case("Annotator.load", f"signed, without {key}", loading("Annotator", _signed(_without(key))))
    changed = {
        "labels of numbers": lambda a: {**a, "labels": 3}, "more labels": lambda a: {**a, "labels": [*a["labels"], "x"]}, "a list": lambda a: [1],
        "no modalities": lambda a: {**a, "modalities": []}, "unknown kind": lambda a: {**a, "modalities": [{**a["modalities"][0], "kind": "x"}]},
        "newer format": lambda a: {**a, "format": 10**6}, "format of text": lambda a: {**a, "format": "1"}, "other sizes": lambda a: {**a, "student": {"n_hidden": [3]}},
        "a field that nobody knows": lambda a: {**a, "modalities": [{**a["modalities"][0], "new": 1}]},
    }  # fmt: skip
    for what, change in changed.items():
        yield Case("Annotator.load", f"signed, {what}", loading("Annotator", _signed(change)))
    yield Case(
        "Annotator.load",
        "another safetensors file",
        loading("Annotator", lambda folder: save_file({"a": torch.ones(2)}, folder / ANNOTATOR)),
    )
    yield from _saving()


SAVES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PLKD.save": ("model", "save", {"overwrite": True}),
    "PLKD.save with its data": ("model", "save", {"overwrite": True, "save_anndata": True}),
    "PLKD.export_student": ("model", "export_student", {"overwrite": True}),
    "Annotator.save": ("annotator", "save", {"overwrite": True}),
}


def _saving() -> Iterator[Case]:
    for entry, (whose, method, kwargs) in SAVES.items():
        for what, path in arguments.PATHS.items():
            yield Case(entry, f"path: {what}", saving(whose, method, lambda folder, p=path: p, kwargs))
        for number, what in (
            (errno.ENOSPC, "full disk"),
            (errno.EROFS, "read-only"),
            (errno.EACCES, "no permission"),
            (errno.EIO, "broken disk"),
        ):
            for moment in range(0, 8, 2):
                yield Case(entry, f"{what}, moment {moment}", failing(whose, method, kwargs, number, moment))
        yield Case(
            entry, "no such argument", saving(whose, method, lambda folder: folder / "m", {**kwargs, "nothing": 1})
        )
    for name, value in {**arguments.NAMES, "folder": "a/b", "up": "../x"}.items():
        run = saving("model", "save", lambda folder: folder / "m", {"prefix": value})
        yield Case("PLKD.save", f"prefix: {name}", run)
    for name, value in {
        "unknown": {"compress": True},
        "old form": {"_use_new_zipfile_serialization": False},
        "text": "x",
        "int": 3,
    }.items():
        yield Case(
            "PLKD.save",
            f"save_kwargs: {name}",
            saving("model", "save", lambda folder: folder / "m", {"save_kwargs": value}),
        )
    yield Case("PLKD.load", "prefix: int", lambda world, folder: judge(lambda: _load(SAVED / "anndata", prefix=3)))
    for name, value in {**arguments.NAMES, "view": good()[:9], "other genes": good()[:, :3].copy()}.items():
        if value is not None:
            yield Case(
                "PLKD.load",
                f"adata: {name}",
                lambda world, folder, v=value: judge(lambda: _load(SAVED / "anndata", adata=v), None, v),
            )
        yield Case(
            "PLKD.load",
            f"accelerator: {name}",
            lambda world, folder, v=value: judge(lambda: _load(SAVED / "anndata", accelerator=v)),
        )


def _load(folder: Path, **kwargs: Any) -> None:
    from plkd import PLKD

    PLKD.load(folder, **{"accelerator": "cpu", **kwargs})


def saving(whose: str, method: str, place: Callable[[Path], Any], kwargs: dict[str, Any]):
    """Save to a place; a failure leaves nothing behind."""

    def run(world: World, folder: Path) -> Outcome:
        call = getattr(getattr(world, whose), method)
        outcome = judge(lambda: call(place(folder), **kwargs))
        left = [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
        if left or (outcome.text != "result" and any(folder.iterdir())):
            return Outcome(False, f"left {[path.name for path in folder.rglob('*')]} ({outcome.text})")
        return outcome

    return run


def failing(whose: str, method: str, kwargs: dict[str, Any], number: int, moment: int):
    """Fail at a moment of saving over an old file; it is the old one or the new one afterwards, alone."""

    def run(world: World, folder: Path) -> Outcome:
        call = getattr(getattr(world, whose), method)
        call(folder / "m", **kwargs)

        def act() -> None:
            raise OSError(number, "the disk says no")

        with moments.struck(moment, act) as calls:
            try:
                call(folder / "m", **kwargs)
                outcome = Outcome(True, "result")
            except OSError as error:
                outcome = judge_error(error)
        names = [path.name for path in folder.rglob("*")]
        struck_in_cleaning = len(calls) > moment and calls[moment] in ("unlink", "rmdir")
        if not struck_in_cleaning and [name for name in names if name.endswith(".tmp")]:
            return Outcome(False, f"left {names}")
        if method != "save" or whose == "annotator":
            from plkd import Annotator

            Annotator.load(folder / "m")
        else:
            _load(folder / "m")
        return outcome

    return run
