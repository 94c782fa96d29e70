from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plkd import pl


def history(**values: list[float]) -> dict[str, pd.DataFrame]:
    return {key: pd.DataFrame({key: scores}) for key, scores in values.items()}


BOTH = history(
    teacher_ce_loss_train=[2.0, 1.0, 0.5],
    teacher_ce_loss_validation=[2.0, 1.0, 1.5],
    teacher_macro_f1_validation=[0.1, 0.6, 0.7],
    student_ce_loss_train=[1.0, 0.4],
    student_ce_loss_validation=[1.0, 0.5],
    student_macro_f1_validation=[0.2, 0.8],
)


def lines(ax):
    return {line.get_label(): line.get_xydata().tolist() for line in ax.lines}


def test_both_phases_are_drawn_against_the_epoch_from_one():
    loss, score = pl.training_curves(BOTH)
    assert lines(loss)["Teacher, held out"] == [[1, 2.0], [2, 1.0], [3, 1.5]]
    assert lines(loss)["Student, training"] == [[1, 1.0], [2, 0.4]]
    assert lines(score)["Student"] == [[1, 0.2], [2, 0.8]]


def test_epoch_of_the_lowest_held_out_loss_is_marked_in_both_panels():
    loss, score = pl.training_curves(BOTH)
    assert lines(loss)["Teacher, lowest: epoch 2"] == [[2, 1.0]]
    assert [2, 0.6] in [line.get_xydata().tolist()[0] for line in score.lines if len(line.get_xydata()) == 1]


def test_training_without_held_out_cells_says_so():
    loss, score = pl.training_curves(history(student_ce_loss_train=[1.0, 0.5]))
    assert list(lines(loss)) == ["Student, training"]
    assert [text.get_text() for text in score.texts] == ["no cells held out"]
    assert np.isfinite(loss.get_ylim()).all()


@pytest.mark.parametrize("nothing", [None, {}, {"elbo_train": pd.DataFrame({"elbo_train": [1.0]})}])
def test_untrained_model_is_refused(nothing):
    with pytest.raises(ValueError, match=r"model\.train\(\)"):
        pl.training_curves(nothing)
