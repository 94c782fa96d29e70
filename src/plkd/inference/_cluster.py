"""Run the Student on the workers of a dask cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from plkd.data import Cells, ModalitySpec, open_file, open_query
from plkd.inference._axes import Axes
from plkd.inference._batches import batch_size_for
from plkd.inference._run import StudentOutput, run_student
from plkd.nn import InputScaling, Student

#: Mini-batches of a task: enough that opening a file costs little beside them.
_BATCHES = 8
#: Tasks for each worker that are handed out ahead; results are taken in order, so that no more wait in memory.
_AHEAD = 2


def check_client(client: Any, query: Any) -> None:
    """Refuse what is no client of dask.distributed, and queries that workers cannot read for themselves.

    Raises
    ------
    TypeError
        Naming what was expected.
    """
    if client is None:
        return
    if not all(hasattr(client, name) for name in ("submit", "scatter", "nthreads")):
        raise TypeError(
            f"client is a {type(client).__name__}; expected a dask.distributed.Client, or None. Fix: `client=Client()`."
        )
    matrices = [] if isinstance(query, str | Path) else [part.X for part in getattr(query, "mod", {"": query}).values()]
    if any(not hasattr(matrix, "numblocks") for matrix in matrices):
        raise TypeError(
            "With client= the workers read the query themselves; expected the path of a file that they all see, or arrays of "
            "dask. Fix: pass the path, or `anndata.experimental.read_lazy(path)`."
        )


def cluster_outputs(
    client: Any,
    source: Cells | str,
    specs: Sequence[ModalitySpec],
    kind: str | None,
    scaling: Mapping[str, InputScaling],
    student: Student,
    cells: Cells,
    indices: np.ndarray,
    *,
    axes: Mapping[str, Axes] | None = None,
    batch_size: int | None = None,
    progress: str | None = None,
) -> Iterator[StudentOutput]:
    """Yield what :func:`run_student` returns, in order, in pieces that workers compute in mini-batches of their own.

    Parameters
    ----------
    client
        Of dask.distributed.
    source
        What workers read: cells in arrays of dask, or the path of a file.
    specs
        The model's modalities.
    kind
        Of the modality that is read alone; None: all that there are.
    scaling, student, cells, indices, axes, batch_size, progress
        As of :func:`run_student`.
    """
    size = batch_size_for(cells, batch_size)
    if not isinstance(source, str):
        # Within a task: tasks of their own would wait for this one.
        source = source.computed_by("threads")
    common = client.scatter(
        [(source, specs, kind, dict(scaling), student, axes, batch_size)], broadcast=True, hash=False
    )[0]
    split = np.split(indices, np.arange(_BATCHES * size, len(indices), _BATCHES * size))
    pieces = iter(tqdm(split, desc=progress, disable=progress is None, unit="part"))
    waiting: deque[Any] = deque()
    try:
        for _ in range(_AHEAD * max(len(client.nthreads()), 1)):
            _submit(client, waiting, common, pieces)
        while waiting:
            output = waiting.popleft().result()
            _submit(client, waiting, common, pieces)
            yield output
    finally:
        client.cancel(list(waiting))


def _submit(client: Any, waiting: deque[Any], common: Any, pieces: Iterator[np.ndarray]) -> None:
    numbers = next(pieces, None)
    if numbers is not None:
        waiting.append(client.submit(_work, common, numbers, pure=False))


def _work(common: tuple[Any, ...], numbers: np.ndarray) -> StudentOutput:
    source, specs, kind, scaling, student, axes, batch_size = common
    run = {"axes": axes, "batch_size": batch_size}
    if not isinstance(source, str):
        return run_student(scaling, student, source, numbers, **run)
    with open_file(Path(source)) as data:
        cells = open_query(data, specs, told=True)
        return run_student(scaling, student, cells if kind is None else cells.only(kind), numbers, **run)
