"""What each part does: levels are valid changes, and differences are the level's less the defaults'."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scvi
from benchmarks.annotation import ablation
from benchmarks.annotation.prediction import Cells, cells_path
from benchmarks.annotation.tasks import Spec

from plkd import PLKD, presets


def test_each_level_changes_one_thing_that_can_be_changed():
    levels = ablation.read_levels()
    names = [level.name for level in levels]
    assert len(set(names)) == len(names) > 20
    assert names[0] == "defaults"
    # What ends so is an answer of the Teacher.
    assert not any(name.endswith("-teacher") for name in names)
    for level in levels[1:]:
        assert level.patterns in ("learned", "gene sets", "random")
        changed = presets.default.replace(**level.preset)
        assert (changed != presets.default) or level.patterns == "gene sets", level.name


def test_the_three_tasks_are_those_named():
    found = ablation.specs()
    assert [s.name for s in found] == list(ablation.TASKS)
    assert [s.modality for s in found] == list(ablation.TASKS.values())


def test_random_sets_have_the_sizes_of_learned_patterns(make_adata):
    spec = Spec(name="t", split="random", files=("f",))
    task = SimpleNamespace(spec=spec, reference=make_adata(120))
    sets = ablation.random_sets(task, 0)
    (level,) = (own for own in ablation.read_levels() if own.patterns == "random")
    reference = task.reference.copy()
    scvi.settings.seed = 0
    PLKD.setup_anndata(reference, "cell_type", batch_key="batch")
    learned = PLKD(reference).patterns
    assert sorted(map(len, sets.values())) == sorted(learned.sizes)
    assert all(len(set(own)) == len(own) and set(own) <= set(reference.var_names) for own in sets.values())
    built = PLKD(reference, patterns=sets, preset=presets.default.replace(**level.preset)).patterns
    assert set(built.names) <= set(sets)  # none is learned beside them
    assert ablation.random_sets(task, 1) != sets == ablation.random_sets(task, 0)


@pytest.mark.parametrize("network", ["", "-teacher"])
def test_differences_are_those_of_the_level_less_the_defaults(tmp_path, monkeypatch, network):
    out, truth = tmp_path / "rows.csv", np.array([0, 0, 1, 1] * 5)
    monkeypatch.setattr(ablation, "specs", lambda: [Spec(name="one", split="random", files=("f",))])
    rows = []
    # The defaults call one label throughout, the level all cells right: macro-F1 1/3 and 1.
    for method, predicted, seconds in (("defaults", truth * 0, 10.0), ("worth-it", truth, 15.0)):
        for suffix in ("", network):
            own = Cells(np.array(["a", "b"]), truth, predicted, np.full(20, np.nan), np.zeros(20, dtype=int))
            own.save(cells_path(out, "one", "f", method + suffix, 0))
            rows.append({"task": "one", "fold": "f", "method": method + suffix, "seed": 0, "fit_s": seconds})
    pd.DataFrame(rows).drop_duplicates().to_csv(out, index=False)
    levels = [ablation.Level("", "defaults"), ablation.Level("x", "worth-it"), ablation.Level("x", "not-run")]
    frame = ablation.compared(out, levels, 20)
    assert frame["level"].tolist() == ["worth-it"]
    line = frame.iloc[0]
    assert line["Student difference"] == pytest.approx(2 / 3)
    assert line["Student low"] == line["Student high"] == pytest.approx(2 / 3)
    assert line["time"] == pytest.approx(1.5)
    if network:
        assert line["Teacher difference"] == pytest.approx(2 / 3)
    else:
        assert np.isnan(line["Teacher difference"])


def run_of(out, method, fold, seed, predicted):
    truth = np.array([0, 0, 1, 1] * 5)
    own = Cells(np.array(["a", "b"]), truth, truth * predicted, np.full(20, np.nan), np.zeros(20, dtype=int))
    own.save(cells_path(out, "one", fold, method, seed))
    return {"task": "one", "fold": fold, "method": method, "seed": seed, "fit_s": 1.0}


LEVELS = [ablation.Level("", "defaults"), ablation.Level("x", "level")]


@pytest.mark.parametrize("more", ["defaults", "level"])
def test_a_level_is_compared_over_the_seeds_that_both_have(tmp_path, monkeypatch, more):
    out = tmp_path / "rows.csv"
    monkeypatch.setattr(ablation, "specs", lambda: [Spec(name="one", split="random", files=("f",))])
    # Both are right with the seed 0; one calls a single label with the seed 1, with which the other has not run.
    rows = [run_of(out, "defaults", "f", 0, 1), run_of(out, "level", "f", 0, 1), run_of(out, more, "f", 1, 0)]
    pd.DataFrame(rows).to_csv(out, index=False)
    frame = ablation.compared(out, LEVELS, 20)
    assert frame.loc[0, "Student difference"] == 0
    assert frame.loc[0, "seeds"] == 1


def test_a_level_that_shares_no_seed_in_a_fold_has_no_line(tmp_path, monkeypatch):
    out = tmp_path / "rows.csv"
    monkeypatch.setattr(ablation, "specs", lambda: [Spec(name="one", split="random", files=("f",))])
    rows = [run_of(out, method, "f", 0, 1) for method in ("defaults", "level")]
    rows += [run_of(out, "defaults", "g", 0, 1), run_of(out, "level", "g", 1, 0)]
    pd.DataFrame(rows).to_csv(out, index=False)
    assert ablation.compared(out, LEVELS, 20).empty


def test_a_level_that_lacks_a_fold_has_no_line(tmp_path, monkeypatch):
    out = tmp_path / "rows.csv"
    monkeypatch.setattr(ablation, "specs", lambda: [Spec(name="one", split="random", files=("f",))])
    rows = [run_of(out, method, fold, 0, 1) for method, fold in (("defaults", "f"), ("defaults", "g"), ("level", "f"))]
    pd.DataFrame(rows).to_csv(out, index=False)
    assert ablation.compared(out, LEVELS, 20).empty


def test_a_level_is_the_default_but_for_its_setting(monkeypatch):
    seen = {}
    monkeypatch.setattr(ablation.ours, "answers", lambda task, seed, name, **kwargs: seen.update(kwargs, name=name))
    ablation.predict(ablation.Level("x", "none", preset={"student_training": {"kd_weight": 0.0}}), None, 0)
    own = seen["preset"]
    assert (seen["name"], seen["teacher"], seen["patterns"]) == ("none", False, None)
    assert dataclasses.replace(own, student_training=presets.default.student_training) == presets.default.replace(
        confidence={"n_folds": 0}
    )
    assert own.student_training.kd_weight == 0
