"""Guards: what stops a win, what lets it pass, and what cannot be said."""

from dataclasses import replace

import pytest

from results.judgement import judge
from results.records import Goal, Guard, GuardResult, Judgement, Trial
from tests.unit.results.made import against, alternating, design, joined, of, trial, wobble

P99 = Guard("latency.rtt_p99", 0.10)
DROPS = Guard("tcp.drops", 0.0001, absolute=True)


def with_guard(name: str, current: float, treated: float, *, gain: float = 1.2, spread: float = 0.01) -> list[Trial]:
    """A winning treatment whose guard metric goes from `current` to `treated`."""
    return [
        replace(
            t,
            samples=(
                *t.samples,
                *trial(
                    t.arm, t.block, {name: (treated if t.arm == "t" else current) * wobble(t.arm, t.block + 50, spread)}
                ).samples,
            ),
        )
        for t in against(gain)
    ]


def guard_of(judgement: Judgement) -> GuardResult:
    """The one guard of the one comparison."""
    (found,) = of(judgement).guards
    return found


@pytest.mark.parametrize("goal", ["throughput", "balanced", "latency"])
def test_a_harmed_guard_forbids_the_win_for_every_goal(goal: Goal) -> None:
    """p99 latency 30 % up, limit 10 %."""
    judged = judge(design(guards=(P99,), goal=goal), with_guard(P99.metric, 1e-3, 1.3e-3))

    assert (of(judged).verdict, guard_of(judged).word, of(judged).candidate) == ("better", "harmed", False)


def test_a_guard_that_holds_lets_the_win_stand() -> None:
    """p99 latency unchanged within 1 % noise."""
    judged = judge(design(guards=(P99,), goal="latency"), with_guard(P99.metric, 1e-3, 1e-3))

    assert (guard_of(judged).word, of(judged).candidate) == ("ok", True)


@pytest.mark.parametrize(("goal", "candidate"), [("throughput", True), ("balanced", False), ("latency", False)])
def test_an_unresolved_guard_lets_only_throughput_win(goal: Goal, candidate: bool) -> None:
    """p99 latency too noisy for its limit: printed with the smallest change that could have been seen."""
    judged = judge(design(guards=(P99,), goal=goal), joined(alternating(0.2, 0.01), alternating(0.05, 0.2, P99.metric)))
    guard = guard_of(judged)

    assert (guard.word, of(judged).candidate) == ("not resolved", candidate)
    assert guard.visible is not None
    assert guard.visible > guard.limit


def test_a_guard_without_data_is_not_resolved() -> None:
    """What was not measured cannot be vouched for."""
    judged = judge(design(guards=(P99,), goal="balanced"), against(1.2))

    assert (guard_of(judged).word, guard_of(judged).change, of(judged).candidate) == ("not resolved", None, False)


def test_a_guard_where_more_is_better_is_harmed_by_less() -> None:
    """Goodput as the guard of a latency plan: 30 % less harms, 30 % more does not."""
    guard = Guard("udp.goodput", 0.10)
    less = judge(design(guards=(guard,)), with_guard(guard.metric, 1e9, 0.7e9))
    more = judge(design(guards=(guard,)), with_guard(guard.metric, 1e9, 1.3e9))

    assert (guard_of(less).word, guard_of(more).word) == ("harmed", "ok")


@pytest.mark.parametrize(("treated", "word"), [(0.0, "ok"), (0.00005, "ok"), (0.002, "harmed")])
def test_drops_are_guarded_by_their_difference_as_they_may_be_zero(treated: float, word: str) -> None:
    """Limit: +0.01 % of packets, in the metric's own unit."""
    judged = judge(design(guards=(DROPS,)), with_guard(DROPS.metric, 0.0, treated))
    guard = guard_of(judged)

    assert (guard.word, guard.absolute) == (word, True)
    assert guard.change == pytest.approx(treated, rel=0.05)


def test_a_relative_guard_of_nothing_but_zeros_is_ok() -> None:
    """0 lost packets on both sides is no change."""
    guard = Guard("latency.loss", 0.10)

    judged = judge(design(guards=(guard,), goal="balanced"), with_guard(guard.metric, 0.0, 0.0))

    assert (guard_of(judged).word, guard_of(judged).change) == ("ok", 0.0)


def test_a_relative_guard_with_some_zeros_is_not_resolved() -> None:
    """There is no ratio to 0, and no guess is made."""
    guard = Guard("latency.loss", 0.10)

    judged = judge(design(guards=(guard,)), with_guard(guard.metric, 0.0, 0.01))

    assert (guard_of(judged).word, guard_of(judged).change) == ("not resolved", None)


@pytest.mark.parametrize(
    ("current", "treated", "word"),
    [(0.01, 0.0104, "ok"), (0.01, 0.013, "harmed"), (0.0001, 0.0004, "harmed"), (0.0, 0.0004, "harmed")],
)
def test_what_a_path_loses_by_itself_widens_the_limit_of_drops(current: float, treated: float, word: str) -> None:
    """One packet in a hundred is lost anyway: a tenth of that more is no harm, and a third is."""
    judged = judge(design(guards=(DROPS,)), with_guard(DROPS.metric, current, treated))

    assert guard_of(judged).word == word
    assert guard_of(judged).limit == pytest.approx(max(1e-4, current / 10), rel=0.05)


def test_an_absolute_limit_of_a_plan_is_kept_as_it_is() -> None:
    """Whoever writes one of another metric means that number."""
    loss = Guard("udp.loss", 0.0001, absolute=True)
    judged = judge(design(guards=(loss,)), with_guard(loss.metric, 0.01, 0.0104))

    assert (guard_of(judged).word, guard_of(judged).limit) == ("harmed", 0.0001)
