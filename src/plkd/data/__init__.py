"""From a matrix in memory or on disk to mini-batches: one way in for training, prediction and the Annotator."""

from __future__ import annotations

from plkd.data._cells import Cells, Modality, lying_on
from plkd.data._contents import check_contents
from plkd.data._joined import JoinedCells
from plkd.data._matrix import get_matrix, layer_names
from plkd.data._obs import as_text, find_column, is_writable, obs_column, ordered_categories, say_where_found, text_of
from plkd.data._open import open_file, read_file
from plkd.data._query import Aligned, align_query, align_table, open_query
from plkd.data._rows import Rows
from plkd.data._scale import Scale, detect_scale
from plkd.data._spec import ModalitySpec, Table, find_table, layer_table, modality_table, obsm_table
from plkd.data._unmet import say_unmet

__all__ = [
    "Aligned",
    "Cells",
    "JoinedCells",
    "Modality",
    "ModalitySpec",
    "Rows",
    "Scale",
    "Table",
    "align_query",
    "align_table",
    "as_text",
    "check_contents",
    "detect_scale",
    "find_column",
    "find_table",
    "get_matrix",
    "is_writable",
    "layer_names",
    "layer_table",
    "lying_on",
    "modality_table",
    "obs_column",
    "obsm_table",
    "open_file",
    "open_query",
    "ordered_categories",
    "read_file",
    "say_unmet",
    "say_where_found",
    "text_of",
]
