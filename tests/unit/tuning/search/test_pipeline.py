"""The road of a search: it ends, keeps its budget, goes on where it stopped, and claims only what fresh blocks show."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan import SettingSpec
from results.errors import WrongInput
from results.records import CURRENT_ARMS
from tests.unit.tuning.search.made import CPU, GOODPUT, P99, Machine, adding, design, factors, searched
from tuning.search.course import least_trials
from tuning.search.pipeline import next_step, so_far
from tuning.search.stages import Answer, Config, Factor, Measured, Prices, Question, Stage, config

ORDER = ("noise", "screen", "race", "refine", "combine", "confirm")


def _question(number: int, trials: int, **more: object) -> Question:
    return Question(design(), factors(number), {}, trials, **more)  # type: ignore[arg-type]  # fields by name


def _set(answer: Answer) -> list[str]:
    return sorted(each.setting for each in answer.picks[0].config)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Question, Machine]:
    """Any number of knobs of any kind, effects, noise, budget; some knobs break the path."""
    number = draw(st.integers(0, 13))
    made = tuple(
        replace(
            each,
            values=("1", "2", "4")[: draw(st.integers(1, 3))],
            numeric=draw(st.booleans()),
            cost=draw(st.sampled_from(("none", "none", "none", "relink", "restart"))),
        )
        for each in factors(number)
    )
    effects = {f"net.knob{n}": draw(st.sampled_from((0.0, 0.0, 0.05, 0.2, -0.1, 5.0))) for n in range(number)}
    anchors = {
        f"anchor-{n}": config(SettingSpec("net.knob0", "1", None), SettingSpec(f"net.other{n}", "1", None))
        for n in range(draw(st.integers(0, 3)))
    }
    failing = [name for name in effects if draw(st.integers(0, 7)) == 0]
    machine = Machine(adding(effects), sd=draw(st.sampled_from((0.0, 0.01, 0.1, 1.0))), failing=failing)
    prices = Prices(1.0, draw(st.sampled_from((0.0, 3.0))), draw(st.sampled_from((0.0, 10.0))))
    return Question(design(), made, anchors, draw(st.integers(1, 900)), prices), machine


@settings(max_examples=80, deadline=None)
@given(searches())
def test_a_search_ends_within_its_budget_with_current_in_every_block(made: tuple[Question, Machine]) -> None:
    """Whatever the knobs, effects, noise and budget; stages come in order, and a claim has a confirmation."""
    question, machine = made
    answer, done = searched(question, machine)
    purposes = [each.stage.purpose for each in done]
    per_block = [
        {trial.arm for trial in each.trials if trial.block == block}
        for each in done
        for block in range(max(trial.block for trial in each.trials) + 1)
    ]

    assert answer.trials == sum(len(each.trials) for each in done) <= question.trials_most
    assert all(arms >= set(CURRENT_ARMS) for arms in per_block)
    assert purposes == sorted(purposes, key=ORDER.index)
    assert (answer.status == "confirmed") == bool(answer.picks)
    assert not answer.picks or (purposes[-1] == "confirm" and answer.picks[0].gain.n <= done[-1].stage.blocks)
    assert answer.status != "open"
    assert all(each.stage.blocks >= 12 for each in done if each.stage.purpose == "confirm")
    assert all(each.stage.blocks in {6, 12, 20} for each in done if each.stage.sequential)


@settings(max_examples=30, deadline=None)
@given(searches())
def test_a_search_that_was_cut_short_asks_the_same_next_stage(made: tuple[Question, Machine]) -> None:
    """From any of its stages on; what was measured decides, and nothing that is not written down."""
    question, machine = made
    answer, done = searched(question, machine)

    assert [next_step(question, done[:n]) for n in range(len(done))] == [each.stage for each in done]
    assert next_step(question, done) == answer == so_far(question, done)
    assert all(so_far(question, done[:n]).status == "open" for n in range(len(done)))
    assert all(so_far(question, done[:n]).picks == () for n in range(len(done)))


def test_many_knobs_are_screened_and_the_effective_ones_confirmed() -> None:
    """Three of ten, of 3, 5 and 10 %; the gain is that of the fresh blocks, and holds the truth."""
    machine = Machine(adding({"net.knob2": 0.10, "net.knob5": 0.05, "net.knob8": 0.03}))
    answer, done = searched(_question(10, 900), machine)
    (pick,) = answer.picks

    assert answer.status == "confirmed"
    assert _set(answer) == ["net.knob2", "net.knob5", "net.knob8"]
    assert pick.names == ("balanced", "throughput")
    assert pick.gain.low < math.log(1.1 * 1.05 * 1.03) < pick.gain.high
    assert pick.on_front
    assert [each.stage.purpose for each in done] == ["noise", "screen", "combine", "confirm"]


def test_a_knob_that_gains_and_harms_p99_is_left_out_aloud() -> None:
    """However much it gains."""
    machine = Machine(
        adding({"net.knob2": 0.10, "net.knob3": 0.20}),
        late=lambda found: {P99: 0.3 * any(each.setting == "net.knob3" for each in found)},
    )
    answer, _ = searched(_question(10, 900), machine)

    assert _set(answer) == ["net.knob2"]
    assert any("net.knob3" in said and "harms latency.rtt_p99" in said for said in answer.said)


def test_without_an_effective_knob_the_answer_is_to_change_nothing() -> None:
    """And what would have been seen is told."""
    answer, done = searched(_question(10, 900), Machine(adding({})))

    assert (answer.status, answer.picks) == ("nothing", ())
    assert any("would have been seen" in said for said in answer.said)
    assert done[-1].stage.purpose == "screen"


def test_a_few_knobs_are_raced_one_at_a_time_with_the_anchors() -> None:
    """The anchor that is as good is told to tie; the passenger of the two winners is left out."""
    anchors = {"published": config(SettingSpec("net.knob0", "1", None), SettingSpec("net.other", "1", None))}
    question = Question(design(), factors(3), anchors, 500)
    answer, done = searched(question, Machine(adding({"net.knob0": 0.3})))

    assert [each.stage.purpose for each in done][:2] == ["noise", "race"]
    assert set(done[1].stage.arms) == {"knob0-1", "knob1-1", "knob2-1", "all", "published"}
    assert _set(answer) == ["net.knob0"]
    assert any("ties with published" in said for said in answer.said)


def test_an_anchor_that_beats_the_knobs_leads_and_loses_its_passengers() -> None:
    """What it sets beside what counts is dropped before the confirmation."""
    anchors = {"published": config(*(SettingSpec(f"net.other{n}", "1", None) for n in range(3)))}
    question = Question(design(), factors(2), anchors, 700)
    answer, done = searched(question, Machine(adding({"net.knob0": 0.1, "net.other1": 0.5})))

    assert _set(answer) == ["net.other1"]
    assert "combine" in [each.stage.purpose for each in done]


def test_the_smallest_value_that_does_is_confirmed() -> None:
    """A buffer that is large enough from the second size on."""
    sizes = Factor("buf", "net.buf", ("1000", "4000", "16000", "64000"), numeric=True)
    gains = {"1000": 0.05, "4000": 0.4, "16000": 0.4, "64000": 0.4}
    truth = Machine(lambda found: {GOODPUT: math.fsum(gains[each.value] for each in found)}, sd=0.005)
    answer, done = searched(Question(design(), (sizes,), {}, 400), truth)

    assert [each.stage.purpose for each in done] == ["noise", "race", "refine", "confirm"]
    assert [each.value for each in answer.picks[0].config] == ["4000"]


def test_each_objective_has_its_pick_and_all_are_confirmed_together() -> None:
    """A knob for goodput, one for p99, one for CPU: three configurations, one family."""

    def late(found: Config) -> dict[str, float]:
        there = {each.setting for each in found}
        return {P99: -0.3 * ("net.knob1" in there), CPU: -0.3 * ("net.knob2" in there)}

    answer, done = searched(_question(6, 900), Machine(adding({"net.knob0": 0.2}), late=late))
    found = {name: [each.setting for each in pick.config] for pick in answer.picks for name in pick.names}

    assert found == {
        "balanced": ["net.knob0"], "throughput": ["net.knob0"], "latency": ["net.knob1"], "efficient": ["net.knob2"]
    }  # fmt: skip
    assert len(done[-1].stage.arms) == 3


@pytest.mark.parametrize("trials", [1, least_trials(1) - 1])
def test_a_budget_that_is_too_small_for_any_claim_is_refused_with_what_is_needed(trials: int) -> None:
    """Before anything is measured."""
    answer = next_step(_question(3, trials), ())

    assert isinstance(answer, Answer)
    assert (answer.status, answer.trials_needed, answer.trials) == ("refused", least_trials(1), 0)
    assert f"{least_trials(1)} are needed at least" in answer.said[-1]


def test_noise_above_what_the_budget_can_see_through_is_refused_after_it_was_measured() -> None:
    """With the trials that would do."""
    answer, done = searched(_question(3, least_trials(1)), Machine(adding({}), sd=3.0))

    assert (answer.status, len(done)) == ("refused", 1)
    assert answer.trials_needed is None or answer.trials_needed > least_trials(1)


def test_what_costs_a_restart_is_paid_for() -> None:
    """The same search has fewer trials where each restart takes the time of thirty of them."""
    costly = tuple(replace(each, cost="restart") for each in factors(2))
    truth = adding({"net.knob0": 0.3})
    cheap, _ = searched(Question(design(), costly, {}, 400, Prices()), Machine(truth))
    dear, done = searched(Question(design(), costly, {}, 400, Prices(1.0, 0.0, 30.0)), Machine(truth))

    assert dear.trials < cheap.trials
    assert sum(each.stage.blocks for each in done if each.stage.arms) * 31 <= 400


def test_seconds_are_so_many_trials() -> None:
    """Of the length that the plan's trials have."""
    assert Prices(2.5).trials(100.0) == 40


def test_stages_of_another_question_are_refused() -> None:
    """A search whose knobs changed meanwhile must not be mixed with what was measured before."""
    question = _question(10, 900)
    _, done = searched(question, Machine(adding({})))

    with pytest.raises(WrongInput, match="this search would now screen"):
        next_step(replace(question, factors=factors(7)), done)


def test_two_factors_that_set_the_same_are_refused() -> None:
    """Both cannot be had."""
    with pytest.raises(ValueError, match=r"two factors set the same: net\.knob0"):
        _question(1, 100).__class__(design(), (*factors(1), *factors(1)), {}, 100)


def test_a_search_claims_nothing_before_its_end() -> None:
    """Half way there are sentences and the next stage, and no pick."""
    question = _question(10, 900)
    _, done = searched(question, Machine(adding({"net.knob2": 0.10})))
    half = so_far(question, done[:2])

    assert (half.status, half.picks) == ("open", ())
    assert any(said.startswith("Screening estimate: net.knob2") for said in half.said)
    assert half.said[-1].startswith("Next: ")


def test_a_stage_has_the_design_that_a_run_has() -> None:
    """Arms as treatments, so that the judgement's family is the stage's."""
    stage = Stage("race", {"a": config(SettingSpec("x", "1", None))}, 6, sequential=True)
    made = Measured(stage, stage.design(design()), ())

    assert (made.design.treatments, made.design.family, stage.trials) == (("a",), 1, 18)
