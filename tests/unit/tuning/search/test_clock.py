"""A budget in time is a deadline: by a clock that is simulated, with machines of any pace."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from results.records import CURRENT_ARMS, Trial
from tests.unit.tuning.search.made import Machine, adding, design, factors
from tuning.search import noise
from tuning.search.clock import Clock, paced
from tuning.search.course import least_trials
from tuning.search.driving import searched
from tuning.search.pipeline import next_step
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Cost, Factor, Measured, Prices, Question, Stage

TRIAL_S, SET_UP_S = 4.0, 20.0  # as a plan estimates the one; nobody estimates the other


class Timed(Machine):
    """A machine whose stages take time; what it has measured it keeps, and a stage that is over it only tells again.

    `pace` is how many times as long as estimated the trials of a stage take, by its number.
    """

    def __init__(self, effects: Mapping[str, float], pace: Callable[[int], float], relink_s: float = 0.0) -> None:
        super().__init__(adding(effects), sd=0.01)
        self.now, self.longest_s, self.ends_in = 0.0, 0.0, math.inf
        self._pace, self._relink_s = pace, relink_s
        self._kept: dict[int, list[Trial]] = {}
        self._over: set[int] = set()

    def staged(self, stage: Stage, number: int, clock: Clock) -> Measured:
        """The stage, or the rest of it, until the clock has enough; interrupted where its time has come."""
        self._stages = number
        whole = self.measure(stage, design())
        there = self._kept.setdefault(number, [])
        if number in self._over:
            return replace(whole, trials=tuple(there))
        if not there or clock.left_s > 0:
            self.now += SET_UP_S
        for block in sorted({each.block for each in whole.trials} - {each.block for each in there}):
            if clock.enough(block):
                break
            trials = [self._took(stage, each, number) for each in whole.trials if each.block == block]
            took_s = sum(each.elapsed_s for each in trials)
            self.longest_s = max(self.longest_s, took_s)
            self.now += took_s
            if self.now > self.ends_in:
                self.ends_in = math.inf
                raise KeyboardInterrupt
            there += trials
        self._over.add(number)
        return replace(whole, trials=tuple(there))

    def _took(self, stage: Stage, trial: Trial, number: int) -> Trial:
        extra_s = self._relink_s if stage.costs.get(trial.arm) == "relink" else 0.0
        return replace(trial, elapsed_s=TRIAL_S * self._pace(number) + extra_s)


class Sitting:
    """Searches with one machine; what its clock keeps is JSON, as on a disk."""

    def __init__(self, machine: Timed, found: tuple[Factor, ...], budget_s: float) -> None:
        self._machine, self._found, self._budget_s = machine, found, budget_s
        self.kept = "{}"
        self.explored = False

    def search(self) -> tuple[Answer, tuple[Measured, ...]]:
        """One sitting; another one goes on."""
        machine = self._machine
        clock = Clock(self._budget_s, Prices(TRIAL_S), json.loads(self.kept), self._keep, lambda: machine.now)

        def explore(_: Measured) -> Explored:
            machine.now += 0.0 if self.explored else SET_UP_S
            self.explored = True
            return Explored(self._found, {}, (), ())

        try:
            return searched(
                design(), Prices(TRIAL_S).trials(self._budget_s), prices=Prices(TRIAL_S), watch=lambda *_: None,
                measure=lambda stage, number: machine.staged(stage, number, clock), explore=explore, clock=clock,
            )  # fmt: skip
        finally:
            clock.save()

    def _keep(self, document: Mapping[str, object]) -> None:
        self.kept = json.dumps(document)


@st.composite
def sittings(draw: st.DrawFn) -> tuple[Sitting, Timed, float]:
    """Any budget, knobs that need relinks or not, a pace of each stage's own."""
    number = draw(st.integers(0, 9))
    kinds: tuple[Cost, ...] = ("none", "relink")
    costs = draw(st.lists(st.sampled_from(kinds), min_size=number, max_size=number))
    found = tuple(replace(each, cost=cost) for each, cost in zip(factors(number), costs, strict=True))
    effects = {f"net.knob{n}": draw(st.sampled_from((0.0, 0.1, 0.5, -0.1))) for n in range(number)}
    of_stages = draw(st.lists(st.floats(0.1, 8.0), min_size=8, max_size=8))
    machine = Timed(effects, lambda stage: of_stages[stage % 8], draw(st.sampled_from((0.0, 6.0))))
    budget_s = draw(st.floats(60.0, 6000.0))
    return Sitting(machine, found, budget_s), machine, budget_s


@settings(max_examples=60)
@given(sittings())
def test_a_search_ends_by_its_deadline_whatever_its_pace(made: tuple[Sitting, Timed, float]) -> None:
    """At most one block late, and the lab that a block needs; a claim rests on twelve fresh blocks."""
    sitting, machine, budget_s = made
    answer, done = sitting.search()

    assert machine.now <= budget_s + max(machine.longest_s, SET_UP_S)
    assert answer.status in {"confirmed", "nothing", "refused"}
    assert answer.status != "confirmed" or done[-1].blocks >= noise.CONFIRM_BLOCKS[0]


@settings(max_examples=30)
@given(st.floats(0.5, 2.0), st.integers(1, 4), st.floats(1.0, 4.0), st.sampled_from((0.0, 0.05)))
@example(pace=1.375, number=3, more=1.375, other=0.05)  # a race whose arms left one by one
def test_what_gains_is_confirmed_in_time_where_the_pace_is_within_twice_the_estimate(
    pace: float, number: int, more: float, other: float
) -> None:
    """Once the budget pays for noise, a race and a confirmation at the worst of such paces, and their labs."""
    budget_s = more * (2.0 * TRIAL_S * least_trials(number + 1) + 5 * SET_UP_S)
    effects = {"net.knob0": 0.5, **{f"net.knob{n}": other for n in range(1, number)}}
    machine = Timed(effects, lambda _: pace)
    answer, done = Sitting(machine, factors(number), budget_s).search()

    assert (answer.status, done[-1].stage.purpose) == ("confirmed", "confirm"), answer.said
    assert done[-1].blocks >= noise.CONFIRM_BLOCKS[0]
    assert machine.now <= budget_s + machine.longest_s


def _cut_short() -> tuple[Sitting, Timed, float]:
    """The race is three times as slow as the rest: its time ends after 3 blocks, and some of the budget is left."""
    machine = Timed({"net.knob0": 0.1}, lambda stage: 3.0 if stage == 1 else 1.0)
    return Sitting(machine, factors(1), 718.0), machine, 718.0


@settings(max_examples=30)
@example(made=_cut_short(), at=1.0)
@given(sittings(), st.floats(0.0, 1.0))
def test_a_search_that_was_interrupted_goes_on_with_the_time_that_it_had_left(
    made: tuple[Sitting, Timed, float], at: float
) -> None:
    """The pause is not counted; the stages that were over stand, and a third sitting finds the same answer."""
    sitting, machine, budget_s = made
    machine.ends_in, pause_s = at * budget_s, 0.0
    try:
        sitting.search()
    except KeyboardInterrupt:
        machine.now += (pause_s := 1e6)
    before = json.loads(sitting.kept).get("paces", [])
    answer, done = sitting.search()
    after = machine.now

    again = sitting.search()

    assert json.loads(sitting.kept)["paces"][: len(before)] == before
    assert after - pause_s <= budget_s + 2 * max(machine.longest_s, SET_UP_S)
    assert again == (answer, done)


def test_the_stages_follow_from_what_is_kept_and_from_nothing_else() -> None:
    """Each next stage is asked again from the stages before it, with their pace: no clock is read."""
    machine = Timed({"net.knob2": 0.2}, lambda _: 1.3)
    answer, done = Sitting(machine, factors(8), 4000.0).search()
    question = Question(design(), factors(8), {}, Prices(TRIAL_S).trials(4000.0), Prices(TRIAL_S))

    assert [next_step(question, done[:n]) for n in range(1, len(done))] == [each.stage for each in done[1:]]
    assert next_step(question, done) == answer
    assert all(each.pace is not None for each in done)


def test_a_slow_machine_is_told_how_far_its_time_went() -> None:
    """Eight times as slow after the noise: the race ends early, what is kept back is worth nothing then, in words."""
    machine = Timed({"net.knob0": 0.5}, lambda stage: 8.0 if stage else 1.0)
    answer, done = Sitting(machine, factors(2), 700.0).search()

    assert answer.status == "nothing"
    assert any(said.startswith("The time has room for ") and " blocks to race." in said for said in answer.said)
    assert done[1].design.blocks == done[1].blocks < done[1].stage.blocks


def test_a_fast_machine_measures_more_than_the_estimate_paid_for() -> None:
    """More trials than the budget was estimated to have."""
    machine = Timed({"net.knob0": 0.03, "net.knob1": 0.04}, lambda _: 0.3)
    answer, _ = Sitting(machine, factors(8), 400.0).search()

    assert answer.trials > Prices(TRIAL_S).trials(400.0)


@pytest.mark.parametrize("relink_s", [0.0, 7.0])
def test_a_relink_is_priced_by_what_it_took(relink_s: float) -> None:
    """And new starts of guests by the time between trials; what a stage does not show stays as it was."""
    stage = Stage("race", {"a": (), "b": ()}, 3, costs={"a": "relink"})
    arms = (*CURRENT_ARMS, "a", "b")
    trials = [
        Trial(0, "path", block, 0, 0, arm, "done", "", 0.0, 2.0 + (relink_s if arm == "a" else 0.0))
        for block in range(3)
        for arm in arms
    ]
    seconds = dict.fromkeys(range(3), 4 * 2.5 + relink_s)
    found = paced(stage, trials, seconds, Prices(9.0, 1.0, 30.0))
    restarted = replace(stage, costs={"a": "restart"})
    started = paced(restarted, trials, {0: 4 * 2.0 + relink_s + 2 * 8.0}, Prices(9.0, 1.0, 30.0))

    assert (found.trial_s, found.relink_s, found.restart_s) == pytest.approx((2.5, relink_s, 30.0))
    assert started.restart_s == pytest.approx(8.0)
    assert paced(stage, trials, {}, Prices(9.0)) == Prices(9.0)
