"""Noise, race, refining, passengers, the front, and the confirmation, each by itself."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import SettingSpec
from results.records import Guard
from results.statistics import Estimate, estimate
from tests.unit.tuning.search.made import CPU, GOODPUT, P99, Machine, adding, design
from tuning.search import combine, noise, pareto, refine
from tuning.search.confirming import against, confirmed
from tuning.search.pareto import Picked
from tuning.search.stages import Config, Factor, Stage, config, named
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


def test_passengers_leave_at_once_and_what_counts_stays() -> None:
    """Two of three add nothing."""
    found = _round({"net.b": 0.2})

    assert (found.kept, set(found.out), found.again) == ((B,), {A, C}, False)


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
