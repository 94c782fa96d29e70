"""`plkd demo`: real data that ship with scanpy, from training to figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from plkd.cli._console import Verbose, logger, quiet_libraries
from plkd.cli._scores import score, score_table
from plkd.cli._train import save_model

if TYPE_CHECKING:
    from anndata import AnnData

    from plkd import PLKD

LABELS = "bulk_labels"
REPORT = "report.txt"
_TITLE = "plkd demo"


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write into; that of an earlier demo is replaced.")] = Path(
        "plkd_demo"
    ),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same splits and models.")
    ] = 0,
    n_splits: Annotated[
        int, typer.Option(min=1, help="Splits to average the scores over; figures show the first.")
    ] = 1,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Most epochs of each phase, for a quicker look.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Train, annotate and explain real cells, without network: 700 PBMC that ship with scanpy.

    Seven of ten cells of each type are the reference, the others the query. Prints the scores beside those of a
    logistic regression, and writes the annotated cells, figures and the model.
    """
    _check_folder(out)
    import matplotlib as mpl

    mpl.use("Agg")
    with quiet_libraries():
        import scvi
        from sklearn.model_selection import StratifiedShuffleSplit

        adata = load()
        splits = StratifiedShuffleSplit(n_splits, test_size=0.3, random_state=seed).split(adata.X, adata.obs[LABELS])
        scores: list[dict[str, tuple[float, float]]] = []
        for i, (in_ref, in_query) in enumerate(splits):
            if n_splits > 1:
                logger.info("Split %d of %d", i + 1, n_splits)
            ref, query = adata[in_ref].copy(), adata[in_query].copy()
            scvi.settings.seed = seed + i
            model = _trained(ref, max_epochs)
            scores.append(_compare(model, ref, query))
            if i == 0:
                first, sizes = (model, query), (len(in_ref), len(in_query))
        out.mkdir(parents=True, exist_ok=True)
        # Marks the folder as a demo's from the first file on, so that a run cut off here can be repeated.
        (out / REPORT).write_text(f"{_TITLE}: not finished\n", encoding="utf-8")
        logger.info("Drawing; the first UMAP on a machine takes a while longer")
        rests_on = _write(*first, adata, out)
    report = _report(adata, sizes, scores, rests_on, out)
    (out / REPORT).write_text(report + "\n", encoding="utf-8")
    typer.echo(report)


def load() -> AnnData:
    """Return the bundled cells: log-normalised values of 765 genes, labels in ``obs["bulk_labels"]``."""
    import scanpy as sc
    from anndata import AnnData

    cells = sc.datasets.pbmc68k_reduced().raw.to_adata()
    # Labels as plain text, and nothing that was computed from all cells together.
    return AnnData(cells.X, obs=cells.obs[[LABELS]].astype(str).astype("category"), var=cells.var[[]])


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds something else than an earlier demo.

    Raises
    ------
    ValueError
        Naming the folder.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; expected a folder. Fix: `plkd demo --out FOLDER`.")
    earlier = out / REPORT
    if (
        out.is_dir()
        and any(out.iterdir())
        and not (earlier.is_file() and earlier.read_text("utf-8").startswith(_TITLE))
    ):
        raise ValueError(f"{out} holds other files than those of a demo. Fix: `plkd demo --out ANOTHER_FOLDER`.")


def _trained(ref: AnnData, max_epochs: int | None) -> PLKD:
    from plkd import PLKD

    PLKD.setup_anndata(ref, labels_key=LABELS)
    model = PLKD(ref, patterns="immune")
    model.train(max_epochs=max_epochs)
    return model


def _compare(model: PLKD, ref: AnnData, query: AnnData) -> dict[str, tuple[float, float]]:
    """Return the scores on the query, by method."""
    from sklearn.linear_model import LogisticRegression

    baseline = LogisticRegression(max_iter=2000).fit(ref.X, ref.obs[LABELS].astype(str))
    called = {
        "Student": model.predict(query),
        "Teacher": model.predict(query, model="teacher"),
        "logistic regression": baseline.predict(query.X),
    }
    return {name: score(query.obs[LABELS], labels) for name, labels in called.items()}


def _write(model: PLKD, query: AnnData, adata: AnnData, out: Path) -> dict[str, str]:
    """Write model, cells and figures; return for each label the sets that the calls of its cells rest on most."""
    import matplotlib.pyplot as plt

    from plkd import add_annotation, pl
    from plkd._files import replace_when_written

    save_model(model, out / "model")
    add_annotation(query, model.annotate(query), key_added="plkd")
    query.obsm["X_plkd"] = model.get_latent_representation(query)
    with replace_when_written(out / "annotated.h5ad") as temporary:
        query.write_h5ad(temporary)

    # Over reference and query: in the query alone, means over the two cells of a rare label would drown the rest.
    attribution = model.get_pattern_attribution(adata, groupby=LABELS)
    maps = pl.umap(query, [LABELS, "plkd_label", "plkd_confidence"])
    for ax, title in zip(maps, ("True label", "Called label", "Confidence of the call"), strict=True):
        ax.set_title(title)
    accuracy = np.mean(query.obs[LABELS].astype(str) == query.obs["plkd_label"].astype(str))
    confusion = pl.confusion_matrix(query.obs[LABELS], query.obs["plkd_label"])
    confusion.set_title(f"Student, accuracy {accuracy:.1%}", fontsize="medium")
    figures = {
        "umap": maps[0].figure,
        "confusion": confusion.figure,
        "patterns": pl.pattern_heatmap(attribution, label="attribution").figure,
        "training": pl.training_curves(model.history)[0].figure,
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close(figure)
    given = [
        name for name, source in zip(model.patterns.names, model.patterns.sources, strict=True) if source != "learned"
    ]
    most = attribution[given]
    n_cells = adata.obs[LABELS].value_counts()
    return {f"{label} ({n_cells[label]})": ", ".join(row[row > 0].nlargest(2).index) for label, row in most.iterrows()}


def _report(
    adata: AnnData,
    sizes: tuple[int, int],
    scores: list[dict[str, tuple[float, float]]],
    rests_on: dict[str, str],
    out: Path,
) -> str:
    by_method = {name: np.array([each[name] for each in scores]) for name in scores[0]}
    over = f", mean ± standard deviation over {len(scores)} splits" if len(scores) > 1 else ""
    files = {
        "annotated.h5ad": "the query with plkd_label, plkd_confidence, plkd_novelty, plkd_runner_up, ... and X_plkd",
        "umap.png": "the Student's latent space by true label, called label and confidence",
        "confusion.png": "which label was called which",
        "patterns.png": "which patterns the calls rest on",
        "training.png": "loss and macro-F1 by epoch",
        "model/": "the model, and its Annotator in one file without pickle",
    }
    width = max(map(len, rests_on))
    return "\n".join(
        [
            f"{_TITLE}: {adata.n_obs} PBMC of Zheng et al. (2017), {adata.n_vars} genes, "
            f"{adata.obs[LABELS].nunique()} types; {sizes[0]} cells to learn from, {sizes[1]} to annotate",
            "",
            f"Scores on the query{over}",
            score_table(by_method),
            "",
            "Sets of genes that the calls of each type's cells rest on most (number of cells)",
            *(f"  {label:{width}}  {names or '(learned patterns only)'}" for label, names in rests_on.items()),
            "",
            f"Written to {out}",
            *(f"  {name:16}{what}" for name, what in files.items()),
            "",
            f"Next: plkd annotate YOUR_CELLS.h5ad --model {out / 'model'} --out annotated.h5ad",
        ]
    )
