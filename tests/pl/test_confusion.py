from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from plkd import pl


def ticks(ax):
    return [text.get_text() for text in ax.get_xticklabels()], [text.get_text() for text in ax.get_yticklabels()]


def test_rows_are_shares_of_the_true_label():
    ax = pl.confusion_matrix(["a", "a", "a", "a", "b"], ["a", "a", "a", "b", "b"])
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert ticks(ax) == (["a", "b"], ["a (4)", "b (1)"])
    assert sorted(text.get_text() for text in ax.texts) == ["100", "25", "75"]


def test_called_labels_that_are_no_true_labels_come_last():
    ax = pl.confusion_matrix(["b", "c"], ["a", "c"])
    assert ticks(ax) == (["b", "c", "a"], ["b (1)", "c (1)"])


def test_labels_give_the_order():
    ax = pl.confusion_matrix(["a", "b", "c"], ["a", "b", "c"], labels=["c", "a"])
    assert ticks(ax)[0] == ["c", "a", "b"]


def test_cells_without_a_label_are_left_out():
    ax = pl.confusion_matrix(["a", None, "b", np.nan], ["a", "b", None, "b"])
    assert ticks(ax) == (["a"], ["a (1)"])


def test_true_labels_are_read_as_a_reference_s_are():
    # Whole numbers are floats where some are missing; the model calls them "1" and "2".
    ax = pl.confusion_matrix([1.0, 2.0, np.nan, 1.0], ["1", "2", "2", "1"])
    assert ticks(ax) == (["1", "2"], ["1 (2)", "2 (1)"])
    assert ticks(pl.confusion_matrix(["a ", "", "b"], ["a", "a", "b"])) == (["a", "b"], ["a (1)", "b (1)"])


def test_many_labels_are_all_named_but_not_numbered():
    labels = [f"type {i:02}" for i in range(63)]
    ax = pl.confusion_matrix(labels, labels)
    assert ticks(ax)[0] == labels
    assert len(ax.texts) == 0


def test_draws_where_it_is_told():
    _, ax = plt.subplots()
    assert pl.confusion_matrix(["a"], ["a"], ax=ax) is ax


@pytest.mark.parametrize(("truth", "predicted"), [(["a"], ["a", "b"]), ([None], ["a"])])
def test_labels_that_do_not_fit_are_refused(truth, predicted):
    with pytest.raises(ValueError, match="expected"):
        pl.confusion_matrix(truth, predicted)


def test_dollars_in_labels_are_no_formulas():
    ax = pl.confusion_matrix([r"$\bad{$"], [r"$\bad{$"])
    ax.figure.canvas.draw()
    assert ticks(ax)[0] == [r"\$\bad{\$"]  # matplotlib draws \$ as $
