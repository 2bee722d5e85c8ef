"""What the benchmark of `capacity` says of its rows: held only on rows enough, and nothing left out."""

import math
import random
import sys
from collections.abc import Callable

import pytest

from bench.capacity import dense, step
from bench.capacity.plan import parse
from bench.document import from_plain
from bench.together import WAIT
from benchmarks.capacity import cost, rates, shaped, steps, tables, verdicts
from benchmarks.capacity import dense as real
from benchmarks.capacity.inside import joining
from benchmarks.capacity.kept import Asked, Row
from benchmarks.capacity.points import Point, coverage, median_error, points, shown, word
from results.records import Sample
from results.scaling.arms import PROBE
from results.store import Ended


def _truths(count: int, *, low: float = 1.005) -> list[Row]:
    return [{"low": low, "low_s": 24.0, "low_hit": True, "low_frames": 9000.0, "bisection": 0.6, "bisection_s": 36.0,
             "bisection_hit": number % 2 == 0} for number in range(count)]  # fmt: skip


def test_a_part_holds_from_thirty_truths_on() -> None:
    """Three truths that came out right are told, and are not yet what was promised."""
    few, enough = shaped.judged("shaped", _truths(3)), shaped.judged("shaped", _truths(30))

    assert few[0] == "shaped: 3 of 3 truths within 2% (bisection 0): not judged, it takes 30"
    assert enough[0] == "shaped: 30 of 30 truths within 2% (bisection 0): held"
    assert shaped.judged("shaped", _truths(28) + _truths(2, low=0.9))[0].endswith(": MISSED")


def test_trial_seconds_are_compared_over_the_same_truths() -> None:
    """Both means, of how many, and whether ours is the lesser."""
    rows = _truths(30)

    assert shaped.judged("shaped", rows)[1] == (
        "  mean trial seconds of 30 searches each: 24.0, bisection 36.0: no more than bisection's: held"
    )
    assert shaped.judged("shaped", [{**each, "low_s": 40.0} for each in rows])[1].endswith(": MISSED")


def test_a_bad_trial_is_told_by_whom_it_hit() -> None:
    """A search that had ended before the bad trial has not withstood it."""
    lines = shaped.judged("shaped-bad", _truths(4))

    assert lines[2:] == [
        "  MLRsearch: the bad trial fell into 4 of 4 searches, 0 of those missed",
        "  bisection: the bad trial fell into 2 of 4 searches, 2 of those missed",
    ]


def test_loss_above_the_goal_has_no_rate() -> None:
    """Right is a search that found none where a trial can tell 1 % from half of it."""
    lines = shaped.judged("shaped-none", [{"low_frames": 40.0}, {"low_frames": 8000.0}])

    said = "searches found no PDR where a trial has 2000 frames or more"
    assert lines == [f"shaped-none: 1 of 2 {said}: not judged, it takes 30"]
    enough: list[Row] = [{"low_frames": 40.0 if number else 8000.0} for number in range(30)]
    assert shaped.judged("shaped-none", enough) == [f"shaped-none: 29 of 30 {said}: held"]
    assert shaped.judged("shaped-none", [*enough, {"low_frames": 8000.0}])[0].endswith(": MISSED")


def test_the_bad_trial_of_a_simulated_channel_hits_both_searches() -> None:
    """Dealt among the trials that both run: one after the end of a search would test nothing."""
    rows = rates._rows("one bad trial", 0.0, 0.0, 20, bad=True)

    assert {way: row["hit"] for way, row in rows.items()} == {"MLRsearch": 20, "bisection": 20}
    assert rows["MLRsearch"]["hit_missed"] == 0


def test_a_search_takes_as_many_trials_as_the_bad_one_is_dealt_among() -> None:
    """On a real path nobody knows before how many there will be."""
    dice = random.Random("six")
    channels = [rates.Channel(dice.uniform(0.05, 0.9) * 1e5, 0.0, 0.001, random.Random(n)) for n in range(20)]
    for number, channel in enumerate(channels):
        rates.WAYS["MLRsearch" if number % 2 else "bisection"](channel)

    assert min(channel.trials for channel in channels) >= shaped._DEALT


def _line(n: int, *, trials: int = 3) -> list[float]:
    return [n * 1e8 * (1 + 0.002 * each) for each in range(trials)]


def test_a_held_out_trial_without_a_number_is_not_covered() -> None:
    """Left out, a path that breaks down just where it is full would look well forecast."""
    model, found = points({n: _line(n) for n in range(1, 7)} | {8: _line(8, trials=1), 12: []})

    assert model == "linear"
    assert [(each.n, each.covered) for each in found] == [(8, True), (10, False), (12, False)]
    assert [math.isfinite(each.error) for each in found] == [True, False, False]
    assert str(found[1]).endswith("came none")


def test_a_refused_model_covers_none_of_what_came() -> None:
    """A row that is refused is a row: three points that nobody forecast."""
    model, found = points({n: _line(n, trials=2) for n in range(1, 7)} | {n: [1e9] for n in (8, 10, 12)})

    assert model.startswith("refused: 0 numbers of pairs are too few")
    assert [each.covered for each in found] == [False, False, False]
    assert shown([found]) == (
        "1 repeats, 3 held-out points: median error inf%, in the interval 0.0%, largest error nan%; 1 refused, "
        "0 points without a number"
    )


def test_a_forecast_holds_from_twenty_repeats_with_all_their_points_on() -> None:
    """By all points together, those without a number among them."""
    good = [Point(n, 100.0, 101.0, 95.0, 107.0) for n in (8, 10, 12)]
    lost = [Point(n, None, 101.0, 95.0, 107.0) for n in (8, 10, 12)]

    assert word([good] * 20) == "held"
    assert word([good] * 19) == "not judged, it takes 20 repeats with 3 points each"
    assert word([*[good] * 20, good[:2]]).startswith("not judged")
    assert word([*[good] * 18, *[lost] * 3]) == "MISSED"
    assert (round(median_error(good), 2), coverage(good + lost)) == (0.01, 0.5)


def test_both_ends_join_the_quota_and_no_shell_at_a_gate_does() -> None:
    """Of clients that wait for their release the program is held back, and not the clock that times it."""
    gated = ("sh", "-c", WAIT, "sh", "gate", "iperf3", "-c", "198.19.0.1")
    client, server, other = joining(gated), joining(("iperf3", "-s")), ("irtt", "server")

    assert client[:5] == gated[:5]
    assert client[5:7] == server[:2] == ("sh", "-c")
    assert client[-3:] == gated[-3:]
    assert "cgroup.procs" in server[2]
    assert joining(other) == other


def test_a_goal_that_is_missed_ends_the_benchmark_with_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that rows are too few for is none."""
    lines = {"fine": "x: held", "few": "y: not judged, it takes 30", "bad": "z: 3 of 9: MISSED"}

    def part(name: str) -> tuple[Callable[[Asked], list[Row]], int]:
        def made(_: Asked) -> list[Row]:
            verdicts.told(lines[name])
            return []

        return made, 1

    monkeypatch.setattr(tables, "PARTS", {name: part(name) for name in lines})
    monkeypatch.setattr(verdicts, "_MISSED", [])
    monkeypatch.setattr(sys, "argv", ["capacity", "fine", "few"])
    tables.main()
    monkeypatch.setattr(sys, "argv", ["capacity"])
    with pytest.raises(SystemExit) as raised:
        tables.main()

    assert raised.value.code == 1
    assert "z: 3 of 9: MISSED" in capsys.readouterr().err


def test_a_trial_that_is_measured_again_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the one in which the path was full."""
    made = iter(
        [Ended("failed", "a pair failed", 1.0), Ended("done", "", 1.0, (_GOODPUT,)), *[Ended("missing", "", 1.0)] * 3]
    )
    monkeypatch.setattr(step, "trial", lambda *_: next(made))
    plan = parse(from_plain({"name": "x", "pairs": [8], "duration_s": 2}, "a test"))
    lab = dense.Dense((), (), ())

    assert real.goodput(lab, 8, plan, 0) == (5.0, 1)
    assert real.goodput(lab, 8, plan, 1) == (0.0, 3)


_GOODPUT = Sample(PROBE, "goodput", 5.0, "bit/s", "all", "-", 1.0)


def _cost(pairs: int, ms_a_pair: float, **others: object) -> Row:
    return {"pairs": pairs, "simulated pairs": pairs, "status": "done", "up_s": 1.0, "up_most_s": 1.0, "down_s": 1.0,
            "skew_s": 0.02, "beside_s": 1.0, "memory_mb": 80, "left": 0, "ms_a_pair": ms_a_pair, **others}  # fmt: skip


def test_each_goal_of_a_steps_cost_has_a_verdict() -> None:
    """Seconds up, skew, memory, cost of a pair, and what is left behind, each by its own figure."""
    steps_of = ((8, 60.0, 0.5, 1.0), (32, 50.0, 1.0, 2.0), (128, 74.0, 8.7, 4.0))
    found = [_cost(n, ms, up_s=up_s, down_s=down_s) for n, ms, up_s, down_s in steps_of]

    assert cost.judged(found, found, {"whole": 32, "memory_mb": 180}) == [
        "32 pairs up: 1 of 6 s: held",
        "32 pairs begun within: 0.02 of 0.2 s: held",
        "the controller of 32 pairs: 180 of 400 MB: held",
        "ms a pair, real: most over least: 1.48 of 1.5: held (cost grows as pairs^1.08)",
        "ms a pair, simulated: most over least: 1.48 of 1.5: held (cost grows as pairs^1.08)",
        "seconds up grow as pairs to the power of: 1.03 of 1.2: held",
        "seconds down grow as pairs to the power of: 0.5 of 1.2: held",
        "namespaces left behind: 0: held",
        "steps that ended well: 6 of 6: held",
    ]


def test_steps_of_one_number_are_told_by_their_medians_and_the_worst_of_what_is_bounded() -> None:
    """One that waited a second is no cost of a pair; one that stood late, left something or has no skew is told."""
    found = [_cost(32, ms, up_s=ms / 10, skew_s=skew, left=left, memory_mb=80 + left)
             for ms, skew, left in ((20.0, 0.02, 0), (60.0, 0.05, 2), (22.0, 0.01, 0))]  # fmt: skip
    row = cost.together(found)

    assert (row["ms_a_pair"], row["up_s"], row["status"]) == (22.0, 2.2, "done")
    assert (row["up_most_s"], row["skew_s"], row["left"], row["memory_mb"]) == (6.0, 0.05, 2.0, 82.0)
    lost = cost.together([*found, _cost(32, 20.0, skew_s=None, status="missing")])
    assert (lost["status"], lost["skew_s"]) == ("done, missing", None)


def test_a_goal_that_was_not_reached_or_not_measured_is_missed() -> None:
    """A step whose pairs failed has no skew, and that is no pass."""
    found = [_cost(8, 20.0), _cost(32, 60.0, up_s=6.5, up_most_s=6.5, skew_s=None, status="missing", left=2)]
    lines = cost.judged(found, [_cost(100, 1.0), _cost(10_000, 1.2)], {"whole": 32, "memory_mb": 401})

    assert [line.split(": ", 1)[0] for line in lines if "MISSED" in line] == [
        "32 pairs up", "32 pairs begun within", "the controller of 32 pairs", "ms a pair, real",
        "seconds up grow as pairs to the power of", "namespaces left behind", "steps that ended well",
    ]  # fmt: skip


def test_a_simulated_step_has_documents_of_its_own_for_every_pair() -> None:
    """One string that all share would hide what ten thousand take; what reads and keeps them is a run's own."""
    plan = parse(from_plain({"name": "cost", "pairs": [8], "duration_s": 2, "warmup_s": 1}, "a test"))
    pairs = [steps._pair(number) for number in range(3)]
    row = steps.simulated(3, plan)

    assert len({steps._streamed(pair, k).outcome.stdout for k, pair in enumerate(pairs)}) == 3
    assert len({steps._echoed(pair, k).outcome.stdout for k, pair in enumerate(pairs)}) == 3
    assert len({pair.client.host.name for pair in pairs}) == 3
    assert (row["status"], row["simulated pairs"]) == ("done", 3)
