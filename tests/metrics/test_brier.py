from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from plkd import metrics


def test_hand_numbers():
    frame = pd.DataFrame({"B": [0.7, 0.2], "T": [0.2, 0.2], "NK": [0.1, 0.6]})
    # (.3^2 + .2^2 + .1^2) and (.2^2 + .8^2 + .6^2), halved
    assert metrics.brier_score(["B", "T"], frame) == pytest.approx((0.14 + 1.04) / 2)


def test_equals_the_sum_of_sklearns_scores_of_each_label():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.dirichlet(np.ones(5), 200), columns=list("abcde"))
    truth = rng.choice(list("abcde"), 200)
    expected = sum(brier_score_loss(truth == label, frame[label]) for label in frame)
    assert metrics.brier_score(truth, frame) == pytest.approx(expected)


def test_label_without_a_column_counts_as_a_column_of_zeros():
    frame = pd.DataFrame({"B": [0.7, 0.2], "T": [0.3, 0.8]})
    assert metrics.brier_score(["B", "new"], frame) == pytest.approx(
        metrics.brier_score(["B", "new"], frame.assign(new=0.0))
    )


@pytest.mark.parametrize(("truth", "expected"), [("B", 0.0), ("T", 2.0), ("new", 2.0)])
def test_runs_from_0_to_2(truth, expected):
    assert metrics.brier_score([truth], pd.DataFrame({"B": [1.0], "T": [0.0]})) == expected
