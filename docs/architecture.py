"""Draw what plkd is made of; run by the docs build (conf.py), or ``python docs/architecture.py FILE.svg``."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

# Of Okabe and Ito's colours, told apart by colour-blind readers; each box says in words what it is.
TEACHER, STUDENT, DATA, RESULT = "#cfe6f5", "#d5efe3", "#eeeeee", "#fbe8c4"
EDGE = {TEACHER: "#0072b2", STUDENT: "#007a5a", DATA: "#666666", RESULT: "#b26b00"}


def draw(path: Path) -> None:
    """Write the picture as SVG, its text as text; the same bytes every time."""
    # Without pyplot: no window, and nothing of the caller's is changed.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {"svg.fonttype": "none", "svg.hashsalt": "plkd", "font.family": "sans-serif"}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(8.6, 4.5))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 86), ylim=(0, 45))
        axes.axis("off")
        _boxes(axes)
        _arrows(axes)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


def _boxes(axes) -> None:
    _box(axes, 1, 25, 14, 13, DATA, "Reference", "RNA, protein, ATAC\nlabels, batches")
    _box(axes, 1, 4, 14, 13, DATA, "Query", "any modality,\nno labels needed")
    _box(axes, 20, 14, 13, 14, DATA, "Align, scale", "features by name\nconstants of the\nreference")
    _box(axes, 37, 28, 12, 12, TEACHER, "Tokens", "one for each\npattern")
    _box(axes, 51.5, 28, 12, 12, TEACHER, "Transformer", "attention among\npatterns")
    _box(axes, 37, 4, 12, 12, STUDENT, "MLP", "one for each\nmodality")
    _box(axes, 51.5, 4, 12, 12, STUDENT, "Sum of logits", "of the modalities\nthat a cell has")
    _box(axes, 69, 28, 16, 12, RESULT, "Teacher's answer", "label, latent space,\nattention to patterns")
    _box(axes, 69, 4, 16, 12, RESULT, "Student's answer", "label, confidence,\nnovelty, reasons")
    for x, y, text, colour in (
        (50.2, 42, "Teacher", EDGE[TEACHER]),
        (50.2, 1.4, "Student, exported alone as an Annotator", EDGE[STUDENT]),
    ):
        axes.text(x, y, text, ha="center", va="center", fontsize=12, fontweight="bold", color=colour)
    axes.text(59, 22, "distilled: its answers\nto mixtures of cells", va="center", fontsize=10, color="#333333")


def _box(axes, x: float, y: float, width: float, height: float, colour: str, title: str, text: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=1.2"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=shape, facecolor=colour, edgecolor=EDGE[colour], linewidth=1.2)
    )
    middle = x + width / 2
    axes.text(middle, y + height - 2.6, title, ha="center", va="center", fontsize=10.5, fontweight="bold")
    axes.text(middle, y + (height - 3.4) / 2, text, ha="center", va="center", fontsize=9, color="#333333")


def _arrows(axes) -> None:
    def arrow(start: tuple[float, float], end: tuple[float, float], *, style: str = "-", bend: float = 0) -> None:
        axes.annotate(
            "",
            end,
            start,
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#444444",
                "linewidth": 1.4,
                "linestyle": style,
                "shrinkA": 2,
                "shrinkB": 2,
                "connectionstyle": f"arc3,rad={bend}",
            },
        )

    arrow((15, 31), (20, 25), bend=-0.15)
    arrow((15, 11), (20, 17), bend=0.15)
    arrow((33, 25), (37, 33), bend=0.15)
    arrow((33, 17), (37, 10), bend=-0.15)
    for y in (34, 10):
        arrow((49, y), (51.5, y))
        arrow((63.5, y), (69, y))
    arrow((57.5, 28), (57.5, 16), style="--")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
