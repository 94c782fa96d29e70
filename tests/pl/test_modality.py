from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import pl


@pytest.fixture
def weights():
    return pd.DataFrame(
        {"rna": [0.5, 0.2, 1.0], "prot": [0.25, 0.8, 0.0], "atac": [0.25, 0.0, 0.0]}, index=["B", "T", "NK"]
    )


def test_bars_follow_each_other_and_fill_each_label(weights):
    ax = pl.modality_weights(weights)
    for bars, name in zip(ax.containers, weights, strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], weights[name])
        assert bars.get_label() == name
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    np.testing.assert_allclose(ends, 1)


def test_first_label_is_on_top(weights):
    ax = pl.modality_weights(weights)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["B", "T", "NK"]
    low, high = ax.get_ylim()
    assert low > high


def test_modalities_differ_without_colour_too(weights):
    hatches = [bars[0].get_hatch() for bars in pl.modality_weights(weights).containers]
    assert len(set(hatches)) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w * 2, "sum to 1"),
        (lambda w: w.iloc[:0], "0 rows"),
        (lambda w: w.astype(str), "expected numbers"),
        (lambda w: pd.concat([w] * 100), "300 rows"),
        (lambda w: w.reindex(columns=list("abcde"), fill_value=0.2), "5 columns"),
    ],
)
def test_other_frames_are_refused(weights, change, told):
    with pytest.raises(ValueError, match=told):
        pl.modality_weights(change(weights))
