"""Steps and modes of one series: what is a change, what an odd run, what luck between two modes."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from results.statistics import student
from results.steps import Levels, levels, modes, runs_p

MARGIN = math.log(1.05)
sides = st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=12)


def _noise(n: int, spread: float = 0.02, seed: str = "") -> list[float]:
    dice = random.Random(f"{seed}/{n}")
    return [23.0 + dice.gauss(0.0, spread) for _ in range(n)]


def _stepped(n: int, at: int, change: float, seed: str = "") -> list[float]:
    return [log + (change if place >= at else 0.0) for place, log in enumerate(_noise(n, seed=seed))]


def _at(found: Levels) -> list[int]:
    return [step.at for step in found.steps]


@pytest.mark.parametrize(("n", "at"), [(20, 10), (20, 3), (20, 17), (6, 3)])
def test_a_step_is_found_where_it_is(n: int, at: int) -> None:
    """With three runs on its shorter side, which is the least."""
    found = levels(_stepped(n, at, -0.4), margin_log=MARGIN)

    assert _at(found) == [at]
    assert found.steps[0].found.mean == pytest.approx(-0.4, abs=0.05)
    assert found.steps[0].p < 0.05


def test_up_and_down_again_are_two_steps() -> None:
    """A regression and its repair."""
    logs = [log - (0.3 if 8 <= place < 16 else 0.0) for place, log in enumerate(_noise(24))]

    assert _at(levels(logs, margin_log=MARGIN)) == [8, 16]


def test_noise_has_no_step() -> None:
    """Nor has a series that never moves."""
    assert [_at(levels(_noise(30, seed=str(seed)), margin_log=MARGIN)) for seed in range(20)] == [[]] * 20
    assert levels([1.0] * 12, margin_log=MARGIN) == Levels((), ())


def test_a_step_within_the_margin_is_none() -> None:
    """4 % beyond any doubt, and not worth naming."""
    logs = [log / 100 + (0.04 if place >= 10 else 0.0) for place, log in enumerate(_noise(20))]

    assert _at(levels(logs, margin_log=MARGIN)) == []
    assert _at(levels(logs, margin_log=math.log(1.02))) == [10]


@pytest.mark.parametrize("places", [(7,), (18, 19)])
def test_one_or_two_odd_runs_are_apart_and_no_step(places: Sequence[int]) -> None:
    """In the middle: an odd one. At the end: a level that may begin; the third run makes it one."""
    logs = _noise(20)
    for place in places:
        logs[place] -= 0.5
    found = levels(logs, margin_log=MARGIN)

    assert (found.steps, found.apart) == ((), tuple(places))
    if 19 in places:
        assert _at(levels([*logs, logs[-1] + 0.01], margin_log=MARGIN)) == [18]


def test_more_series_ask_for_more() -> None:
    """The p of a step counts every place and every series that was looked at."""
    logs = _stepped(12, 6, -0.15)
    alone, among = (levels(logs, margin_log=MARGIN, family=family) for family in (1, 10**9))

    assert (_at(alone), _at(among)) == ([6], [])
    assert alone.steps[0].p == pytest.approx(alone.steps[0].found.p * 7)


def test_a_series_without_values_has_no_step() -> None:
    """And one of a single value neither, nor is that one apart."""
    assert levels([], margin_log=MARGIN) == Levels((), ())
    assert levels([3.0], margin_log=MARGIN) == Levels((), ())


@settings(max_examples=50)
@given(st.lists(st.floats(-2.0, 2.0), max_size=20), st.floats(-20.0, 20.0))
def test_the_unit_moves_no_step(logs: list[float], shift: float) -> None:
    """Bit/s or Gbit/s; every level has three runs, and every step its margin."""
    here, there = (levels([log + by for log in logs], margin_log=MARGIN) for by in (0.0, shift))
    edges = [0, *_at(here), len(logs)]

    assert (here.apart, _at(here)) == (there.apart, _at(there))
    assert not here.steps or min(end - start for start, end in itertools.pairwise(edges)) >= 3
    assert all(abs(step.found.mean) >= MARGIN and step.p < 0.05 for step in here.steps)


def _jumping(n: int, share: float = 0.5, seed: str = "") -> list[float]:
    dice = random.Random(seed)
    return [log - (0.4 if dice.random() < share else 0.0) for log in _noise(n, seed=seed)]


def test_luck_between_two_modes_is_named() -> None:
    """In whatever order: half of the runs meet the slower mode."""
    logs = _jumping(24)
    found = modes(logs)

    assert found is not None
    assert found.high - found.low == pytest.approx(0.4, abs=0.05)
    assert (found.n_low, found.n_high) == (sum(log < 22.8 for log in logs), sum(log > 22.8 for log in logs))
    assert found.p < 0.05


@pytest.mark.parametrize("at", [3, 12, 21])
def test_a_step_is_not_two_modes(at: int) -> None:
    """It has two clusters too, but each in one piece."""
    assert modes(_stepped(24, at, -0.4)) is None


def test_noise_has_one_mode() -> None:
    """And few runs have none that could be told."""
    assert [modes(_noise(24, seed=str(seed))) for seed in range(20)] == [None] * 20
    assert modes(_jumping(11)) is None
    assert modes([1.0] * 12) is None


def test_an_order_that_alternates_is_two_modes() -> None:
    """Every second run slower is no step either."""
    assert modes([log - 0.4 * (place % 2) for place, log in enumerate(_noise(16))]) is not None


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_the_runs_test_counts_every_order(marks: list[bool]) -> None:
    """Against all orders of the same marks, one by one."""
    places = itertools.combinations(range(len(marks)), sum(marks))
    orders = [[place in ones for place in range(len(marks))] for ones in map(set, places)]
    runs = [sum(1 for _ in itertools.groupby(order)) for order in orders]
    ours = sum(1 for _ in itertools.groupby(marks))

    assert runs_p(marks) == pytest.approx(sum(n <= ours for n in runs) / len(orders))


@given(sides, sides)
def test_student_agrees_with_scipy(first: list[float], second: list[float]) -> None:
    """Mean difference, p and interval, wherever there is a spread worth the name."""
    found = student(first, second)
    assert found is not None
    if min(max(side) - min(side) for side in (first, second)) < 1e-2:
        return
    theirs = stats.ttest_ind(second, first)
    low, high = theirs.confidence_interval(0.95)

    assert found.p == pytest.approx(theirs.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)
