"""The figure of paired differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
from benchmarks.annotation.figure import figure
from matplotlib import pyplot as plt


def test_points_and_intervals_are_those_of_the_table():
    rows = [("a", "t", 0.1, -0.1, 0.2), ("b", "t", 0.3, 0.2, 0.5), ("a", "u", -0.2, -0.3, 0.0)]
    table = pd.DataFrame(rows, columns=["method", "task", "difference", "low", "high"])
    drawn = figure(table, ["a", "b"], ["t", "u"], {"a": "method A"})
    panels = drawn.axes
    assert [panel.get_title() for panel in panels] == ["t", "u"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["method A", "b"]
    for panel, expected in zip(panels, ([0.1, 0.3], [-0.2, np.nan]), strict=True):
        (bars,) = panel.containers
        np.testing.assert_allclose(np.asarray(bars.lines[0].get_xdata(), dtype=float), expected)
    (bars,) = panels[0].containers
    np.testing.assert_allclose([path[:, 0] for path in bars.lines[2][0].get_segments()], [(-0.1, 0.2), (0.2, 0.5)])
    plt.close(drawn)
