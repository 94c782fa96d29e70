"""`plkd patterns`: what a collection of patterns holds of a file's features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import pandas as pd
import typer

from plkd._files import as_path
from plkd.cli._console import Verbose
from plkd.cli._paths import check_input, check_output, open_data

if TYPE_CHECKING:
    from plkd.patterns import CoverageReport

_SHOWN = 10


def patterns(
    collection: Annotated[
        str,
        typer.Argument(metavar="PATTERNS", help="A file of patterns, or a collection: immune, hallmark, ..."),
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="The cells: .h5ad, .h5mu or .zarr. Only names are read.")
    ],
    organism: Annotated[
        str, typer.Option(help="Species of the data; human genes of the patterns are translated to it.")
    ] = "human",
    modality: Annotated[
        str | None,
        typer.Option(help="Modality of an .h5mu file, and which it is, e.g. protein=prot; rna=rna if not given."),
    ] = None,
    gene_symbols: Annotated[
        str | None, typer.Option(help="Column of var to look up in the patterns, if var_names are other identifiers.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Table of all patterns to write (.csv or .csv.gz).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the table if it is there.")] = False,
    verbose: Verbose = False,
) -> None:
    """Show which share of each pattern's features a data set has, and which patterns training would drop.

    Patterns are matched and filtered as `plkd train --patterns` does it.
    """
    check_input(data, "data")
    if out is not None:
        if as_path(out, "out").exists() and out.samefile(data):
            raise ValueError(f"{out} is the data, which are never written over. Fix: name another file.")
        check_output(out, (".csv", ".csv.gz"), overwrite=overwrite)
    names, genes, kind = _features(data, modality, gene_symbols)
    from plkd import presets
    from plkd.patterns import COLLECTIONS, KIND, read, translate
    from plkd.patterns import collection as named

    if organism == "human":
        sets = read(collection)
    else:
        sets = named(collection, organism) if collection in COLLECTIONS else translate(read(collection), organism)
    settings = presets.default.patterns
    matched = sets.for_features(
        names,
        kind=kind,
        genes=genes,
        min_size=min(settings.min_size, KIND[kind].least) if KIND[kind].is_panel else settings.min_size,
        max_size=settings.max_size,
        max_patterns=settings.max_patterns,
        max_overlap=settings.max_overlap,
    )
    report = cast("CoverageReport", matched.report)
    table = report.to_frame()
    table.insert(3, "share_found", np.divide(table["n_found"], table["n_in_set"]))
    typer.echo(f"{collection}: {sets!r}\n{data}: {len(names):,} features ({kind})\n{report}\n")
    typer.echo(_shown(table))
    if out is not None:
        _write(table, out)
        typer.echo(f"\nWrote {out}: {len(table):,} rows")


def _features(data: Path, modality: str | None, gene_symbols: str | None) -> tuple[list[str], list[Any] | None, str]:
    """Return the names of a modality's features, the names to look up instead where a column is told, and its kind."""
    from plkd.patterns import KINDS

    kind, _, name = ("rna=rna" if modality is None else modality).partition("=")
    if kind not in KINDS or not name:
        raise typer.BadParameter(f"--modality {modality}: expected {'=NAME, '.join(KINDS)}=NAME.")
    with open_data(data) as opened:
        if hasattr(opened, "mod"):
            if name not in opened.mod:
                raise ValueError(
                    f"{data} holds the modalities {list(opened.mod)}, and none named {name!r}. Fix: say which is which, "
                    "such as --modality rna=NAME or --modality protein=NAME."
                )
            opened = opened.mod[name]
        elif modality is not None:
            raise typer.BadParameter(f"--modality is for .h5mu files; {data} is none.")
        if gene_symbols is None:
            return [str(feature) for feature in opened.var_names], None, kind
        if gene_symbols not in opened.var:
            raise KeyError(
                f"gene_symbols={gene_symbols!r} is not a column of var, which holds {list(map(str, opened.var.columns))}. "
                "Fix: pass --gene-symbols <one of them>."
            )
        return [str(feature) for feature in opened.var_names], list(opened.var[gene_symbols]), kind


def _shown(table: pd.DataFrame) -> str:
    """Return lines of text: how large the sets are, and those of which least is found."""
    worst = table.sort_values("share_found", kind="stable").head(_SHOWN)
    width = max(map(len, worst["pattern"]))
    sizes, share = table["n_in_set"], table["share_found"]
    return "\n".join(
        [
            f"{len(table):,} patterns of {sizes.min():,} to {sizes.max():,} features (median {sizes.median():g}); found of each: "
            f"{share.min():.0%} to {share.max():.0%} (median {share.median():.0%}), less than half of {(share < 0.5).sum():,}",
            "",
            f"{'least found':{width}}{'in set':>8}{'found':>8}{'share':>7}",
            *(
                f"{row.pattern:{width}}{row.n_in_set:8,}{row.n_found:8,}{row.share_found:7.0%}"
                + (f"  dropped, {row.reason}" if row.reason else "")
                for row in worst.itertuples()
            ),
        ]
    )


def _write(table: pd.DataFrame, path: Path) -> None:
    from plkd._files import replace_when_written

    with replace_when_written(path) as temporary:
        # Not inferred: the temporary name has another suffix.
        table.to_csv(temporary, index=False, compression="gzip" if path.suffix == ".gz" else None)
