"""One file per interrupted run: what a phase needs to go on from its last finished epoch, and finished folds."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks.early_stopping import EarlyStopping
from safetensors.torch import save_file

from plkd._files import read_safetensors, replace_when_written
from plkd.data import Cells
from plkd.nn import SparseRows, Values
from plkd.train._best import KeepBest
from plkd.train._plan import SMOOTHED
from plkd.train._split import Split

logger = logging.getLogger("plkd")

FORMAT = 4
_PARTS = ("train", "validation", "test", "unlabeled", "doubtful")
#: Cells whose counts are looked at, to tell other counts apart.
_SUMMED = 256


class Checkpoint(Callback):
    """Write the state of a phase after every epoch, and put it back at the start of a resumed one.

    Parameters
    ----------
    path
        The file; replaced as a whole, so that a kill leaves the old one or the new one.
    settings
        What the run was asked to do, JSON-able. A file of other settings is refused.
    split
        The run's split, stored so that a resumed run keeps it.
    """

    def __init__(self, path: Path, settings: dict[str, Any], split: Split):
        self.path, self.settings, self.split = path, plain(settings), split
        #: History of trainings before this run, by key.
        self.before: dict[str, list[float]] = {}
        #: Earlier rows of the history: one dict of scores per finished epoch, phases one after the other.
        self.history: list[dict[str, float]] = []
        self.resumed: dict[str, Any] | None = None

    def fold_store(self, folds: int) -> FoldStore:
        """Return what was found for the folds that were finished before an interruption, and keeps more.

        Parameters
        ----------
        folds
            Fingerprint of the folds.
        """
        return FoldStore(folds_path(self.path), {**self.settings, "folds": folds, "format": FORMAT})

    def remove(self) -> None:
        """Remove the files of a run that is finished."""
        for path in (self.path, folds_path(self.path)):
            path.unlink(missing_ok=True)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Let early stopping count before the file is written, not after."""
        for callback in trainer.callbacks:
            if isinstance(callback, EarlyStopping):
                callback._check_on_train_epoch_end = False

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the file; of several processes the first does."""
        if not trainer.is_global_zero:
            return
        scores = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(f"{pl_module.phase}_")}
        self.history.append(scores)
        # Lightning validates within the epoch, so this epoch's scores are there already.
        best = next((c for c in trainer.callbacks if isinstance(c, KeepBest)), None)
        stopping = next((c for c in trainer.callbacks if isinstance(c, EarlyStopping)), None)
        optimizer = trainer.optimizers[0].state_dict()
        tensors = {f"module.{k}": v for k, v in pl_module.module.state_dict().items()}
        for i, state in optimizer["state"].items():
            tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items() if v is not None}
        if best is not None and best.best_weights is not None:
            tensors |= {f"best.{k}": v for k, v in best.best_weights.items()}
        tensors["rng"] = torch.get_rng_state()
        for part in _PARTS:
            tensors[f"split.{part}"] = torch.from_numpy(getattr(self.split, part))
        state = {
            "format": FORMAT,
            "settings": self.settings,
            "phase": pl_module.phase,
            "finished": False,
            "epochs": pl_module.first_epoch + trainer.current_epoch + 1,
            "steps": pl_module.first_step + trainer.global_step,
            "seed": getattr(pl_module, "seed", None),
            "best_score": None if best is None else best.best_score,
            "fallen": best is not None and best.best_score - best.last_score > best.tolerance,
            "stopping": None if stopping is None else [int(stopping.wait_count), float(stopping.best_score)],
            "note": self.split.note,
            "history": self.history,
            "before": self.before,
        }
        self._write(tensors, state)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Say in the file that the phase is finished, and which weights it kept."""
        if not trainer.is_global_zero:
            return
        tensors, metadata = read_safetensors(self.path)
        tensors |= {f"module.{k}": v for k, v in pl_module.module.state_dict().items()}
        tensors["rng"] = torch.get_rng_state()
        self._write(tensors, {**json.loads(metadata["plkd"]), "finished": True})

    def _write(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        contiguous = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        with replace_when_written(self.path) as temporary:
            save_file(contiguous, temporary, metadata={"plkd": json.dumps(state)})

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Put a resumed run's random state back, before the training loader draws from it."""
        if self.resumed is not None:
            torch.set_rng_state(self.resumed["tensors"]["rng"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Put a resumed run's optimiser, best weights and patience back."""
        if self.resumed is None:
            return
        resumed, self.resumed = self.resumed, None
        tensors = resumed["tensors"]
        optimizer = trainer.optimizers[0]
        state = optimizer.state_dict()
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, i, name = key.split(".", 2)
                state["state"].setdefault(int(i), {})[name] = value
        optimizer.load_state_dict(state)
        key = f"{pl_module.phase}_macro_f1_validation"
        pl_module.recent = [row[key] for row in resumed["history"] if key in row][-SMOOTHED:]
        for callback in trainer.callbacks:
            if isinstance(callback, KeepBest) and resumed["best_score"] is not None:
                callback.best_score = callback.last_score = resumed["best_score"]
                callback.best_weights = best_weights(resumed)
            if isinstance(callback, EarlyStopping) and resumed["stopping"] is not None:
                callback.wait_count = resumed["stopping"][0]
                callback.best_score = torch.tensor(resumed["stopping"][1])


def best_weights(resumed: dict[str, Any]) -> dict[str, torch.Tensor] | None:
    """Return the best weights so far of the phase that was interrupted; None where none were kept."""
    return {k.removeprefix("best."): v for k, v in resumed["tensors"].items() if k.startswith("best.")} or None


def folds_path(path: Path) -> Path:
    """Return the file of a run's finished folds, beside that of its epochs."""
    return path.with_name(f"folds_of_{path.name}")


class FoldStore:
    """Keep what was found for each finished fold, so that a run that was cut off goes on from there.

    Parameters
    ----------
    path
        The file; replaced as a whole.
    settings
        What the run was asked to do and which folds it left out, JSON-able; a file of others is not read.
    """

    def __init__(self, path: Path, settings: dict[str, Any]):
        self.path, self.settings = path, plain(settings)
        self.found = self._read()

    def _read(self) -> dict[int, dict[str, np.ndarray]]:
        found: dict[int, dict[str, np.ndarray]] = {}
        if not self.path.exists():
            return found
        try:
            tensors, metadata = read_safetensors(self.path)
        except ValueError:
            logger.warning("%s is damaged: the folds that it held are trained again", self.path)
            return found
        if metadata.get("plkd") != json.dumps(self.settings):
            return found
        for key, value in tensors.items():
            number, _, name = key.partition(".")
            found.setdefault(int(number), {})[name] = value.numpy()
        return found

    def add(self, number: int, outputs: Mapping[str, np.ndarray]) -> None:
        """Keep the outputs for a fold."""
        self.found[number] = dict(outputs)
        tensors = {
            f"{fold}.{name}": torch.from_numpy(np.ascontiguousarray(value))
            for fold, arrays in self.found.items()
            for name, value in arrays.items()
        }
        with replace_when_written(self.path) as temporary:
            save_file(tensors, temporary, metadata={"plkd": json.dumps(self.settings)})


def digest(*parts: Any) -> str:
    """Return a short fingerprint of arrays and lists of text."""
    found = hashlib.sha256()
    for part in parts:
        values = np.asarray(part)
        found.update(str(values.shape).encode())
        found.update(values.astype(np.int64).tobytes() if values.dtype.kind in "biu" else "\n".join(values).encode())
    return found.hexdigest()[:16]


def sums_of_counts(cells: Cells) -> list[np.ndarray]:
    """Return weighted sums over the features of some cells, as whole numbers, to tell other counts apart."""
    some = cells[np.linspace(0, cells.n_obs - 1, min(cells.n_obs, _SUMMED)).astype(np.int64)]["x"]
    # Sums of counts are exact in any order; 1021 is a prime.
    sums = [_weighted_sum(x) for x in some.values()]
    return [np.rint(found.numpy()).astype(np.int64) for found in sums]


def _weighted_sum(x: Values) -> torch.Tensor:
    if not isinstance(x, SparseRows):
        return x.double() @ (torch.arange(x.shape[1]) % 1021 + 1).double()
    values = x.values.double() * (x.columns % 1021 + 1)
    return torch.zeros(x.shape[0], dtype=torch.float64).index_add_(0, x.rows, values)


def history_of(resumed: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the history up to an interruption, as scvi-tools keeps it: a frame of one column by key."""
    columns = {key: list(values) for key, values in resumed["before"].items()}
    for row in resumed["history"]:
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return {key: history_frame(key, values) for key, values in columns.items()}


def history_frame(key: str, values: Any) -> pd.DataFrame:
    """Return one score by epoch, float, named by ``key``.

    The name is kept as an object: pandas 2 cannot unpickle a saved model's history with pandas 3's text type.
    """
    frame = pd.DataFrame(np.asarray(values, dtype=float)[:, None], columns=pd.Index([key], dtype=object))
    return frame.rename_axis("epoch")


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON gives them back; numpy's numbers become Python's."""
    return json.loads(json.dumps(settings, default=lambda value: value.item()))


def read_checkpoint(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Read a run's file; None where there is none.

    Raises
    ------
    ValueError
        If it is damaged, or belongs to a run of other settings.
    """
    if not path.exists():
        return None
    tensors, metadata = read_safetensors(path, fix="delete it; training then starts anew")
    state = json.loads(metadata.get("plkd", "{}"))
    if state.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no checkpoint of this version of plkd. Fix: name an empty folder as checkpoint_dir."
        )
    settings = plain(settings)
    if state["settings"] != settings:
        changed = [k for k, v in settings.items() if state["settings"].get(k) != v]
        raise ValueError(
            f"{path} belongs to a run of other settings ({', '.join(changed) or 'unknown'} differ); expected the same "
            "data, model and training arguments. Fix: name an empty folder as checkpoint_dir, or delete the file."
        )
    parts = {part: tensors.pop(f"split.{part}").numpy().astype(np.int64) for part in _PARTS}
    return {**state, "tensors": tensors, "split": Split(**parts, note=state["note"])}
