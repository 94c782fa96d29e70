"""The figures of a report, each as text that a page can hold."""

from __future__ import annotations

import base64
import warnings
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from plkd import pl
from plkd.report._report import Report

_SVG = {"svg.hashsalt": "plkd", "svg.fonttype": "path"}


def figures(report: Report) -> dict[str, str]:
    """Return the figures by name: addresses that hold the picture itself, ``data:image/svg+xml;base64,...``."""
    calls = report._calls
    compared = {"calibrated": report.probabilities, "uncalibrated": report.uncalibrated}
    frames = report.probabilities if report.uncalibrated is None else compared
    # The page is white whatever the user's style is, and the same report gives the same file.
    with mpl.style.context("default"), mpl.rc_context(_SVG), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # the page's table has the name
        return {
            "reliability": _address(pl.reliability(report.truth, frames)),
            "confidence": _address(pl.confidence_histogram(report.truth, report.probabilities)),
            "confusion": _address(pl.confusion_matrix(calls.truth, calls.called, labels=calls.labels)),
        }


def _address(ax: Axes) -> str:
    file = BytesIO()
    ax.figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(ax.figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
