"""The command line: broken files, wrong words, places that cannot be written."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import h5py
import numpy as np
import zarr

from tests.hostile import data
from tests.hostile.judge import Outcome, judge_error
from tests.hostile.world import SAVED, Case, World, good, good_mudata


class _Errors(logging.Handler):
    """Keeps the error that the command line tells only the message of."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])


def running(words: Callable[[Path], list[str]], prepare: Callable[[Path], object] = lambda folder: None):
    """Run a command in a folder; a failure says why in one line and leaves the files as they were."""

    def run(world: World, folder: Path) -> Outcome:
        from plkd.cli._app import run as command

        prepare(folder)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        handler, said, logger = _Errors(), io.StringIO(), logging.getLogger("plkd")
        logger.addHandler(handler)
        disabled = logging.root.manager.disable
        logging.disable(logging.NOTSET)
        try:
            with redirect_stderr(said), redirect_stdout(io.StringIO()):
                code = command([*words(folder), "--verbose"])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - any error at all is what is judged
            return Outcome(False, f"not caught: {type(error).__name__}: {error}")
        finally:
            logger.removeHandler(handler)
            logging.disable(disabled)
        if code == 0:
            return Outcome(True, "result")
        if {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} != before:
            return Outcome(False, f"the folder changed: {sorted(path.name for path in folder.rglob('*'))}")
        if code == 1:
            return judge_error(handler.errors[-1])
        last = said.getvalue().strip().splitlines()[-1]
        return Outcome(last.startswith("error: "), last)

    return run


def _h5ad(change: Callable[[Path], object]):
    """Write the good cells as ``query.h5ad``, then change the file."""

    def prepare(folder: Path) -> None:
        good().write_h5ad(folder / "query.h5ad")
        change(folder / "query.h5ad")

    return prepare


def _cut(share: float):
    return _h5ad(lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)]))


def _edit(change: Callable[[h5py.File], object]):
    def edit(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return _h5ad(edit)


def _delete(name: str):
    return _edit(lambda file: file.__delitem__(name))


def files() -> dict[str, Callable[[Path], object]]:
    """Return what writes a broken query."""
    found: dict[str, Callable[[Path], object]] = {
        "no file": lambda folder: None, "empty": lambda folder: (folder / "query.h5ad").touch(), "text": lambda folder: (folder / "query.h5ad").write_text("cells"),
        "a folder": lambda folder: (folder / "query.h5ad").mkdir(), "an Annotator": lambda folder: shutil.copy(SAVED / "anndata" / "annotator.safetensors", folder / "query.h5ad"),
        "no X": _delete("X"), "no obs": _delete("obs"), "no var": _delete("var"), "no index of obs": _delete("obs/_index"), "no index of var": _delete("var/_index"),
        "no column of obs": _delete("obs/cell_type"), "plain HDF5": lambda folder: h5py.File(folder / "query.h5ad", "w").close(), "good": _h5ad(lambda path: None),
        "X of text": _edit(lambda file: (file.__delitem__("X"), file.create_dataset("X", data=np.full((60, 30), b"a")))),
        "X of another shape": _edit(lambda file: (file.__delitem__("X"), file.create_dataset("X", data=np.ones((7, 7))))),
    }  # fmt: skip
    found |= {f"cut at {share:.0%}": _cut(share) for share in (0.02, 0.3, 0.6, 0.9, 0.99)}
    chosen = {**data.matrices(good()), **data.shapes(good())}
    for name in (
        "X: one NaN",
        "X: negative",
        "X: 1e38",
        "X: all zero",
        "no genes",
        "one cell",
        "no cells",
        "transposed",
        "one gene",
    ):
        found[name] = lambda folder, make=chosen[name]: make().write_h5ad(folder / "query.h5ad")
    return found


def zarrs() -> dict[str, Callable[[Path], object]]:
    """Return what writes a folder that is no query, or an odd one."""

    def edited(change: Callable[[zarr.Group], object]) -> Callable[[Path], object]:
        def prepare(folder: Path) -> None:
            good().write_zarr(folder / "query.zarr")
            group = zarr.open_group(str(folder / "query.zarr"), mode="r+", use_consolidated=False)
            change(group)
            zarr.consolidate_metadata(group.store)

        return prepare

    return {
        "good": edited(lambda group: None),
        "no folder": lambda folder: None,
        "empty folder": lambda folder: (folder / "query.zarr").mkdir(),
        "a file": lambda folder: (folder / "query.zarr").write_text("cells"),
        "other groups": lambda folder: zarr.open_group(str(folder / "query.zarr"), mode="w").create_group("a"),
        "an array": lambda folder: zarr.create_array(str(folder / "query.zarr"), shape=(3,), dtype="f4"),
        "a MuData": lambda folder: good_mudata().write_zarr(folder / "query.zarr"),
        "no X": edited(lambda group: group.__delitem__("X")),
        "no obs": edited(lambda group: group.__delitem__("obs")),
        "no var": edited(lambda group: group.__delitem__("var")),
        "X of another shape": edited(lambda group: group.create_array("X", data=np.ones((7, 7)), overwrite=True)),
        "a chunk is lost": lambda folder: (edited(lambda group: None)(folder), _lose(folder / "query.zarr" / "X")),
    }


def _lose(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.startswith((".", "zarr")):
            file.write_bytes(file.read_bytes()[:5])


def cases() -> Iterator[Case]:
    """Give the commands every file and many words."""
    model = str(SAVED / "anndata")

    def annotate(*more: str, query: str = "query.h5ad", by: str = model):
        return lambda folder: [
            "annotate",
            str(folder / query),
            "--model",
            by,
            *(word.replace("HERE", str(folder)) for word in more),
        ]

    def train(*more: str):
        return lambda folder: [
            "train",
            str(folder / "query.h5ad"),
            "--out",
            str(folder / "m"),
            "--max-epochs",
            "1",
            *more,
        ]

    for name, prepare in files().items():
        yield Case("plkd annotate", name, running(annotate("--table", "HERE/out.csv"), prepare))
        yield Case("plkd annotate", f"{name}, copied", running(annotate("--out", "HERE/out.h5ad"), prepare))
        if name not in ("good", "X: all zero"):  # a training: slow, and tested elsewhere
            yield Case("plkd train", name, running(train("--labels-key", "cell_type"), prepare))
    good_file = _h5ad(lambda path: None)
    for name, words in {
        "nothing to write": [], "no such folder": ["--table", "HERE/no/out.csv"], "wrong suffix": ["--table", "HERE/out.txt"], "a folder": ["--table", "HERE"],
        "itself": ["--out", "HERE/query.h5ad", "--overwrite"], "batch size 0": ["--table", "HERE/out.csv", "--batch-size", "0"], "batch size of text": ["--table", "HERE/out.csv", "--batch-size", "x"],
        "unknown option": ["--nothing"], "unknown rate": ["--table", "HERE/out.csv", "--unknown", "2"], "rate of text": ["--table", "HERE/out.csv", "--unknown", "often"],
        "unknown clustering": ["--table", "HERE/out.csv", "--over-clustering", "nope"], "below a file": ["--table", "HERE/query.h5ad/out.csv"], "empty key": ["--out", "HERE/out.h5ad", "--key-added", ""],
        "NUL": ["--table", "HERE/a\0.csv"], "long": ["--table", "HERE/" + "a" * 400 + ".csv"],
    }.items():  # fmt: skip
        yield Case("plkd annotate", f"words: {name}", running(annotate(*words), good_file))
    for name, by in {"no such": "HERE/none", "empty": ".", "a file": str(SAVED / "anndata" / "model.pt")}.items():
        yield Case("plkd annotate", f"model: {name}", running(annotate("--table", "HERE/out.csv", by=by), good_file))
    for name, words in {
        "no such labels": ["--labels-key", "nope"], "no such batch": ["--labels-key", "cell_type", "--batch-key", "nope"], "no such layer": ["--labels-key", "cell_type", "--layer", "nope"],
        "no such patterns": ["--labels-key", "cell_type", "--patterns", "nope.gmt"], "no such symbols": ["--labels-key", "cell_type", "--gene-symbols", "nope"], "epochs 0": ["--labels-key", "cell_type", "--max-epochs", "0"],
        "seed of text": ["--labels-key", "cell_type", "--seed", "x"], "no labels": [], "modality of h5mu": ["--labels-key", "cell_type", "--modality", "rna=x"], "unknown preset": ["--labels-key", "cell_type", "--preset", "x"],
        "negative seed": ["--labels-key", "cell_type", "--seed", "-1"], "huge seed": ["--labels-key", "cell_type", "--seed", str(2**70)], "no such proteins": ["--labels-key", "cell_type", "--protein-obsm-key", "x"],
        "checkpoint in a file": ["--labels-key", "cell_type", "--checkpoint-dir", f"{SAVED}/anndata/model.pt/x"],
    }.items():  # fmt: skip
        yield Case("plkd train", f"words: {name}", running(train(*words), good_file))
    for name, make in zarrs().items():
        yield Case(
            "plkd annotate", f"zarr: {name}", running(annotate("--table", "HERE/out.csv", query="query.zarr"), make)
        )
    yield Case("plkd", "unknown command", running(lambda folder: ["nothing"]))
    yield Case(
        "plkd demo", "out is a file", running(lambda folder: ["demo", "--out", str(folder / "query.h5ad")], good_file)
    )
    yield Case("plkd demo", "out holds other files", running(lambda folder: ["demo", "--out", str(folder)], good_file))
