from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import pl
from plkd.patterns import PatternSet


@pytest.fixture
def report():
    sets = PatternSet.from_dict(
        {"full": ["A", "B"], "half": ["A", "B", "C", "X", "Y", "Z"], "most": ["A", "B", "D", "X"]}
    )
    return sets.for_features(["A", "B", "C", "D"], min_size=1).report


def shown(ax):
    names = [text.get_text() for text in ax.get_yticklabels()]
    widths = [bar.get_width() for bar in ax.containers[1]]
    return dict(zip(names, zip(widths, [text.get_text() for text in ax.texts], strict=True), strict=True))


def test_least_covered_sets_come_first_with_their_numbers(report):
    assert shown(pl.pattern_coverage(report)) == {
        "half": (0.5, "3 of 6"),
        "most": (0.75, "3 of 4"),
        "full": (1.0, "2 of 2"),
    }


def test_as_many_as_asked_for_are_shown_and_all_are_summed_up(report):
    ax = pl.pattern_coverage(report, n_patterns=1)
    assert list(shown(ax)) == ["half"]
    assert ax.get_title(loc="left") == "3 patterns: median 75%, 0 below half; the least 1"


def test_shares_are_those_of_a_models_report(make_adata, trained):
    query = make_adata(20)[:, 15:].copy()
    report = trained.alignment_report(query)
    ax = pl.pattern_coverage(report, n_patterns=100)
    widths = [bar.get_width() for bar in ax.containers[1]]
    truth = sorted(np.isin(trained.patterns[name], query.var_names).mean() for name in trained.patterns.names)
    np.testing.assert_allclose(widths, truth)
    assert truth[0] < 1


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="alignment_report"):
        pl.pattern_coverage(pd.DataFrame())
