"""What the labels look like in the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from plkd.data import Cells
from plkd.nn import InputScaling
from plkd.train._weights import label_spread

#: Cells that labels are described by, and how many of each at least.
_MOST_CELLS, _LEAST_OF_A_LABEL = 5_000, 50


def label_profiles(
    scaling: Mapping[str, InputScaling], cells: Cells, train: np.ndarray, n_labels: int
) -> dict[str, np.ndarray]:
    """Return by modality the mean scaled values of about 5,000 cells by label; of a label without such cells, of all."""
    found = {}
    for kind, layer in scaling.items():
        own = train[cells.measured_in(kind)[train]]
        spread = label_spread(cells, thinned(own, cells.labels[own]), kind, layer)
        if spread is None:
            found[kind] = np.zeros((n_labels, len(layer.weight)), dtype=np.float32)
            continue
        overall = spread.counts @ spread.means / spread.counts.sum()
        found[kind] = np.tile(overall.astype(np.float32), (n_labels, 1))
        found[kind][spread.codes] = spread.means
    return found


def thinned(cells: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return about 5,000 of the cells in the labels' shares, but 50 of each label where there are as many."""
    step = -(-len(cells) // _MOST_CELLS)
    kept = [np.array([], dtype=np.int64)]
    for label in np.unique(labels):
        own = cells[labels == label]
        kept.append(own[:: max(1, min(step, len(own) // _LEAST_OF_A_LABEL))])
    return np.sort(np.concatenate(kept))
