"""Runs against runs: who is worse, who must not be compared, and what too few runs say."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results.between import Between, Change, between
from results.between_document import document
from results.errors import WrongInput
from results.evidence import Measured
from results.records import Run
from results.statistics import a_side_needed, welch
from tests.unit.results.made import GOODPUT, RTT, design, failing, joined
from tests.unit.results.many import MACHINE, PLAN, a_run, side, trials_of

STEADY = (1.0, 1.01, 0.99, 1.005)
numbers = st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=12)


def _of(found: Between, arm: str = "current", metric: str = "") -> Change:
    (change,) = [c for c in found.changes if (c.arm, c.metric) == (arm, metric or found.metric)]
    return change


def _factors(*, gain: float = 1.0, runs: Sequence[float] = STEADY) -> list[float]:
    return [gain * each for each in runs]


@pytest.mark.parametrize(
    ("gain", "word"), [(0.8, "worse"), (1.25, "better"), (1.0, "equivalent"), (0.97, "equivalent")]
)
def test_a_change_beyond_margin_and_noise_is_named(gain: float, word: str) -> None:
    """Every arm carries it, as every arm of the candidate is that much slower or faster."""
    found = between(side("a", STEADY), side("b", _factors(gain=gain)))

    assert [(c.arm, c.verdict) for c in found.changes] == [("current", word), ("t", word)]
    assert _of(found).change_pct == pytest.approx(100 * (gain - 1), abs=1.5)
    assert [each.arm for each in found.worse] == (["current", "t"] if word == "worse" else [])


def test_a_change_within_the_margin_never_fails_the_gate() -> None:
    """4 % lower beyond any doubt: significant, and not worth naming."""
    exact = (1.0, 1.0001, 0.9999, 1.0002)
    change = _of(between(side("a", exact), side("b", _factors(gain=0.96, runs=exact))))

    assert change.p_holm is not None
    assert change.p_holm < 0.05
    assert change.verdict == "equivalent"


def test_a_change_within_the_noise_never_fails_the_gate() -> None:
    """20 % lower on average, between runs that differ by that much on their own: more runs are asked for."""
    found = between(side("a", (1.0, 0.7, 1.3)), side("b", (0.6, 1.0, 0.9)))

    assert (_of(found).verdict, found.worse) == ("inconclusive", ())
    assert f"about {_of(found).runs_to_decide} runs a side would decide" in _of(found).reason
    assert "2 inconclusive" in found.sentence


def test_where_less_is_better_more_is_worse() -> None:
    """A latency that grew by a quarter."""
    changes = {"design": design(primary=RTT), "plan": {**PLAN, "primary": RTT}}
    slower, faster = (
        between(side("a", STEADY, changes, metric=RTT), side("b", _factors(gain=gain), changes, metric=RTT))
        for gain in (1.25, 0.8)
    )

    assert (_of(slower).verdict, _of(faster).verdict) == ("worse", "better")


def test_a_treatment_alone_can_be_worse() -> None:
    """The path as it stands is as it was; under the setting it lost a third."""
    found = between(side("a", STEADY), side("b", STEADY, t=0.66))

    assert [(c.arm, c.verdict) for c in found.changes] == [("current", "equivalent"), ("t", "worse")]
    assert found.sentence == "Worse in tcp.goodput: bridge t."


@pytest.mark.parametrize(("first", "second"), [(2, 4), (4, 2), (1, 1)])
def test_fewer_than_three_runs_on_a_side_are_inconclusive(first: int, second: int) -> None:
    """However large the change looks: the spread between runs is not known."""
    found = between(side("a", STEADY[:first]), side("b", [0.1] * second))

    assert {each.verdict for each in found.changes} == {"inconclusive"}
    assert f"{first} against {second} runs with a value: a verdict needs 3 on each side" in _of(found).reason
    assert found.sentence.endswith("A verdict needs 3 runs on each side.")


def test_the_variance_within_a_run_is_never_borrowed() -> None:
    """Three runs that agree to 0.1 % decide, whatever their trials did; three that differ do not."""
    arms = {"current": 2e10, "current-again": 0.5e10, "t": 1e10}
    noisy = [
        Measured(a_run(f"n{n}"), tuple(trials_of({arm: f * value for arm, value in arms.items()}, seed="s")))
        for n, f in enumerate((1.0, 1.001, 0.999))
    ]
    found = between(noisy, side("b", (0.8, 0.801, 0.799)))

    assert _of(found).verdict == "worse"


def test_a_path_that_broke_is_worse_although_it_has_no_number() -> None:
    """It fails in two runs of the candidate and in none of the baseline; what survived is a selection."""
    broken = [replace(m, trials=tuple(failing(m.trials, "t", (0, 1)))) for m in side("b", (2.0, 2.0, 2.0))]
    found = between(side("a", STEADY), broken)

    assert (_of(found).verdict, _of(found, "t").verdict) == ("better", "worse")
    assert _of(found, "t").reason == "failed in 3 of 3 runs, and in none of the baseline"
    assert between(broken, side("a", STEADY)).worse[0].arm == "current"


def test_a_path_that_fails_on_both_sides_says_nothing() -> None:
    """A baseline without numbers is no baseline."""
    broken = [[replace(m, trials=tuple(failing(m.trials, "t", range(4)))) for m in side(name, STEADY)] for name in "ab"]
    change = _of(between(*broken), "t")

    assert (change.verdict, change.reason) == ("inconclusive", "not measured: no run has a value; 8 failed")


def test_counters_that_are_zero_have_no_ratio() -> None:
    """0 on both sides is equivalent; 0 on one side is told with both means."""
    metric = "tcp.retransmits"
    changes = {"design": design(primary=metric), "plan": {**PLAN, "primary": metric}}
    none, some = (side(name, factors, changes, metric=metric) for name, factors in (("a", [0.0] * 3), ("b", STEADY)))
    other = side("c", [0.0] * 3, changes, metric=metric)

    assert _of(between(none, other)).verdict == "equivalent"
    assert _of(between(none, some)).verdict == "inconclusive"
    assert _of(between(none, some)).reason.startswith("a 0 in 3 runs, so no ratio: mean 1.0")


def test_only_the_deciding_metric_can_fail_the_gate() -> None:
    """A secondary metric is judged and shown; `metric` makes it the one that decides."""
    two = {"design": design(metrics=(GOODPUT, RTT))}

    def both(name: str, slower: float) -> list[Measured]:
        fast = side(name, STEADY, two)
        late = side(name, _factors(gain=slower), metric=RTT)
        return [replace(m, trials=tuple(joined(m.trials, n.trials))) for m, n in zip(fast, late, strict=True)]

    by_plan = between(both("a", 1.0), both("b", 2.0))
    by_choice = between(both("a", 1.0), both("b", 2.0), metric=RTT)

    assert (_of(by_plan, metric=RTT).verdict, by_plan.worse) == ("worse", ())
    assert _of(by_plan, metric=RTT).p_holm is None
    assert "not adjusted" in _of(by_plan, metric=RTT).reason
    assert [each.metric for each in by_choice.worse] == [RTT, RTT]
    with pytest.raises(WrongInput, match=r"--metric latency\.rtt_p5: these runs have no such metric") as raised:
        between(both("a", 1.0), both("b", 2.0), metric="latency.rtt_p5")
    assert raised.value.hint == "did you mean 'latency.rtt_p50'?"


def test_the_margin_can_be_chosen() -> None:
    """3 % less is worse to whom 2 % matter."""
    exact = (1.0, 1.0005, 0.9995, 1.0)
    sides = side("a", exact), side("b", _factors(gain=0.97, runs=exact))

    assert (_of(between(*sides)).verdict, _of(between(*sides, margin_pct=2.0)).verdict) == ("equivalent", "worse")


def test_a_baseline_made_on_another_kernel_is_refused_by_name() -> None:
    """Both values, both runs, and how to compare all the same, which is then said."""
    old = side("a", STEADY, {"machine": {**MACHINE, "kernel": "Linux 6.1"}})
    with pytest.raises(WrongInput, match=r"kernel is 'Linux 6.1' in run a0 and 'Linux 6.8' in run b0") as raised:
        between(old, side("b", STEADY))
    found = between(old, side("b", STEADY), across=("kernel",))

    assert raised.value.hint == "to compare across it, say so: --across kernel"
    assert found.notes == ("across kernel: Linux 6.1 (4 runs) against Linux 6.8 (4 runs)",)
    assert _of(found).verdict == "equivalent"


def test_a_fact_that_differs_within_a_side_is_refused_too() -> None:
    """An odd one out would widen that side's spread and hide what is worse."""
    mixed = side("b", STEADY)
    mixed[2] = replace(mixed[2], run=a_run("odd", machine={**MACHINE, "iperf3": "3.12"}))
    with pytest.raises(WrongInput, match=r"iperf3 is '3.18' in run a0 and '3.12' in run odd"):
        between(side("a", STEADY), mixed)


@pytest.mark.parametrize(
    ("changes", "said", "option"),
    [
        ({"machine": {**MACHINE, "CPU accounting": "full"}}, "CPU accounting is", "--across 'CPU accounting'"),
        ({"machine": {"kernel": "Linux 6.8"}}, "cpuinfo is 'EPYC' in run a0 and 'not recorded'", "--across cpuinfo"),
        ({"revision": "0.2.0+abc"}, "nettune is '0.1.0' in run a0 and '0.2.0' in run b0", "--across nettune"),
        ({"notes": ()}, "congestion control is 'Congestion control bbr", "--across 'congestion control'"),
    ],
)
def test_every_fact_counts(changes: dict[str, object], said: str, option: str) -> None:
    """Also one that was not recorded, the version of nettune, and which congestion control the plan came to."""
    with pytest.raises(WrongInput, match=said) as raised:
        between(side("a", STEADY), side("b", STEADY, changes))

    assert option in raised.value.hint


def test_an_unknown_fact_gets_the_nearest_name() -> None:
    """A slip in --across is not a fact that happens to be equal."""
    with pytest.raises(WrongInput, match="--across 'kernal': no fact of these runs has that name") as raised:
        between(side("a", STEADY), side("b", STEADY), across=("kernal",))

    assert raised.value.hint == "did you mean 'kernel'?"


PLANS = {
    "a probe's option": ({"probes": [{"kind": "tcp", "duration_s": "2"}]},
        r"probes\[0\].duration_s is 0.8 in run a0 and 2 in"),
    "one probe more": ({"probes": [{"kind": "tcp", "duration_s": "0.8"}, {"kind": "latency"}]},
        r"probes\[1\] is nothing in run a0 and {kind: latency}"),
    "another topology": ({"topologies": ["direct"]}, r"topologies\[0\] is bridge in run a0 and direct in run b0"),
    "another primary": ({"primary": RTT}, "primary is tcp.goodput in run a0 and latency.rtt_p50"),
    "a key of a newer plan": ({"shape": {"rate_bps": "1e9"}}, r"shape is nothing in run a0 and {rate_bps: 1e9}"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), PLANS.values(), ids=PLANS)
def test_plans_that_measure_different_things_are_refused(changes: dict[str, object], said: str) -> None:
    """The first key that differs is named, with both values and runs."""
    with pytest.raises(WrongInput, match=f"the plans measure different things: {said}"):
        between(side("a", STEADY), side("b", STEADY, {"plan": {**PLAN, **changes}}))


def test_more_blocks_and_another_name_are_the_same_plan() -> None:
    """The number of blocks narrows a run's value; it does not move it."""
    other = {**PLAN, "name": "slow", "blocks": "20", "margin_pct": "3", "about": "x"}

    assert _of(between(side("a", STEADY), side("b", STEADY, {"plan": other}))).verdict == "equivalent"


def test_a_treatment_that_changed_is_left_out_and_named() -> None:
    """The arm of one name is not the same arm; current still is."""
    changed = side("b", STEADY, {"plan": {**PLAN, "treatments": {"t": {"tso": "on"}}}})
    gone = side("c", STEADY, {"design": design(()), "plan": {**PLAN, "treatments": {}}})

    assert between(side("a", STEADY), changed).notes == (
        "t is not compared: treatments.t.tso is off in one run and on in another",
    )
    assert between(side("a", STEADY), gone).notes == ("t is not compared: run c0 does not measure it",)
    assert [each.arm for each in between(side("a", STEADY), gone).changes] == ["current"]


def test_a_run_on_both_sides_is_refused() -> None:
    """Compared with itself it would pass for agreement."""
    with pytest.raises(WrongInput, match="run a2 is on both sides"):
        between(side("a", STEADY), [*side("b", STEADY), side("a", STEADY)[2]])


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_is_not_complete_is_refused(status: str) -> None:
    """By name, with the way to complete it."""
    with pytest.raises(WrongInput, match=f"run a0 is {status}, not complete") as raised:
        between(side("a", STEADY, {"status": status}), side("b", STEADY))

    assert "nettune run --resume a0" in raised.value.hint


def test_holm_takes_every_cell_of_the_deciding_metric() -> None:
    """Topologies × (current and treatments), also those that were not measured."""
    wide = {"design": design(("t",), topologies=("bridge", "vlan"))}
    found = between(side("a", STEADY, wide), side("b", _factors(gain=0.8), wide))
    change = next(c for c in found.changes if (c.topology, c.arm) == ("bridge", "current"))

    assert len(found.changes) == 4
    assert "after Holm over 4" in change.reason
    assert change.p is not None
    assert change.p_holm is not None
    assert change.p_holm >= 3 * change.p
    assert [c.reason for c in found.changes if c.topology == "vlan"] == ["not measured: no run has a value"] * 2


def test_the_document_holds_every_run_behind_every_cell() -> None:
    """For machines: values, intervals, runs and what is worse."""
    found = document(between(side("a", STEADY), side("b", _factors(gain=0.5))))

    assert found["worse"] == [{"topology": "bridge", "arm": "current"}, {"topology": "bridge", "arm": "t"}]
    assert isinstance(found["changes"], list)
    assert [each["run_id"] for each in found["changes"][0]["candidate"]] == ["b0", "b1", "b2", "b3"]
    assert found["changes"][0]["baseline_value"] == pytest.approx(1e10, rel=0.02)


@given(numbers, numbers)
def test_welch_agrees_with_scipy(first: list[float], second: list[float]) -> None:
    """Mean difference, p and interval, wherever there is a spread worth the name."""
    found = welch(first, second)
    assert found is not None
    if min(max(side) - min(side) for side in (first, second)) < 1e-2:
        return
    theirs = stats.ttest_ind(second, first, equal_var=False)
    low, high = theirs.confidence_interval(0.95)

    assert found.p == pytest.approx(theirs.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)


@given(numbers, numbers, st.floats(-3.0, 3.0))
def test_welch_knows_neither_side_nor_unit(first: list[float], second: list[float], shift: float) -> None:
    """Sides exchanged, the sign turns; both shifted (another unit), nothing changes."""
    found, turned = welch(first, second), welch(second, first)
    moved = welch([x + shift for x in first], [x + shift for x in second])
    assert found is not None
    assert turned is not None
    assert moved is not None

    assert (found.mean, found.low) == pytest.approx((-turned.mean, -turned.high), abs=1e-9)
    assert moved.mean == pytest.approx(found.mean, abs=1e-9)


def test_runs_without_any_spread_are_little_evidence() -> None:
    """A shaped path gives one number: three against three runs have a p of 0.1, five against five one of 0.008."""
    assert [round(w.p, 3) for n in (3, 5) if (w := welch([1.0] * n, [2.0] * n))] == [0.1, 0.008]
    assert welch([1.0], [2.0, 3.0]) is None
    with pytest.raises(ValueError, match="finite"):
        welch([1.0, math.inf], [1.0, 2.0])


def test_as_many_runs_as_promised_find_the_margin() -> None:
    """Simulated: with the promised number a side, an effect of the margin is found in 80 % of comparisons."""
    dice = random.Random(5)
    needed = a_side_needed(0.05, 0.06, 0.05)
    assert needed is not None
    hits = 0
    for _ in range(1500):
        first, second = ([dice.gauss(mean, 0.05) for _ in range(needed)] for mean in (0.0, 0.06))
        found = welch(first, second)
        hits += found is not None and found.p < 0.05

    assert 0.76 < hits / 1500 < 0.86


@pytest.mark.parametrize(("first", "second", "ratio"), [(3, 3, 1.0), (3, 6, 1.0), (5, 5, 3.0), (3, 8, 3.0)])
def test_welch_covers_what_it_says(first: int, second: int, ratio: float) -> None:
    """Simulated: the 95 % interval holds the truth in 92 to 98 %, also with unequal spreads and sizes."""
    dice = random.Random(f"{first}/{second}/{ratio}")
    covered = 0
    for _ in range(2000):
        found = welch([dice.gauss(0, 1) for _ in range(first)], [dice.gauss(0, ratio) for _ in range(second)])
        covered += found is not None and found.low <= 0.0 <= found.high

    assert 0.92 < covered / 2000 < 0.98


def test_equal_sides_are_rarely_called_worse() -> None:
    """Simulated: 300 comparisons of equal sides with 6 % between runs, three runs each, family of two: at most 5 %."""
    dice = random.Random(11)
    worse = 0
    for number in range(300):
        sides = [side(f"{name}{number}-", [math.exp(dice.gauss(0, 0.06)) for _ in range(3)]) for name in "ab"]
        worse += bool(between(*sides).worse)

    assert worse / 300 <= 0.05


def test_runs_are_values_of_their_own_kind() -> None:
    """The runs of both sides are in the outcome, in the order given."""
    found = between(side("a", STEADY), side("b", STEADY))
    ids = [[run.run_id for run in each] for each in (found.baseline, found.candidate)]

    assert all(isinstance(run, Run) for run in found.baseline)
    assert ids == [["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]]
