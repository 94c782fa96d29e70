"""From a matrix in memory or on disk to mini-batches: one way in for training, prediction and the Annotator."""

from __future__ import annotations

from plkd.data._cells import Cells, Modality
from plkd.data._matrix import get_matrix, layer_names
from plkd.data._query import open_query
from plkd.data._rows import Rows
from plkd.data._scale import Scale, detect_scale

__all__ = ["Cells", "Modality", "Rows", "Scale", "detect_scale", "get_matrix", "layer_names", "open_query"]
