"""Noise, race, refining, passengers, the front, and the confirmation, each by itself."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import SettingSpec
from results.records import Guard, Trial
from results.statistics import Estimate, estimate
from tests.unit.tuning.search.made import CPU, GOODPUT, P99, Machine, adding, design
from tuning.search import combine, noise, pareto, race, reducing, refine
from tuning.search.confirming import against, confirmed
from tuning.search.course import Course
from tuning.search.pareto import Picked
from tuning.search.stages import Config, Factor, Question, Stage, config, named
from tuning.search.standing import standings

A, B, C = (SettingSpec(f"net.{name}", "1", None) for name in "abc")


def _estimate(mean: float, error: float = 0.01, n: int = 9) -> Estimate:
    dice = random.Random(0)
    raw = [dice.gauss(0.0, 1.0) for _ in range(n)]
    middle = math.fsum(raw) / n
    scale = error * math.sqrt(n) / math.sqrt(math.fsum((x - middle) ** 2 for x in raw) / (n - 1))
    found = estimate([mean + scale * (x - middle) for x in raw])
    assert found is not None
    return found


def test_the_scatter_of_an_effect_follows_from_equal_arms() -> None:
    """Of one trial's 2 %: sqrt(1.5) times as much."""
    measured = Machine(adding({}), sd=0.02).measure(Stage("noise", {}, 400), design())

    assert noise.spread([measured], GOODPUT) == pytest.approx(0.02 * math.sqrt(1.5), rel=0.1)
    assert noise.spread([Machine(adding({})).measure(Stage("noise", {}, 2), design())], GOODPUT) is None


def test_a_confirmation_takes_the_blocks_that_its_guards_need() -> None:
    """A p99 that scatters needs more than goodput does; a gain that is expected to be large needs fewer."""
    quiet = noise.confirming(design(), {GOODPUT: 0.01, P99: 0.01, CPU: 0.01})
    noisy = noise.confirming(design(), {GOODPUT: 0.01, P99: 0.2, CPU: 0.01})
    large = noise.confirming(design(guards=False), {GOODPUT: 0.2}, expected=2.0)

    assert (quiet, large) == (12, 12)
    assert quiet < noisy <= 100
    assert noise.confirming(design(guards=False), {GOODPUT: 0.2}) == 100


def test_the_weakest_value_within_one_error_of_the_best_is_taken() -> None:
    """A flat top is to be had for less; without numbers nothing is said."""
    flat = {"1": _estimate(0.0), "8": _estimate(0.295), "64": _estimate(0.3), "512": _estimate(0.298)}

    assert refine.smallest({key: flat[key] for key in ("1", "8", "64")}, ("1", "8", "64")) == "8"
    assert refine.smallest({}, ("1", "8")) is None


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30, unique=True))
def test_a_grid_has_at_most_five_values_in_order(sizes: list[int]) -> None:
    """The chosen one, and the others from weakest to strongest."""
    values = tuple(str(size) for size in sorted(sizes))
    found = refine.grid(Factor("a", "b", values, numeric=True), values[-1])

    assert len(found) == len(set(found)) <= refine.GRID_MOST - 1
    assert values[-1] not in found
    assert list(found) == sorted(found, key=int)
    assert not found or found[0] == values[0]


def _round(truth: dict[str, float], pair: float = 0.0) -> combine.Left:
    def effects(found: Config) -> dict[str, float]:
        return {GOODPUT: adding(truth)(found)[GOODPUT] + (pair if {A, B} <= set(found) else 0.0)}

    stage = Stage("combine", combine.arms((A, B, C)), 12)
    return combine.left(Machine(effects).measure(stage, design()), math.log1p(0.05), {})


def test_a_passenger_leaves_and_of_several_none_before_all_were_left_out_together() -> None:
    """Each of two that add nothing may do so because the other is there; of three two are looked at once more."""
    one, two = _round({"net.a": 0.1, "net.b": 0.2}), _round({"net.b": 0.2})

    assert (one.kept, one.out, one.idle, one.again) == ((A, B), (C,), (), False)
    assert (two.kept, two.out, set(two.idle), two.again) == ((A, B, C), (), {A, C}, False)


def _broken_round(*failing: Config) -> combine.Left:
    """A round in which arms that hold all of one of these fail."""

    class Breaking(Machine):
        def _trial(self, place: tuple[str, int, int], held: Config, *rest: Any) -> Trial:  # Any: as they come
            made = super()._trial(place, held, *rest)
            broken = any(set(each) <= set(held) for each in failing)
            return replace(made, status="failed", samples=()) if broken else made

    stage = Stage("combine", combine.arms((A, B, C)), 8)
    machine = Breaking(adding({"net.a": 0.1, "net.b": 0.1, "net.c": 0.1}))
    return combine.left(machine.measure(stage, design()), math.log1p(0.05), {})


def test_what_all_together_fail_with_leaves_and_what_others_fail_without_stays() -> None:
    """Whatever it gains; and the sentence is not that of a passenger."""
    found = _broken_round((B,))
    together = _broken_round((A, C))
    needed = _broken_round((A, C), (A, B))

    assert (found.kept, found.out, found.again, found.why) == ((A, C), (B,), True, "Trials fail with it, left out")
    assert together.out in ((A,), (C,))
    assert needed.out == (A,)


@pytest.mark.parametrize(
    ("idle", "either", "kept"),
    [
        (("net.a", "net.b"), 0.3, 2),  # either of two suffices: one of them and the 10 %
        ((), 0.0, 1),  # passengers alone: the 10 %
        (("net.a", "net.b", "net.d"), 0.3, 2),
    ],
)
def test_of_settings_of_which_any_does_one_stays_and_passengers_leave_all(
    idle: tuple[str, ...], either: float, kept: int
) -> None:
    """The first loses what it gives when all that look idle leave at once."""
    specs = [SettingSpec(f"net.{name}", "1", None) for name in "abcde"]

    def effects(found: Config) -> dict[str, float]:
        there = {each.setting for each in found}
        return {GOODPUT: math.log1p(0.1) * ("net.c" in there) + math.log1p(either) * bool(there & set(idle))}

    machine, course = Machine(effects), Course(Question(design(), (), {}, 2000))
    course.sds = {GOODPUT: 0.0125}
    road = reducing.reduced(course, config(*specs), {}, {})
    rounds = 0
    try:
        step = next(road)
        while True:
            step, rounds = road.send(machine.measure(step, design())), rounds + 1
    except StopIteration as end:
        found: Config = end.value

    assert effects(found)[GOODPUT] == effects(tuple(specs))[GOODPUT]
    assert len(found) == kept
    assert rounds <= 2


def test_values_that_are_not_refined_for_want_of_trials_are_said_to_be() -> None:
    """The strongest of a grid stays, and nobody is to believe that a smaller one was tried."""
    sizes = Factor("buf", "net.buf", ("1", "2", "4"), numeric=True)
    course = Course(Question(design(), (sizes,), {}, 40))
    course.sds = {GOODPUT: 0.0125}
    with pytest.raises(StopIteration) as end:
        next(reducing.reduced(course, sizes.config("4"), {"net.buf": (sizes, "4")}, {}))

    assert end.value.value == sizes.config("4")
    assert course.told == ["The budget has no room to look for smaller values that do as well."]


def test_without_the_trials_to_tell_redundant_from_idle_only_one_leaves() -> None:
    """Three that each look idle; the sentence says what was not looked at."""
    course = Course(Question(design(), (), {}, 12 * 3 + 8 * 6))
    course.sds = {GOODPUT: 0.0125}
    road = reducing.reduced(course, config(A, B, C), {}, {})
    with pytest.raises(StopIteration) as end:
        road.send(Machine(adding({"net.b": 0.2})).measure(next(road), design()))

    assert len(end.value.value) == 2
    assert B in end.value.value
    assert "whether one stands in for another" in course.told[-1]


def test_of_two_that_stand_in_each_others_way_only_the_worse_leaves() -> None:
    """Without it the other is worth all of its own: another round looks again."""
    found = _round({"net.a": 0.05, "net.b": 0.10, "net.c": 0.2}, pair=-0.3)

    assert (found.out, found.kept, found.again) == ((A,), (B, C), True)


def test_what_screening_knows_counts_unless_the_two_disagree() -> None:
    """Of a noisy round: a setting that screening saw clearly is no passenger; a contradiction trusts the round."""
    stage = Stage("combine", combine.arms((A, B)), 8)
    measured = Machine(adding({"net.a": 0.3, "net.b": 0.01})).measure(stage, design())

    assert combine.left(measured, math.log1p(0.05), {}).out == (B,)
    assert combine.left(measured, math.log1p(0.05), {B: (0.03, 0.002)}).out == (B,)
    assert combine.left(measured, math.log1p(0.05), {B: (0.025, 0.004)}).out == ()


def test_of_settings_that_together_harm_a_guard_the_worst_leaves() -> None:
    """Though each adds to goodput."""
    machine = Machine(
        adding({"net.a": 0.1, "net.b": 0.1, "net.c": 0.1}),
        late=lambda found: {P99: math.fsum({A: 0.02, B: 0.15, C: 0.02}[each] for each in found)},
    )
    found = combine.left(machine.measure(Stage("combine", combine.arms((A, B, C)), 12), design()), 0.05, {})

    assert (found.out, found.again) == ((B,), True)


def test_the_front_has_what_nothing_else_beats_in_all_objectives() -> None:
    """One is fast, one is fast and late, one does nothing: the middle one and the last are beaten."""
    stage = Stage("race", {"fast": (A,), "late": (A, B), "idle": (C,)}, 12)
    machine = Machine(adding({"net.a": 0.3}), late=lambda found: {P99: 0.3 * (B in found), CPU: -0.1 * (found == (A,))})

    assert set(pareto.front(standings(machine.measure(stage, design())))) == {"fast"}


def test_a_confirmation_counts_all_of_its_picks_as_one_family() -> None:
    """Two that gain hold, one without an effect does not; a p that alone would do is adjusted."""
    stage = Stage("confirm", {"a": (A,), "b": (B,), "c": (C,)}, 12)
    measured = Machine(adding({"net.a": 0.2, "net.b": 0.1})).measure(stage, design())
    held, said = confirmed(measured, [Picked(("balanced",), (each,), GOODPUT) for each in (A, B, C)])

    assert [pick.arm for pick in held] == ["a", "b"]
    assert [sentence.partition(":")[0] for sentence in said] == ["Confirmed", "Confirmed", "Not confirmed"]
    assert held[0].gain.low <= math.log(1.2) <= held[0].gain.high
    assert [pick.on_front for pick in held] == [True, False]
    assert against(measured, ("b",), "a")[0].startswith("a beats b")
    assert against(measured, ("c",), "b")[0].startswith("b beats c")


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_pick_that_breaks_the_path_is_rejected_in_words(share: float) -> None:
    """However much the trials that went through gained: they are a selection (the method: worse from two blocks on)."""
    machine = Machine(adding({"net.a": 0.5, "net.b": 0.1}), failing=["net.a"], share=share)
    measured = machine.measure(Stage("confirm", {"a": (A,), "b": (B,)}, 24), design())
    failed = sum(trial.status == "failed" for trial in measured.trials)
    held, said = confirmed(measured, [Picked(("balanced",), (each,), GOODPUT) for each in (A, B)])

    assert failed >= 2
    assert [pick.arm for pick in held] == ["b"]
    assert said[0].startswith(f"Not confirmed: balanced: it failed in {failed} of 24 fresh blocks, and current in")
    assert against(measured, ("a",), "b") == (f"a failed in {failed} blocks in which current did not.",)


def test_a_claim_rests_on_twelve_blocks_that_gave_numbers() -> None:
    """One failure is no verdict, and a tool that crashed none either; but eleven numbers are no twelve."""
    measured = Machine(adding({"net.a": 0.5})).measure(Stage("confirm", {"a": (A,)}, 12), design())
    picked = [Picked(("balanced",), (A,), GOODPUT)]
    for status in ("failed", "missing"):
        trials = [replace(each, status=status, samples=()) if (each.arm, each.block) == ("a", 3) else each
                  for each in measured.trials]  # fmt: skip
        held, said = confirmed(replace(measured, trials=trials), picked)

        assert held == ()
        assert said == (
            "Not confirmed: balanced: only 11 of 12 blocks gave a number, and a claim rests on 12 at least.",
        )
    assert [pick.gain.n for pick in confirmed(measured, picked)[0]] == [12]


def test_what_fails_is_on_no_front_and_wins_no_race() -> None:
    """Though the trials that went through are the best of all."""
    machine = Machine(adding({"net.a": 0.5, "net.b": 0.1}), failing=["net.a"], share=0.4)
    arms = {"a-1": (A,), "b-1": (B,), "all": (A, B), "c-1": (C,)}
    pool = standings(machine.measure(Stage("race", arms, 12), design()))
    knobs = [Factor(name, f"net.{name}", ("1",)) for name in "abc"]

    assert pool["a-1"].failed
    assert pool["a-1"].gain(GOODPUT) > pool["b-1"].gain(GOODPUT)
    assert list(race.winners(pool, knobs)) == ["net.b"]
    assert not any(pareto.dominates(pool["a-1"], each) for each in pool.values())
    assert all(A not in each.config for each in pareto.others(pool, design(), 0.05))


def test_an_unresolved_guard_leaves_throughput_and_takes_balanced() -> None:
    """And the sentence names it."""
    base = design()
    machine = Machine(adding({"net.a": 1.5}), sd=0.4, seed=1)
    measured = machine.measure(Stage("confirm", {"a": (A,)}, 12), base)
    held, said = confirmed(measured, [Picked(("balanced", "throughput"), (A,), GOODPUT)])

    assert [pick.names for pick in held] == [("throughput",)]
    assert "not resolved: latency.rtt_p99" in said[0]
    assert base.guards[0] == Guard(P99, 0.10)


def test_names_of_arms_are_short_and_not_taken_twice() -> None:
    """Of a setting and its value, in the letters that a plan allows."""
    long = Factor("rmem", "net.ipv4.tcp_rmem", ("4096 131072 33554432",))
    first = named(long, long.values[0], {})

    assert first == "tcp-rmem-4096-131072-33554432"
    assert named(long, long.values[0], {first: config()}) == f"{first}-2"
