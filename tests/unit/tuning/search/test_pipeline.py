"""The road of a search: it ends, keeps its budget, goes on where it stopped, and claims only what fresh blocks show."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan import SettingSpec
from results.errors import WrongInput
from results.records import CURRENT_ARMS, Design
from tests.unit.tuning.search.made import CPU, GOODPUT, P99, Machine, adding, design, factors, searched
from tuning.search import noise
from tuning.search.course import RESERVE_SHARE, least_trials
from tuning.search.driving import Measure
from tuning.search.driving import searched as searched_live
from tuning.search.exploring import Limits, full
from tuning.search.pipeline import next_step, so_far
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Config, Factor, Measured, Prices, Question, Stage, config

ORDER = ("noise", "screen", "race", "refine", "combine", "confirm")


def _question(number: int, trials: int, **more: object) -> Question:
    return Question(design(), factors(number), {}, trials, **more)  # type: ignore[arg-type]  # fields by name


def _set(answer: Answer) -> list[str]:
    return sorted(each.setting for each in answer.picks[0].config)


def _costly(question: Question) -> bool:
    return any(each.cost != "none" for each in question.factors)


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
    noise_sd, share = draw(st.sampled_from((0.0, 0.01, 0.1, 1.0))), draw(st.sampled_from((0.1, 0.4, 1.0)))
    machine = Machine(adding(effects), sd=noise_sd, failing=failing, share=share)
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
    assert not answer.picks or purposes[-1] == "confirm"
    assert all(12 <= pick.gain.n <= done[-1].stage.blocks for pick in answer.picks)
    assert all(
        sum(trial.status == "failed" for trial in done[-1].trials if trial.arm == pick.arm) < 2 for pick in answer.picks
    )
    assert answer.status != "open"
    assert not any("ended before a confirmation" in said for said in answer.said) or _costly(question)
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


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_knob_that_breaks_the_path_is_left_out_aloud_and_the_others_are_judged(share: float) -> None:
    """It gains 10 % where it does not; of the others one gains 6 %: nothing is lost with it."""
    machine = Machine(adding({"net.knob2": 0.06, "net.knob7": 0.10}), failing=["net.knob7"], share=share)
    answer, done = searched(_question(10, 900), machine)
    broken, _ = searched(_question(10, 900), Machine(adding({}), failing=["net.knob7"], share=share))

    assert _set(answer) == ["net.knob2"]
    assert any(said.startswith("Screened out: net.knob7 1 breaks the path: ") for said in answer.said)
    assert not any(each.setting == "net.knob7" for arm in done[-1].stage.arms.values() for each in arm)
    assert broken.status == "nothing"
    assert "gave too few numbers to be judged: net.knob7; a gain below " in broken.said[-1]


@pytest.mark.parametrize("number", [2, 10])
def test_what_gains_only_beside_another_setting_is_found_as_one_factor(number: int) -> None:
    """50 % by two words of a knob with a timeout that has candidates of its own: both are confirmed."""
    timeout = Factor("timeout", "net.timeout", ("20", "50"))
    defer = Factor("defer", "net.defer", ("2", "10"), beside=(SettingSpec("net.timeout", "20", None),))

    def effects(found: Config) -> dict[str, float]:
        there = {each.setting: each.value for each in found}
        return {GOODPUT: math.log(1.5) * ("net.defer" in there and there.get("net.timeout") == "20")}

    question = Question(design(), (*factors(number - 2), timeout, defer), {}, 900)
    answer, done = searched(question, Machine(effects))

    assert _set(answer) == ["net.defer", "net.timeout"]
    assert answer.picks[0].gain.low < math.log(1.5) < answer.picks[0].gain.high
    assert all(len({each.setting for each in arm}) == len(arm) for one in done for arm in one.stage.arms.values())


@pytest.mark.parametrize("number", [3, 10])
def test_of_two_settings_of_which_either_does_one_is_kept(number: int) -> None:
    """30 % with any of two, 10 % by a third: what race or screening found is not lost on the way."""

    def effects(found: Config) -> dict[str, float]:
        there = {each.setting for each in found}
        either = bool(there & {"net.knob0", "net.knob1"})
        return {GOODPUT: math.log(1.3) * either + math.log(1.1) * ("net.knob2" in there)}

    answer, _ = searched(_question(number, 900), Machine(effects))

    assert len(_set(answer)) == 2
    assert "net.knob2" in _set(answer)
    assert answer.picks[0].gain.low < math.log(1.43) < answer.picks[0].gain.high


def test_without_an_effective_knob_the_answer_is_to_change_nothing() -> None:
    """And what would have been seen is told."""
    answer, done = searched(_question(10, 900), Machine(adding({})))

    assert (answer.status, answer.picks) == ("nothing", ())
    assert any("would have been seen" in said for said in answer.said)
    assert done[-1].stage.purpose == "screen"


def test_change_nothing_after_a_race_says_what_it_could_not_see_and_what_it_did_not_try() -> None:
    """With ten knobs and no budget to screen them the first four are raced: six were never tried."""
    answer, done = searched(_question(10, 110), Machine(adding({}), sd=0.02))
    whole, _ = searched(_question(3, 200), Machine(adding({}), sd=0.02))
    untried = ", ".join(f"net.knob{n}" for n in range(4, 10))

    assert [each.stage.purpose for each in done] == ["noise", "race"]
    assert answer.visible_pct is not None
    assert 1.0 < answer.visible_pct < 30.0
    assert answer.said[-1] == (
        f"6 of 10 knobs were not tried ({untried}); a gain below {answer.visible_pct:.1f} % could not have been seen."
    )
    assert whole.said[-1].startswith("Every knob was tried; a gain below ")
    anchors = {"published": config(SettingSpec("net.other", "1", None))}
    alone, _ = searched(Question(design(), (), anchors, 200), Machine(adding({}), sd=0.02))
    assert alone.said[-1].startswith("There was no knob to try beside published profiles; a gain below ")


def test_change_nothing_after_screening_and_after_a_confirmation_says_what_it_could_not_see() -> None:
    """By the screening's own model, and by the blocks of the confirmation."""
    screened, _ = searched(_question(10, 900), Machine(adding({})))
    refuted, done = searched(_question(1, 90), Machine(adding({"net.knob0": 0.06}), sd=0.06))

    assert screened.visible_pct is not None
    assert f"{screened.visible_pct:.1f} % would have been seen" in " ".join(screened.said)
    assert "every knob" in screened.said[-1].lower()
    assert (done[-1].stage.purpose, refuted.status) == ("confirm", "nothing")
    assert (
        refuted.said[-1] == f"Every knob was tried; a gain below {refuted.visible_pct:.1f} % could not have been seen."
    )


def test_the_noise_is_told_for_the_blocks_that_the_budget_has_room_for() -> None:
    """Thirty blocks would see more; with 130 trials there are 15 for a confirmation, and those are promised."""
    machine = Machine(adding({}), sd=0.1)
    question = _question(3, 130)
    answer, done = searched(question, machine)
    sds = noise.spreads(done[:1], question.base.judged)
    least = int(RESERVE_SHARE * question.trials_most / 3)

    assert noise.confirming(question.base, sds) > least
    assert answer.said[0] == noise.told(sds[GOODPUT], least)
    assert f": {least} blocks show a gain of" in answer.said[0]


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


def test_settings_too_many_to_look_for_passengers_are_said_to_stay_together() -> None:
    """An anchor of nine that leads: nobody knows which of them count."""
    anchors = {"published": config(*(SettingSpec(f"net.other{n}", "1", None) for n in range(9)))}
    answer, _ = searched(Question(design(), factors(2), anchors, 700), Machine(adding({"net.other1": 0.5})))

    assert len(_set(answer)) == 9
    assert any("9 settings are too many to look for passengers" in said for said in answer.said)


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


@settings(max_examples=40, deadline=None)
@given(st.integers(130, 700), st.integers(3, 12), st.sampled_from((2.0, 3.0, 8.0)))
def test_a_confirmation_with_relinks_is_paid_for_before_anything_else(
    trials: int, number: int, relink_s: float
) -> None:
    """What leads takes a relink in every block: a search that found it has the trials left to confirm it, or less."""
    made = tuple(replace(each, cost="relink" if each.knob == "knob-1" else "none") for each in factors(number))
    truth = adding({"net.knob0": 0.3, "net.knob1": 0.3})
    answer, done = searched(Question(design(), made, {}, trials, Prices(1.0, relink_s)), Machine(truth))

    assert answer.status == "confirmed"
    assert "net.knob0" in _set(answer)
    assert done[-1].stage.purpose == "confirm"


def test_a_knob_that_no_budget_of_this_size_could_confirm_is_not_tried_and_told() -> None:
    """Eighteen restarts take more than all of it; where there is no other knob, what would do is said."""
    made = tuple(replace(each, cost="restart" if each.knob == "knob-1" else "none") for each in factors(2))
    question = Question(design(), made, {}, 300, Prices(1.0, 0.0, 30.0))
    answer, done = searched(question, Machine(adding({"net.knob0": 0.3, "net.knob1": 0.3})))
    alone, _ = searched(replace(question, factors=made[1:]), Machine(adding({"net.knob1": 0.3})))
    enough, _ = searched(
        replace(question, factors=made[1:], trials_most=alone.trials_needed or 0), Machine(adding({"net.knob1": 0.3}))
    )

    assert _set(answer) == ["net.knob0"]
    assert "The budget has no room to race and to confirm net.knob1 (a restart in every block)." in answer.said
    assert not any("net.knob1" in {x.setting for x in arm} for each in done for arm in each.stage.arms.values())
    assert (alone.status, enough.status) == ("refused", "confirmed")


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


def _live(measure: Measure, found: Explored, trials: int = 900) -> Answer:
    """The answer of a search that is carried out."""
    answer, _ = searched_live(design(), trials, measure=measure, explore=lambda _: found, watch=lambda *_: None,
                              prices=Prices())  # fmt: skip
    return answer


@pytest.mark.parametrize("sd", [0.001, 3.0])
def test_a_link_that_is_full_is_the_answer_and_not_the_want_of_knobs(sd: float) -> None:
    """However much it scatters: nothing is to be gained, with the figures; a path without a knob says that instead."""
    evidence = "936 of 957 Mbit/s that headers leave of the link; in 16 of 16 trials"
    machine = Machine(adding({}), sd=sd)

    def measure(stage: Stage, number: int) -> Measured:
        assert (stage.purpose, number) == ("noise", 0)
        return machine.measure(stage, design())

    limits = Limits((("line-rate", evidence),), ())
    found = full(limits, GOODPUT)
    assert found is not None
    answer = _live(measure, found, least_trials(1))
    without = _live(lambda stage, _: Machine(adding({})).measure(stage, design()), Explored((), {}, (), ()))

    assert (answer.status, answer.said[-1]) == ("nothing", f"Nothing to gain: the link is full ({evidence}).")
    assert without.said[-1] == "No knob that may help here is left to try."
    assert full(Limits((("retransmits", "many"),), ()), GOODPUT) is None
    assert full(limits, P99) is None  # which can be gained on a full link
    assert found.full(P99) == ""


class _Loaded(Machine):
    """A machine that somebody else takes a third of from its second stage on."""

    def measure(self, stage: Stage, base: Design) -> Measured:
        """See Machine.measure."""
        measured = super().measure(stage, base)
        if stage.purpose == "noise":
            return measured
        slower = [
            replace(trial, samples=tuple(replace(each, value=each.value / 1.5) for each in trial.samples))
            for trial in measured.trials
        ]
        return replace(measured, trials=slower)


def test_current_that_moved_while_the_search_ran_is_told() -> None:
    """A load that came in between: with both levels, before the conclusion; where it stood nothing is said."""
    gains = adding({"net.knob0": 0.3})
    moved, _ = searched(_question(3, 300), _Loaded(gains))
    idle, _ = searched(_question(3, 300), _Loaded(adding({})))
    stood, _ = searched(_question(3, 300), Machine(gains))
    (said,) = (each for each in moved.said if each.startswith("Current moved from"))

    assert re.fullmatch(
        r"Current moved from 1\.0\d\skbit/s to 0\.6\d\d\skbit/s \(tcp\.goodput, \w+\) while the search ran: other .*",
        said,
    )
    assert moved.said[-1].startswith("Confirmed: ")
    assert sum("other load?" in each for each in idle.said) == 1
    assert not any("other load?" in each for each in stood.said)


def test_an_interruption_tells_what_there_is_to_say_so_far() -> None:
    """The last thing that was decided, and the stage that it was cut short in; no claim."""
    machine, stages = Machine(adding({"net.knob2": 0.10, "net.knob5": 0.05})), list[Stage]()

    def measure(stage: Stage, number: int) -> Measured:
        stages.append(stage)
        if stage.purpose == "combine":
            raise KeyboardInterrupt
        return machine.measure(stage, design())

    with pytest.raises(KeyboardInterrupt) as ended:
        _live(measure, Explored(factors(10), {}, (), ()))
    (note,) = ended.value.__notes__

    assert note.startswith("so far (")
    assert "Screening estimate: net.knob" in note
    assert note.endswith(f"Next: combine: {stages[-1].why}.")


def test_a_stage_has_the_design_that_a_run_has() -> None:
    """Arms as treatments, so that the judgement's family is the stage's."""
    stage = Stage("race", {"a": config(SettingSpec("x", "1", None))}, 6, sequential=True)
    made = Measured(stage, stage.design(design()), ())

    assert (made.design.treatments, made.design.family, stage.trials) == (("a",), 1, 18)
