"""Tables of patterns in text files."""

from __future__ import annotations

import zlib
from pathlib import Path

import pandas as pd

#: By what names of tables end in, before .gz, what stands between their columns.
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def is_table(path: Path) -> bool:
    """Whether a file is named as a table's: ``.csv`` or ``.tsv``, gzipped or not."""
    return path.name.lower().removesuffix(".gz").endswith(tuple(SEPARATORS))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table with a header; ``NA`` is the name of a gene, not a gap.

    Raises
    ------
    ValueError
        If the file is no such table.
    """
    separator = SEPARATORS[Path(path.name.lower().removesuffix(".gz")).suffix]
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    try:
        return pd.read_csv(path, sep=separator, compression=compression, keep_default_na=False, na_values=[""])
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a table ({error}); expected text in UTF-8 with a row for each pattern and feature, "
            "columns source, target and optionally weight."
        ) from error
