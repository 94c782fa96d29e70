"""`plkd annotate`: a query in, a copy of it with labels out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer

from plkd._files import as_path
from plkd.cli._console import Verbose, quiet_libraries
from plkd.cli._paths import ANNOTATOR_FILE, check_input, check_model, check_output, is_zarr, open_data

if TYPE_CHECKING:
    from plkd import PLKD, Annotator

COLUMNS = ("label", "confidence", "novelty", "runner_up", "rejected", "reason")
VOTE_COLUMNS = ("cell_label", "vote_share")
#: Suffixes of queries whose copy has to be of the same; all others are written as .h5ad.
_OTHERS = (".h5mu", ".zarr")


def annotate(
    query: Annotated[
        Path, typer.Argument(metavar="QUERY", help="Cells to annotate: .h5ad, .h5mu or .zarr. Not changed.")
    ],
    model: Annotated[Path, typer.Option(help="Folder of `plkd train --out`, PLKD.save or export_student.")],
    out: Annotated[Path | None, typer.Option(help="Copy of the query to write, with the labels in obs.")] = None,
    table: Annotated[Path | None, typer.Option(help="Table of the labels to write (.csv or .csv.gz).")] = None,
    key_added: Annotated[str, typer.Option(help="Columns of obs are named KEY_label, KEY_confidence, ...")] = "plkd",
    unknown: Annotated[
        str | None,
        typer.Option(
            metavar="auto|RATE",
            help="Reject cells unlike the reference, at this share of cells of known types (auto: 0.05); none if not given.",
        ),
    ] = None,
    unknown_label: Annotated[str, typer.Option(help="Label of rejected cells.")] = "Unknown",
    over_clustering: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Column of obs with small clusters; all cells of one get the label most of them have.",
        ),
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt",
            help="First adapt to how much of each gene the query catches; for one batch of several known types.",
        ),
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Cells of a mini-batch, up to four at once; chosen by memory if not given."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace output files, and columns of this name in the copy.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Annotate cells with a trained model: label, confidence, novelty and runner-up of each.

    Give --out, --table or both. Of a folder with annotator.safetensors only that file is read: nothing is unpickled.
    """
    if out is None and table is None:
        raise typer.BadParameter("nothing to write; give --out FILE.h5ad, --table FILE.csv or both.")
    check_input(query, "query")
    check_model(model)
    for path, suffixes in (
        (out, (query.suffix if query.suffix in _OTHERS else ".h5ad",)),
        (table, (".csv", ".csv.gz")),
    ):
        if path is not None:
            as_path(path, "output")
            if (path.exists() and path.samefile(query)) or query.resolve() in path.resolve().parents:
                raise ValueError(f"{path} is the query itself, which is never written over. Fix: name another file.")
            check_output(path, suffixes, overwrite=overwrite)
    if out is not None:
        columns = COLUMNS if over_clustering is None else COLUMNS + VOTE_COLUMNS
        _check_columns(query, [f"{key_added}_{column}" for column in columns], overwrite)
    asked = {"unknown": _rate(unknown), "unknown_label": unknown_label, "over_clustering": over_clustering}
    found = _annotated(query, model, {**asked, "batch_size": batch_size}, adapt=adapt)
    if out is not None:
        write_annotated(query, out, found, key_added)
        typer.echo(
            f"Wrote {out}: {len(found):,} cells with " + ", ".join(f"{key_added}_{name}" for name in found.columns)
        )
    if table is not None:
        _write_table(found, table)
        typer.echo(f"Wrote {table}: {len(found):,} rows")
    if unknown is not None:
        typer.echo(f"Rejected as {unknown_label}: {found['rejected'].sum():,} of {len(found):,} cells")


def _rate(unknown: str | None) -> float | str | None:
    """Return what annotate() takes: a number where there is one; other words are left to its check."""
    try:
        return None if unknown is None else float(unknown)
    except ValueError:
        return unknown


def _check_columns(query: Path, columns: list[str], overwrite: bool) -> None:
    with open_data(query) as adata:
        there = [name for name in columns if name in adata.obs]
    if there and not overwrite:
        raise ValueError(f"{query} already has obs columns {there}. Fix: pass another --key-added, or --overwrite.")


def _annotated(query: Path, folder: Path, asked: dict[str, Any], *, adapt: bool) -> pd.DataFrame:
    """Return the table; by the Annotator if the folder has one."""
    if (folder / ANNOTATOR_FILE).is_file():
        from plkd import Annotator

        annotator = Annotator.load(folder)
        if adapt:
            annotator = _adapted(annotator, query, asked, progress=True)
        return annotator.annotate(query, progress=True, **asked)
    with quiet_libraries():
        from plkd import PLKD

        with open_data(query) as adata:
            model = PLKD.load(folder)
            return (_adapted(model, adata, asked) if adapt else model).annotate(adata, **asked)


def _adapted(model: PLKD | Annotator, query: Any, asked: dict[str, Any], *, progress: bool = False) -> Annotator:
    model.annotate(query, indices=[], **asked)  # what cannot be answered is refused before the work
    return model.adapt(query, batch_size=asked["batch_size"], progress=progress)


def write_annotated(query: Path, out: Path, table: pd.DataFrame, key_added: str) -> None:
    """Write a copy of the query's file with the table in ``obs``, whole or not at all.

    All but ``obs`` is copied as bytes: memory does not grow with the matrix, and nothing else changes.
    """
    import h5py

    from plkd._files import replace_folder_when_written, replace_when_written

    if is_zarr(query):
        import zarr

        with replace_folder_when_written(out) as temporary:
            shutil.copytree(query, temporary)
            group = zarr.open_group(str(temporary), mode="r+", use_consolidated=False)
            _add_to_obs(group, table, key_added)
            # What lists all its parts in one place has to list the new ones too.
            zarr.consolidate_metadata(group.store)
        return
    with replace_when_written(out) as temporary:
        shutil.copyfile(query, temporary)
        with h5py.File(temporary, "r+") as file:
            _add_to_obs(file, table, key_added)


def _add_to_obs(stored: Any, table: pd.DataFrame, key_added: str) -> None:
    from anndata import AnnData
    from anndata.io import read_elem, write_elem

    from plkd import add_annotation

    cells = AnnData(obs=read_elem(stored["obs"]))
    add_annotation(cells, table, key_added=key_added)
    write_elem(stored, "obs", cells.obs)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    from plkd._files import replace_when_written

    with replace_when_written(path) as temporary:
        # Not inferred: the temporary name has another suffix.
        table.to_csv(temporary, index_label="cell", compression="gzip" if path.suffix == ".gz" else None)
