"""Tables of a results file: points of macro-F1 lost by method, and the curve over missing genes.

    python -m benchmarks.robustness.table robustness.csv --out losses

writes ``losses_tasks.csv`` (per task), ``losses.csv`` (over tasks), ``losses.md`` and, with genes in the file,
``losses_genes.png``. A loss is that of a fold and seed against the same method, fold and seed with nothing spoilt; it is
averaged over folds and seeds of a task, then over tasks. The spread is the standard deviation over seeds of that average,
empty for one seed. Only cases of a task that every method has are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from benchmarks.annotation.table import check_out, markdown

CASE = ["what", "rate"]
#: What is done to the query's genes, not to labels.
OF_GENES = ["genes", "panel"]
#: Order of the columns, and how a method is drawn: colours of Wong (2011), told apart in any vision, and dashes.
STYLES = {
    "plkd": ("#0072B2", "-"),
    "plkd-teacher": ("#56B4E9", "-"),
    "plkd-no-kd": ("#009E73", "-"),
    "SVM": ("#D55E00", "-"),
    "SVM+library": ("#D55E00", "--"),
    "SVM+mean": ("#D55E00", ":"),
    "SVM+refit": ("#D55E00", "-."),
    "LR-hvg2000": ("#E69F00", "-"),
    "LR-hvg2000+library": ("#E69F00", "--"),
    "LR-hvg2000+mean": ("#E69F00", ":"),
    "LR-hvg2000+refit": ("#E69F00", "-."),
}
#: The other ways of filling in lie on top of these.
DRAWN = ("plkd", "plkd-teacher", "plkd-no-kd", "SVM", "SVM+mean", "SVM+refit", "LR-hvg2000")


def losses(rows: pd.DataFrame, score: str = "macro_f1") -> pd.DataFrame:
    """Add to each spoilt row the points that it lost against the same method, fold and seed with nothing spoilt."""
    same = ["task", "fold", "method", "seed"]
    clean = rows[rows["what"] == "none"].assign(clean=lambda r: r[score])[[*same, "clean"]]
    # Ways of filling genes in differ only where some are missing.
    spoilt = rows[rows["what"] != "none"].assign(whole=lambda r: r["method"])
    spoilt["method"] = spoilt["method"].str.replace(r"\+.*", "", regex=True)
    joined = spoilt.merge(clean, on=same, validate="many_to_one")
    joined["loss"] = 100 * (joined["clean"] - joined[score])
    return joined.assign(method=joined["whole"]).drop(columns="whole")


def per_task(lost: pd.DataFrame) -> pd.DataFrame:
    """Average over folds and seeds of each task."""
    folds = lost.groupby([*CASE, "task", "method", "fold"], as_index=False)[["loss", "changed", "macro_f1"]].mean()
    means = folds.groupby([*CASE, "task", "method"], as_index=False)[["loss", "changed", "macro_f1"]].mean()
    counts = lost.groupby([*CASE, "task", "method"], as_index=False).agg(
        folds=("fold", "nunique"), seeds=("seed", "nunique")
    )
    return means.merge(counts)


def over_tasks(lost: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Average over the tasks, seed by seed, of the folds that all methods have; then mean and spread over seeds."""
    chosen = lost[lost["method"].isin(methods)]
    n_methods = chosen.groupby([*CASE, "task", "fold", "seed"])["method"].transform("nunique")
    full = chosen[n_methods == n_methods.groupby([chosen["what"], chosen["rate"]]).transform("max")]
    seeds = full.groupby([*CASE, "method", "seed", "task"])["loss"].mean().groupby([*CASE, "method", "seed"]).mean()
    found = seeds.groupby([*CASE, "method"]).agg(loss="mean", sd="std", seeds="count").reset_index()
    n_tasks = full.groupby(CASE)["task"].nunique().rename("tasks").reset_index()
    return found.merge(n_tasks)


def scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Return macro-F1 with all and with fewer genes, a line per case and a column per method: over folds and seeds, then over tasks."""
    chosen = rows[rows["what"].isin(["none", *OF_GENES])]
    tasks = chosen.groupby([*CASE, "task", "method"])["macro_f1"].mean()
    return tasks.groupby([*CASE, "method"]).mean().unstack().reset_index()


def wide(found: pd.DataFrame, methods: Sequence[str], index: Sequence[str]) -> str:
    """Format losses as a Markdown table, a line per case and a column per method; +- is the spread over seeds."""

    def cell(row: pd.Series) -> str:
        spread = row.get("sd", float("nan"))
        return f"{row['loss']:.1f}" + ("" if pd.isna(spread) else f" ± {spread:.1f}")

    shown = found.assign(text=found.apply(cell, axis=1))
    table = shown.pivot(index=list(index), columns="method", values="text")
    table = table.reindex(columns=[m for m in methods if m in table]).fillna("")
    return markdown(table.reset_index(), 2)


def draw_genes(tasks: pd.DataFrame, path: Path) -> None:
    """Draw macro-F1 against the share of genes removed, a panel per task."""
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(tasks["task"]))
    fig, axes = plt.subplots(1, len(names), figsize=(3 * len(names), 3), layout="constrained", squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        for method in DRAWN:
            colour, dashes = STYLES[method]
            own = tasks[(tasks["task"] == name) & (tasks["method"] == method)].sort_values("rate")
            if len(own):
                ax.plot(
                    100 * own["rate"], own["macro_f1"], dashes, color=colour, marker="o", ms=3, lw=1.2, label=method
                )
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("genes removed from the query, %", fontsize=8)
        ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("macro-F1", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=7, frameon=False)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def with_start(tasks: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Prepend what each method scored with all genes; ways of filling in start where their method does."""
    curves = tasks[tasks["what"] == "genes"]
    clean = rows[rows["what"] == "none"].groupby(["task", "method", "fold"])["macro_f1"].mean()
    clean = clean.groupby(["task", "method"]).mean().reset_index()
    starts = curves[["task", "method"]].drop_duplicates().assign(of=lambda r: r["method"].str.partition("+")[0])
    starts = starts.merge(clean.rename(columns={"method": "of"}), on=["task", "of"]).assign(rate=0.0)
    return pd.concat([curves, starts])


def report(rows: pd.DataFrame, out: str) -> str:
    """Write the files and return the Markdown."""
    lost = losses(rows)
    tasks = per_task(lost)
    tasks.to_csv(f"{out}_tasks.csv", index=False)
    text, whole = "", []
    fitted = ["plkd", "plkd-teacher", "plkd-no-kd", "SVM", "LR-hvg2000"]
    of_genes = lost["what"].isin(OF_GENES)
    parts = [("genes", lost[of_genes], list(STYLES)), ("labels", lost[~of_genes], fitted)]
    coarse = rows[rows["what"].isin(["none", "coarse"])]
    if (coarse["what"] == "coarse").any():
        parts.append(("coarse labels, a parent counted as right", losses(coarse, "macro_f1_lenient"), fitted))
    of_labels = losses(rows[~rows["what"].isin(OF_GENES)], "macro_f1_common")
    parts.append(("labels, over types with at least ten query cells in all folds together", of_labels, fitted))
    for name, part, methods in parts:
        if part.empty:
            continue
        found = over_tasks(part, methods)
        whole.append(found.assign(part=name))
        text += f"\n## {name}: points of macro-F1 lost, mean over tasks\n\n{wide(found, methods, [*CASE, 'tasks'])}\n"
        text += f"\n### {name}, per task\n\n{wide(per_task(part), methods, [*CASE, 'task'])}\n"
    if of_genes.any():
        text += f"\n## genes: macro-F1, mean over tasks\n\n{markdown(scores(rows))}\n"
    pd.concat(whole).to_csv(f"{out}.csv", index=False)
    Path(f"{out}.md").write_text(text)
    if (tasks["what"] == "genes").any():
        draw_genes(with_start(tasks, rows), Path(f"{out}_genes.png"))
    return text


def main() -> None:
    """Parse the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", default="robustness_table", help="start of the names of the files written")
    args = parser.parse_args()
    check_out(parser, args.results, args.out)
    mpl.use("Agg")
    print(report(pd.read_csv(args.results), args.out))


if __name__ == "__main__":
    main()
