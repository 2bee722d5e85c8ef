"""The history of a plan: what is one history, what changed in it, and what is said beside it."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from results import trend_rows
from results.errors import WrongInput
from results.evidence import Measured
from results.trend import Series, Trend, comparable, trend
from results.trend_document import TREND_VERSION, document
from tests.unit.results.made import GOODPUT, RTT, design, failing, joined
from tests.unit.results.many import MACHINE, PLAN, side

STEADY = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.01, 0.99)
STEPPED = (*STEADY, *(0.8 * each for each in STEADY))


def _found(measured: Sequence[Measured], metric: str = "") -> Trend:
    history = comparable([each.run for each in measured])
    ids = {run.run_id for run in history.runs}
    return trend(history, [each for each in measured if each.run.run_id in ids], metric=metric)


def _of(found: Trend, arm: str = "current", metric: str = "") -> Series:
    (series,) = [s for s in found.series if (s.arm, s.metric) == (arm, metric or found.metric)]
    return series


def _made(factors: Sequence[float], new: Mapping[str, object] | None = None, since: int = 8) -> list[Measured]:
    """One history, whose runs are changed by `new` from number `since` on."""
    runs = side("r", factors)
    return [replace(m, run=replace(m.run, **(new or {}))) if n >= since else m for n, m in enumerate(runs)]  # type: ignore[arg-type]  # fields are named by the test


def test_a_lower_goodput_is_worse_since_a_run() -> None:
    """With the levels before and after, the interval, and the run that began it."""
    series = _of(_found(_made(STEPPED)))
    (change,) = series.changes

    assert (change.run_id, change.before, change.verdict) == ("r8", "r7", "worse")
    assert change.ci_low_pct < change.change_pct < change.ci_high_pct
    assert change.change_pct == pytest.approx(-20.0, abs=1.0)
    assert [len(level.runs) for level in series.levels] == [8, 8]
    assert [level.value for level in series.levels] == [pytest.approx(1e10, rel=0.01), pytest.approx(8e9, rel=0.01)]


def test_where_less_is_better_the_same_step_is_better() -> None:
    """A latency that fell by a fifth."""
    changes = {"design": design(primary=RTT), "plan": {**PLAN, "primary": RTT}}

    assert _of(_found(side("r", STEPPED, changes, metric=RTT))).changes[0].verdict == "better"


def test_what_differed_at_the_change_is_named() -> None:
    """Facts of the machine and nettune's version, of the last run before and the first one after."""
    new = {"machine": {**MACHINE, "kernel": "Linux 6.11"}, "revision": "0.2.0+abc"}
    (change,) = _of(_found(_made(STEPPED, new))).changes

    assert change.differs == ("kernel: Linux 6.8 → Linux 6.11", "nettune: 0.1.0 → 0.2.0")


def test_a_change_that_no_fact_explains_says_so() -> None:
    """The step is real; the reason lies where nettune does not look."""
    series = _of(_found(_made(STEPPED)))

    assert series.changes[0].differs == ()
    assert "Different since run r7: no recorded fact" in " ".join(trend_rows.sentences(series, deciding=True))


def test_a_new_kernel_without_a_change_is_no_change() -> None:
    """A history goes over kernels; that is what it is for."""
    found = _found(_made((*STEADY, *STEADY), {"machine": {**MACHINE, "kernel": "Linux 6.11"}}))

    assert [each.changes for each in found.series] == [(), ()]
    assert trend_rows.sentence(found) == "No change of tcp.goodput in 2 series."


def test_a_treatment_alone_can_change() -> None:
    """Current stays where it is."""
    runs = [*side("r", STEADY), *side("s", STEADY, {"started_at": 2e9}, t=0.7)]
    found = _found(runs)

    assert (_of(found).changes, [c.run_id for c in _of(found, "t").changes]) == ((), ["s0"])


def test_two_modes_are_named_and_no_change_is_called_there() -> None:
    """Also where luck put many slow runs together."""
    dice = random.Random(3)
    factors = [1.0 + dice.gauss(0.0, 0.01) - (0.4 if dice.random() < 0.5 else 0.0) for _ in range(24)]
    found = _found(side("r", factors))
    series = _of(found)

    assert series.modes is not None
    assert (series.changes, len(series.levels)) == ((), 1)
    assert series.modes.low == pytest.approx(6e9, rel=0.02)
    assert series.modes.runs_low + series.modes.runs_high == 24
    assert "two modes, 5.97" in " ".join(trend_rows.sentences(series, deciding=True))
    assert trend_rows.sentence(found) == "Two modes, so no verdict on changes: bridge current, bridge t."


def test_modes_within_a_level_make_its_step_no_change() -> None:
    """From run 12 on the path has two modes: what is called a step there is the luck of the first runs."""
    dice = random.Random(5)
    later = [0.5 * (1.0 + dice.gauss(0.0, 0.01)) * (0.6 if dice.random() < 0.5 else 1.0) for _ in range(20)]
    series = _of(_found(side("r", [*STEADY, *STEADY[:4], *later])))

    assert series.modes is not None
    assert series.changes == ()


LEFT_OUT = {
    "an interrupted run": ({"status": "interrupted"}, "is interrupted, not complete"),
    "another machine": ({"machine": {**MACHINE, "cpuinfo": "Xeon"}},
        "was made on another machine: cpuinfo is 'Xeon', and 'EPYC' in run r15"),
    "another plan": ({"plan": {**PLAN, "probes": [{"kind": "tcp", "duration_s": "9"}]}},
        "measured something else: probes[0].duration_s is 9, and 0.8 in run r15"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_no_part_of_the_history_is_left_out_by_name(changes: Mapping[str, object], reason: str) -> None:
    """Never pooled, whatever its values; the newest complete run says what the history is of."""
    odd = side("odd", (0.1,), {"started_at": 1e9 + 500.0, **changes})
    found = _found([*side("r", (*STEADY, *STEADY)), *odd])

    assert found.history.left_out == (("odd0", reason),)
    assert trend_rows.notes(found) == (f"left out: run odd0 {reason}",)
    assert "odd0" not in {each.run_id for each in _of(found).values}


def test_more_blocks_and_another_name_are_the_same_history() -> None:
    """As between runs: the number of blocks narrows a run's value, it does not move it."""
    found = _found(_made((*STEADY, *STEADY), {"plan": {**PLAN, "blocks": "20", "about": "x"}}))

    assert found.history.left_out == ()


def test_a_treatment_of_other_settings_is_no_value_of_this_one() -> None:
    """Nor is one that a run does not have; current of those runs counts all the same."""
    other = _made((*STEADY, *STEADY), {"plan": {**PLAN, "treatments": {"t": {"tso": "on"}}}}, since=14)
    gone = [
        replace(m, run=replace(m.run, design=design(()), plan={**PLAN, "treatments": {}})) if n < 2 else m
        for n, m in enumerate(other)
    ]
    found = _found(gone)

    assert len(_of(found).values) == 16
    assert len(_of(found, "t").values) == 2
    assert dict(_of(found, "t").without)["r0"] == "does not measure it"
    assert dict(_of(found, "t").without)["r5"] == "treatments.t.tso is off, and on in run r15"
    assert _of(found, "t").unknown == "2 runs with a value: a change needs 3 on each side"


def test_a_run_whose_arm_failed_has_no_value_and_is_named() -> None:
    """What survived in it is a selection."""
    runs = side("r", (*STEADY, *STEADY))
    runs[5] = replace(runs[5], trials=tuple(failing(runs[5].trials, "t", (0, 1))))
    series = _of(_found(runs), "t")

    assert series.without == (("r5", "failed in 2 of 4 blocks"),)
    assert "bridge t: run r5 failed in 2 of 4 blocks" in trend_rows.sentences(series, deciding=True)


def test_counters_that_are_zero_have_no_steps() -> None:
    """0 throughout is a steady history; 0 in some runs has no ratio, and is said."""
    metric = "tcp.retransmits"
    changes = {"design": design(primary=metric), "plan": {**PLAN, "primary": metric}}
    never, some = (
        _of(_found(side("r", factors, changes, metric=metric))) for factors in ([0.0] * 8, [0.0, *STEADY[1:]])
    )

    assert (never.unknown, never.changes) == ("0 in every run", ())
    assert trend_rows.row(never).verdict == "no change"
    assert (some.unknown, some.changes) == ("a 0 in 1 of 8 runs, so no ratio", ())
    assert trend_rows.row(some).verdict == "unknown"


def test_five_runs_say_nothing_yet() -> None:
    """And what is lacking is said."""
    found = _found(side("r", STEADY[:5]))

    assert _of(found).unknown == "5 runs with a value: a change needs 3 on each side"
    assert trend_rows.sentence(found).startswith("Nothing can be said of tcp.goodput yet")


def test_no_complete_run_is_no_history() -> None:
    """With the way to one."""
    with pytest.raises(WrongInput, match="none of 2 runs is complete") as raised:
        comparable([each.run for each in side("r", STEADY[:2], {"status": "interrupted"})])

    assert "nettune run --resume" in raised.value.hint


def test_every_metric_has_its_series_and_one_decides() -> None:
    """The primary, or the one that was asked for."""
    two = {"design": design(metrics=(GOODPUT, RTT))}
    runs = [
        replace(m, trials=tuple(joined(m.trials, n.trials)))
        for m, n in zip(side("r", STEPPED, two), side("r", STEADY * 2, metric=RTT), strict=True)
    ]

    assert [(s.arm, s.metric, bool(s.changes)) for s in _found(runs).series] == [
        ("current", GOODPUT, True), ("t", GOODPUT, True), ("current", RTT, False), ("t", RTT, False),
    ]  # fmt: skip
    assert _found(runs, RTT).series[0].metric == RTT
    with pytest.raises(WrongInput, match=r"--metric tcp\.godput: these runs have no such metric"):
        _found(runs, "tcp.godput")


def test_the_course_is_one_bar_per_run_with_a_line_at_the_change() -> None:
    """The least is the lowest bar, the largest the highest; a flat one stays in the middle."""
    step, flat = _of(_found(_made(STEPPED))), _of(_found(side("r", STEADY[:1])))
    bars = trend_rows.course(step)

    assert len(bars) == 17
    assert bars[8] == "│"
    assert "▁" in bars[9:]
    assert "█" in bars[:8]
    assert trend_rows.course(flat) == "▄"


def test_the_document_is_plain_and_holds_every_value() -> None:
    """For machines: runs, values, levels, changes, and what was left out."""
    found = document(_found([*_made(STEPPED), *side("cut", (1.0,), {"status": "interrupted"})]))
    whole = json.loads(json.dumps(found, allow_nan=False))
    first = whole["series"][0]

    assert whole["version"] == TREND_VERSION
    assert whole["left_out"] == [{"run_id": "cut0", "reason": "is interrupted, not complete"}]
    assert [each["run_id"] for each in first["values"]] == [f"r{n}" for n in range(16)]
    assert [(each["first_run_id"], each["last_run_id"]) for each in first["levels"]] == [("r0", "r7"), ("r8", "r15")]
    assert (first["changes"][0]["run_id"], first["changes"][0]["verdict"]) == ("r8", "worse")
    assert (first["deciding"], first["unit"], first["better"]) == (True, "bit/s", "higher")
