"""Paired differences between methods, with bootstrap intervals over folds, cells and seeds.

The tasks are fixed. Each draw takes, with replacement: folds of a task; query cells within each label, the same cells for
both methods, so that no label vanishes from a macro average; seeds of each method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from benchmarks.annotation.prediction import Cells
from benchmarks.annotation.scores import accuracy, confusion, macro_f1

SCORE: dict[str, Callable[[np.ndarray], float]] = {"macro_f1": macro_f1, "accuracy": accuracy}


class Fold:
    """Truth of one fold and the predictions of some methods, one row per seed, in common label codes."""

    def __init__(self, runs: dict[str, list[Cells]]):
        every = [c for cells in runs.values() for c in cells]
        self.names = np.unique(np.concatenate([c.names for c in every]))
        self.truth = np.searchsorted(self.names, every[0].names)[every[0].truth]
        if any(not np.array_equal(np.searchsorted(self.names, c.names)[c.truth], self.truth) for c in every):
            raise ValueError(
                "Rows of one fold are of different query cells. Fix: a new results file for changed data or tasks."
            )
        self.predicted = {
            method: np.stack([np.searchsorted(self.names, c.names)[c.predicted] for c in cells])
            for method, cells in runs.items()
        }
        order = np.argsort(self.truth, kind="stable")
        sizes = np.bincount(self.truth, minlength=len(self.names))
        self.by_label, self.start, self.size = (
            order,
            np.repeat(np.cumsum(sizes) - sizes, sizes),
            np.repeat(sizes, sizes),
        )

    def draw_cells(self, rng: np.random.Generator) -> np.ndarray:
        """Draw as many cells of each label as there are."""
        return self.by_label[self.start + (rng.random(len(self.truth)) * self.size).astype(int)]

    def score(self, method: str, score: str, cells: np.ndarray, seeds: np.ndarray) -> float:
        """Mean score over some seeds on some cells."""
        predicted = self.predicted[method]
        matrices = (confusion(self.truth[cells], predicted[seed][cells], len(self.names)) for seed in seeds)
        return float(np.mean([SCORE[score](matrix) for matrix in matrices]))

    def difference(self, pair: tuple[str, str], score: str, rng: np.random.Generator | None) -> float:
        """Score of the first method minus that of the second; as observed without ``rng``, else of one draw."""
        cells = np.arange(len(self.truth)) if rng is None else self.draw_cells(rng)
        values = []
        for method in pair:
            n_seeds = len(self.predicted[method])
            seeds = np.arange(n_seeds) if rng is None else rng.integers(n_seeds, size=n_seeds)
            values.append(self.score(method, score, cells, seeds))
        return values[0] - values[1]


def task_differences(
    folds: list[Fold], pair: tuple[str, str], score: str, n_boot: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return the observed difference of a task (mean over folds) and its bootstrap draws."""
    observed = float(np.mean([fold.difference(pair, score, None) for fold in folds]))
    draws = [
        np.mean([folds[i].difference(pair, score, rng) for i in rng.integers(len(folds), size=len(folds))])
        for _ in range(n_boot)
    ]
    return observed, np.array(draws)


def _folds(cells: dict[tuple, Cells], pair: tuple[str, str]) -> Iterator[tuple[str, list[Fold]]]:
    """Yield for each task its folds where both methods have the same ones."""
    index = pd.DataFrame(list(cells), columns=["task", "fold", "method", "seed"])
    for task, rows in index[index["method"].isin(pair)].groupby("task", sort=False):
        have = [set(rows.loc[rows["method"] == method, "fold"]) for method in pair]
        if have[0] and have[0] == have[1]:
            yield str(task), [
                Fold({
                    method: [cells[task, fold, method, s] for s in runs.loc[runs["method"] == method, "seed"]]
                    for method in pair
                })
                for fold, runs in rows.groupby("fold")
            ]  # fmt: skip


def paired_differences(
    cells: dict[tuple, Cells], versus: str, score: str, average_over: list[str], *, n_boot: int
) -> pd.DataFrame:
    """Compare ``versus`` with every other method on each task and on the mean over tasks.

    Returns
    -------
    Columns ``method``, ``task``, ``difference``, ``low``, ``high`` (95 % interval).
    """
    lines, rng = [], np.random.default_rng(0)
    for other in dict.fromkeys(method for _, _, method, _ in cells):
        if other == versus:
            continue
        found = {t: task_differences(f, (versus, other), score, n_boot, rng) for t, f in _folds(cells, (versus, other))}
        if average_over and set(average_over) <= set(found):
            chosen = [found[task] for task in average_over]
            found["mean over tasks"] = np.mean([o for o, _ in chosen]), np.mean([d for _, d in chosen], axis=0)
        for task, (observed, draws) in found.items():
            low, high = np.percentile(draws, [2.5, 97.5])
            lines.append({"method": other, "task": task, "difference": observed, "low": low, "high": high})
    return pd.DataFrame(lines, columns=["method", "task", "difference", "low", "high"])
