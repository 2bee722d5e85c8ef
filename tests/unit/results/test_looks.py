"""Sequential designs: when arms stop, at which level, and what is said of them."""

import math
import random
from collections.abc import Mapping

import pytest

from results.judgement import judge, look
from results.looks import looks
from results.records import Comparison, Design, Judgement, Sample, Trial


def sequential(
    treatments: tuple[str, ...] = ("t",), blocks: int = 20, topologies: tuple[str, ...] = ("bridge",)
) -> Design:
    """A design of up to 20 blocks with a margin of 5 %."""
    return Design(
        topologies=topologies,
        treatments=treatments,
        primary="tcp.goodput",
        metrics=("tcp.goodput",),
        guards=(),
        margin_pct=5.0,
        goal="throughput",
        blocks=blocks,
        sequential=True,
        block_s=10.0,
    )


def measured(
    arms: Mapping[str, float], n: int, *, spread: float = 0.01, first: int = 0, topology: str = "bridge"
) -> list[Trial]:
    """Blocks `first` … n-1 of both current arms and these treatments, each with its own factor."""
    trials: list[Trial] = []
    for block in range(first, n):
        for arm, gain in {"current": 1.0, "current-again": 1.0, **arms}.items():
            value = 1e9 * gain * math.exp(random.Random(f"{arm}/{block}").gauss(0.0, spread))
            sample = Sample("tcp", "goodput", value, "bit/s", "b", "a>b", 1.0)
            trials.append(Trial(0, topology, block, 1, 0, arm, "done", "", 0.0, 1.0, (sample,)))
    return trials


def alternating(arms: Mapping[str, tuple[float, float]], n: int) -> list[Trial]:
    """`n` blocks in which the log ratio of each arm to current is its mean ± its spread in turn."""
    trials: list[Trial] = []
    for block in range(n):
        for arm, (mean, spread) in {"current": (0.0, 0.0), "current-again": (0.0, 0.0), **arms}.items():
            sample = Sample("tcp", "goodput", 1e9 * math.exp(mean + spread * (-1) ** block), "bit/s", "b", "a>b", 1.0)
            trials.append(Trial(0, "bridge", block, 1, 0, arm, "done", "", 0.0, 1.0, (sample,)))
    return trials


def of(judgement: Judgement, treatment: str = "t", topology: str = "bridge") -> Comparison:
    """The one comparison of a cell."""
    (found,) = [c for c in judgement.comparisons if (c.treatment, c.topology) == (treatment, topology)]
    return found


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (20, [(6, 0.005), (12, 0.02), (20, 0.035)]),
        (15, [(6, 0.005), (12, 0.02), (15, 0.035)]),
        (12, [(6, 0.005), (12, 0.035)]),
        (6, [(6, 0.05)]),
        (4, [(4, 0.05)]),
    ],
)
def test_looks_end_with_the_design(blocks: int, expected: list[tuple[int, float]]) -> None:
    """The last look is at the most blocks planned; a design without room for two looks has one, at 5 %."""
    found = [(at.blocks, at.alpha) for at in looks(sequential(blocks=blocks))]

    assert expected == found


def test_no_arm_stops_before_the_first_look() -> None:
    """However clear it is after five blocks."""
    stopped = look(sequential(), measured({"t": 2.0}, 5), 5)

    assert stopped == frozenset()


def test_a_clear_winner_stops_at_six_blocks_and_is_screening() -> None:
    """+30 % with 1 % noise has p far below .005."""
    trials = measured({"t": 1.3}, 6)

    stopped, found = look(sequential(), trials, 6), of(judge(sequential(), trials))

    assert stopped == frozenset({("bridge", "t")})
    assert (found.verdict, found.screening, found.candidate, found.blocks) == ("better", True, True, 6)
    assert "the estimate is screening" in found.reason


def test_an_arm_without_effect_stops_as_equivalent() -> None:
    """Little noise: inside ±5 % already at the first look."""
    trials = measured({"t": 1.0}, 6)

    assert look(sequential(), trials, 6) == frozenset({("bridge", "t")})
    assert (of(judge(sequential(), trials)).verdict, of(judge(sequential(), trials)).screening) == ("equivalent", True)


def test_an_arm_that_cannot_gain_the_margin_any_more_stops_for_futility() -> None:
    """About -7 % with much noise: not surely worse, surely no winner."""
    trials = measured({"t": 0.92}, 6, spread=0.05)

    found = of(judge(sequential(), trials))

    assert look(sequential(), trials, 6) == frozenset({("bridge", "t")})
    assert (found.verdict, found.screening, found.blocks_to_decide) == ("inconclusive", True, None)
    assert "a gain of 5 % is ruled out after 6 blocks" in found.reason


def test_an_undecided_arm_goes_on_and_waits_for_the_next_look() -> None:
    """+6 % with 5 % noise after eight blocks: numbers, but no verdict between looks."""
    trials = measured({"t": 1.06}, 8, spread=0.05)

    found = of(judge(sequential(), trials))

    assert look(sequential(), trials, 8) == frozenset()
    assert (found.verdict, found.p_holm, found.screening, found.blocks) == ("inconclusive", None, False, 8)
    assert found.reason.endswith("after 8 blocks, the next look is at 12")


def test_between_looks_even_a_large_effect_waits() -> None:
    """Looking after every block errs in 17-22 %: what was not stopped at six is judged at twelve."""
    early = measured({"t": 1.0}, 6, spread=0.08)
    late = measured({"t": 3.0}, 10, first=6)

    found = of(judge(sequential(), [*early, *late]))

    assert look(sequential(), early, 6) == frozenset()
    assert (found.verdict, found.candidate) == ("inconclusive", False)


def test_the_last_look_is_no_screening() -> None:
    """20 blocks were planned and 20 were measured."""
    found = of(judge(sequential(), alternating({"t": (0.06, 0.10)}, 20)))

    assert (found.blocks, found.screening) == (20, False)
    assert found.p_holm is not None


def test_a_look_only_sees_the_blocks_before_it() -> None:
    """A resumed run stops the same arms at the same look, whatever was measured since."""
    trials = measured({"t": 1.0, "u": 1.3}, 12, spread=0.08)

    assert look(sequential(("t", "u")), trials, 6) == look(sequential(("t", "u")), trials[: 6 * 4], 6)


def test_a_winner_is_judged_by_the_blocks_of_the_look_at_which_it_stopped() -> None:
    """Blocks measured after the stop do not move its estimate."""
    early, more = measured({"t": 1.3}, 6), measured({"t": 1.0}, 12, first=6)

    assert of(judge(sequential(), early)) == of(judge(sequential(), [*early, *more]))


def test_stopped_and_unmeasured_arms_keep_their_place_in_the_family_at_later_looks() -> None:
    """Four planned: one stops as equivalent, two never run; the survivor's p is still multiplied by four."""
    trials = alternating({"t": (0.06, 0.05), "even": (0.0, 0.01)}, 12)
    planned = sequential(("t", "even", "x", "y"))

    found = of(judge(planned, trials))

    assert ("bridge", "even") in look(planned, trials, 6)
    assert ("bridge", "t") not in look(planned, trials, 6)
    assert found.p is not None
    assert 4 * found.p == pytest.approx(found.p_holm)


def test_an_arm_rejected_early_frees_its_place_for_the_others() -> None:
    """Holm's step-down goes on across looks: the second arm is multiplied by one less."""
    trials = alternating({"t": (0.06, 0.06), "fast": (0.5, 0.06)}, 12)

    judged = judge(sequential(("t", "fast")), trials)

    assert (of(judged, "fast").blocks, of(judged).blocks) == (6, 12)
    assert of(judged).p == pytest.approx(of(judged).p_holm)


def test_a_topology_that_is_behind_counts_as_not_significant() -> None:
    """Two topologies, one of which has five blocks: the family is still two."""
    both = sequential(topologies=("bridge", "vlan"))
    trials = [*measured({"t": 1.3}, 6), *measured({"t": 1.3}, 5, topology="vlan")]

    judged = judge(both, trials)

    assert look(both, trials, 6) == frozenset({("bridge", "t")})
    assert of(judged, topology="bridge").p is not None
    assert 2 * (of(judged, topology="bridge").p or 0.0) == pytest.approx(of(judged, topology="bridge").p_holm)


def test_two_failures_stop_an_arm_at_the_look() -> None:
    """And it is worse even before one."""
    broken = [
        Trial(0, "bridge", t.block, 1, 0, "t", "failed", "refused", 0.0, 1.0) if t.arm == "t" and t.block < 2 else t
        for t in measured({"t": 1.3}, 6)
    ]

    assert look(sequential(), broken, 6) == frozenset({("bridge", "t")})
    assert of(judge(sequential(), [t for t in broken if t.block < 4])).verdict == "worse"


def test_a_fixed_design_stops_nothing() -> None:
    """One look, at the end."""
    fixed = Design(("bridge",), ("t",), "tcp.goodput", ("tcp.goodput",), (), 5.0, "throughput", 8, False, 10.0)

    assert look(fixed, measured({"t": 1.3}, 8), 8) == frozenset()
