"""`plkd train`: a reference in, a model folder out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from plkd.cli._console import Verbose, quiet_libraries
from plkd.cli._paths import ANNOTATOR_FILE, check_input, check_model_target, is_mudata, read_data
from plkd.cli._scores import score, score_table

if TYPE_CHECKING:
    from plkd import PLKD

REPORT_FILE = "report.html"


class PresetName(StrEnum):
    """Presets of :mod:`plkd.presets`."""

    default = "default"
    paper = "paper"


def train(
    ref: Annotated[Path, typer.Argument(metavar="REF", help="Reference with a label for each cell: .h5ad or .h5mu.")],
    labels_key: Annotated[str, typer.Option(help="Column of obs with the labels.")],
    out: Annotated[Path, typer.Option(help="Folder to save the model and the Annotator into.")],
    batch_key: Annotated[str | None, typer.Option(help="Column of obs with the batch: donor, protocol, ...")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the counts of an .h5ad file; X if not given.")] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(help="Which modality of an .h5mu file is which, e.g. rna=gex; once each for rna, protein, atac."),
    ] = None,
    rna_layer: Annotated[str | None, typer.Option(help="Layer of the RNA of an .h5mu file; X if not given.")] = None,
    protein_layer: Annotated[str | None, typer.Option(help="Layer of its proteins; X if not given.")] = None,
    atac_layer: Annotated[str | None, typer.Option(help="Layer of its peaks; X if not given.")] = None,
    protein_obsm_key: Annotated[str | None, typer.Option(help="Key of obsm of an .h5ad file with proteins.")] = None,
    unlabeled_category: Annotated[str, typer.Option(help="Label of the cells that have none.")] = "Unknown",
    patterns: Annotated[
        str | None,
        typer.Option(help="A file of patterns, or a collection: immune, hallmark, ...; learned if not given."),
    ] = None,
    gene_symbols: Annotated[
        str | None, typer.Option(help="Column of var to look up in the patterns, if var_names are other identifiers.")
    ] = None,
    preset: Annotated[PresetName, typer.Option(help="Settings of networks and training.")] = PresetName.default,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Most epochs of each phase; chosen by the number of cells if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same model.")] = 0,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for a checkpoint; if the run is cut off, the same command goes on from it."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is in the folder.")] = False,
    verbose: Verbose = False,
) -> None:
    """Train on a labelled reference: the Teacher, then the Student distilled from it.

    The folder gets model.pt, for plkd.PLKD.load, and annotator.safetensors, the exported Student that annotate uses, and
    report.html, which says how good calls are on cells that were kept from training.
    """
    check_input(ref, "reference")
    check_model_target(out, overwrite=overwrite)
    layers = {"rna_layer": rna_layer, "protein_layer": protein_layer, "atac_layer": atac_layer}
    where = _where(ref, layer, protein_obsm_key, layers, modality)
    from plkd import PLKD, presets
    from plkd.patterns import read

    sets = None if patterns is None else read(patterns)
    with quiet_libraries():
        import scvi

        adata = read_data(ref)
        scvi.settings.seed = seed
        setup = PLKD.setup_mudata if is_mudata(ref) else PLKD.setup_anndata
        setup(adata, labels_key=labels_key, unlabeled_category=unlabeled_category, batch_key=batch_key, **where)
        model = PLKD(adata, patterns=sets, gene_symbols=gene_symbols, preset=getattr(presets, preset.value))
        model.train(max_epochs=max_epochs, checkpoint_dir=checkpoint_dir)
        scores = held_out_scores(model)
    save_model(model, out)
    # That of an earlier model must not be taken for this one's.
    (out / REPORT_FILE).unlink(missing_ok=True)
    typer.echo(repr(model))
    if scores:
        typer.echo(f"\n{len(model.validation_indices_)} cells held out\n{score_table(scores)}")
    written = ["model.pt", ANNOTATOR_FILE]
    if model.held_out_ is not None or scores:
        typer.echo(f"\n{write_report(model, out)}")
        written.append(REPORT_FILE)
    form = ref.suffix
    typer.echo(
        f"\nSaved to {out}: {', '.join(written)}\nNext: plkd annotate QUERY{form} --model {out} --out FILE{form}"
    )


def _where(
    ref: Path, layer: str | None, obsm_key: str | None, layers: dict[str, str | None], modality: list[str] | None
) -> dict[str, Any]:
    """Return the arguments of setup that say where the matrices are; refuse those of the other kind of file."""
    if not is_mudata(ref):
        given = [name.replace("_", "-") for name, value in layers.items() if value] + ["modality"] * bool(modality)
        if given:
            raise typer.BadParameter(
                f"--{given[0]} is for .h5mu files; {ref} is none. For .h5ad files there is --layer."
            )
        return {"layer": layer, "protein_expression_obsm_key": obsm_key}
    if layer is not None or obsm_key is not None:
        raise typer.BadParameter(
            "--layer and --protein-obsm-key are for .h5ad files; for .h5mu files there are --rna-layer, --protein-layer "
            "and --atac-layer."
        )
    if not modality:
        return layers
    from plkd.patterns import KINDS

    pairs = [text.partition("=")[::2] for text in modality]
    wrong = [text for text, (kind, name) in zip(modality, pairs, strict=True) if kind not in KINDS or not name]
    if wrong:
        raise typer.BadParameter(
            f"--modality {wrong[0]}: expected one of {', '.join(f'{kind}=NAME' for kind in KINDS)}."
        )
    return {**layers, "modalities": {f"{kind}_layer": name for kind, name in pairs}}


def held_out_scores(model: PLKD) -> dict[str, np.ndarray]:
    """Return the scores of both networks on the cells held out of training; empty if there were none."""
    held_out = model.validation_indices_
    if not len(held_out):
        return {}
    codes = model.adata_manager.get_from_registry("labels").ravel().astype(int)
    truth = np.array(model.labels, dtype=object)[codes[held_out]]
    return {
        "Student": np.array([score(truth, model.predict(indices=held_out))]),
        "Teacher": np.array([score(truth, model.predict(indices=held_out, model="teacher"))]),
    }


def write_report(model: PLKD, folder: Path) -> str:
    """Write the report's page into a folder and return its overall scores as text."""
    import matplotlib as mpl

    mpl.use("Agg")
    report = model.report()
    report.to_html(folder / REPORT_FILE, overwrite=True)
    calibration = report.about["calibration"]
    made = calibration if isinstance(calibration, str) else calibration["held-out cells"]
    overall, *_ = str(report).split("\n\n")
    return f"{overall}\n  held out: {made}"


def save_model(model: PLKD, folder: Path) -> None:
    """Save the model and its Annotator into one folder, replacing those that are there."""
    from plkd._files import staged

    with staged(folder) as staging:
        model.save(staging, overwrite=True)
        model.export_student(staging)
        # An Annotator must not outlive its model: annotate would take it if we were cut off between the two.
        (folder / ANNOTATOR_FILE).unlink(missing_ok=True)
