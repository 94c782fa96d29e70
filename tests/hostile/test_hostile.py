"""No input, however wrong, ends below plkd's own checks, changes what the caller gave, or leaves half a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile import ALL, by_entry
from tests.hostile.judge import judge, judge_error
from tests.hostile.world import World, good


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Give trained models, that no case may change. Integrals of few points: what they come to is no matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plkd.inference._attribution._N_POINTS", 4)
        yield World()


@pytest.mark.parametrize("entry", by_entry())
def test_every_input_gives_a_result_or_an_error_of_our_own(world, entry, tmp_path_factory):
    faults = []
    for case in by_entry()[entry]:
        outcome = case.run(world, tmp_path_factory.mktemp("hostile"))
        if not outcome.ok:
            faults.append(f"{case.name}: {outcome.text}")
    assert not faults, "\n".join(faults)


def test_there_are_many_inputs_and_names_are_told_apart():
    assert len(ALL) > 5000
    assert len({str(case) for case in ALL}) == len(ALL)


def test_trained_models_answer_as_before(world):
    """After all that was thrown at them."""
    before = World()
    for whose in ("model", "annotator"):
        found, expected = (getattr(each, whose).predict(good(), soft=True) for each in (world, before))
        assert found.equals(expected)


class TestTheJudge:
    """It would say so if something were wrong."""

    def test_errors_of_libraries_are_faults(self):
        assert "ends in" in judge(lambda: good().obs["nothing"]).text
        assert not judge(lambda: good()[:, "nothing"]).ok

    def test_errors_of_python_within_plkd_are_faults(self):
        from plkd.inference import kind_of

        outcome = judge(lambda: kind_of("x", 3))
        assert not outcome.ok
        assert "not raised by plkd" in outcome.text

    def test_short_messages_are_faults(self):
        from plkd.patterns import PatternSet

        with pytest.raises(ValueError, match="expected at least one") as raised:
            PatternSet.from_dict({})
        assert judge_error(raised.value).ok
        raised.value.args = ("no",)
        assert "says too little" in judge_error(raised.value).text

    def test_changed_inputs_are_faults(self):
        adata = good()

        def change():
            adata.X[0, 0] += 1

        assert "input changed" in judge(change, None, adata).text
        assert "input changed" in judge(lambda: adata.obs.drop(columns="batch", inplace=True), None, adata).text
        assert judge(lambda: adata.copy(), None, adata).ok

    def test_wrong_results_are_faults(self):
        assert judge(lambda: 3, lambda found: "too small" if found < 5 else None).text == "wrong result: too small"
