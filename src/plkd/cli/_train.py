"""`plkd train`: a reference in, a model folder out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from plkd.cli._console import Verbose, quiet_libraries
from plkd.cli._paths import ANNOTATOR_FILE, check_input, check_model_target
from plkd.cli._scores import score, score_table

if TYPE_CHECKING:
    from plkd import PLKD


class PresetName(StrEnum):
    """Presets of :mod:`plkd.presets`."""

    default = "default"
    paper = "paper"


def train(
    ref: Annotated[Path, typer.Argument(metavar="REF", help="Reference: an .h5ad file with a label for each cell.")],
    labels_key: Annotated[str, typer.Option(help="Column of obs with the labels.")],
    out: Annotated[Path, typer.Option(help="Folder to save the model and the Annotator into.")],
    batch_key: Annotated[str | None, typer.Option(help="Column of obs with the batch: donor, protocol, ...")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the counts; X if not given.")] = None,
    unlabeled_category: Annotated[str, typer.Option(help="Label of the cells that have none.")] = "Unknown",
    patterns: Annotated[
        str | None, typer.Option(help="A .gmt file, or 'immune' for the bundled sets; learned if not given.")
    ] = None,
    gene_symbols: Annotated[
        str | None, typer.Option(help="Column of var to look up in the patterns, if var_names are other identifiers.")
    ] = None,
    preset: Annotated[PresetName, typer.Option(help="Settings of networks and training.")] = PresetName.default,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Most epochs of each phase; chosen by the number of cells if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for a checkpoint; if the run is cut off, the same command goes on from it."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is in the folder.")] = False,
    verbose: Verbose = False,
) -> None:
    """Train on a labelled reference: the Teacher, then the Student distilled from it.

    The folder gets model.pt, for plkd.PLKD.load, and annotator.safetensors, the exported Student that annotate uses.
    """
    check_input(ref, "reference")
    check_model_target(out, overwrite=overwrite)
    from plkd import PLKD, presets
    from plkd.patterns import read

    sets = None if patterns is None else read(patterns)
    with quiet_libraries():
        import scvi
        from anndata import read_h5ad

        adata = read_h5ad(ref)
        scvi.settings.seed = seed
        PLKD.setup_anndata(
            adata, labels_key=labels_key, unlabeled_category=unlabeled_category, layer=layer, batch_key=batch_key
        )
        model = PLKD(adata, patterns=sets, gene_symbols=gene_symbols, preset=getattr(presets, preset.value))
        model.train(max_epochs=max_epochs, checkpoint_dir=checkpoint_dir)
        scores = held_out_scores(model, adata.obs[labels_key])
    save_model(model, out)
    typer.echo(repr(model))
    if scores:
        typer.echo(f"\n{len(model.validation_indices_)} cells held out\n{score_table(scores)}")
    typer.echo(
        f"\nSaved to {out}: model.pt, {ANNOTATOR_FILE}\nNext: plkd annotate QUERY.h5ad --model {out} --out FILE.h5ad"
    )


def held_out_scores(model: PLKD, labels: object) -> dict[str, np.ndarray]:
    """Return the scores of both networks on the cells held out of training; empty if there were none."""
    held_out = model.validation_indices_
    if not len(held_out):
        return {}
    truth = np.asarray(labels, dtype=object)[held_out]
    return {
        "Student": np.array([score(truth, model.predict(indices=held_out))]),
        "Teacher": np.array([score(truth, model.predict(indices=held_out, model="teacher"))]),
    }


def save_model(model: PLKD, folder: Path) -> None:
    """Save the model and its Annotator into one folder, replacing those that are there."""
    # An Annotator of an earlier model must not outlive it: annotate would take the old one if we were cut off here.
    (folder / ANNOTATOR_FILE).unlink(missing_ok=True)
    model.save(folder, overwrite=True)
    model.export_student(folder, overwrite=True)
