"""What a density step costs beside its traffic: stood up, started, measured, taken away; and read, to 10,000 pairs.

Each step is a process of its own (`steps`), and a whole `nettune capacity` of up to 32 pairs, with its model and its
page, is one more. Real steps are made several times: seconds are medians, and what has a bound is the worst of them.
"""

import json
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local
from benchmarks.capacity.guest import ROOT
from benchmarks.capacity.kept import Asked, Row
from benchmarks.capacity.verdicts import judgement, told

_REAL, _SIMULATED = (8, 16, 32, 64, 128), (100, 1_000, 10_000)
_GOAL_PAIRS = 32  # whose endpoints are 64
STAND_GOAL_S, SKEW_GOAL_S, MEMORY_GOAL_MB = 6.0, 0.2, 400.0
ALIKE = 1.5  # most over least of what a pair costs
LINEAR = 1.2  # the power of pairs by which seconds up and down grow at most
_DEADLINE_S = 600.0
_PLAN = """\
name: cost
layout: across
uplink_mbit: 400
pairs: [1, 2, 4, 8, 16, 32]
rate_mbit: 20
duration_s: 2
warmup_s: 0.5
latency_interval_s: 0.003
repeats: 3
"""
# A small process between: what a process had before it became another program is counted for it, too (getrusage(2)).
_MOST = (
    "import os, resource, sys\n"
    "code = os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:])\n"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    "sys.exit(code)\n"
)


def cost(asked: Asked) -> list[Row]:
    """A row per number of pairs, real ones of so many steps, and one of the whole command."""
    print(f"cost: seconds beside the traffic, real pairs, medians of {asked.replays} steps")
    real = [_shown(together([_step("real", n) for _ in range(asked.replays)])) for n in _REAL]
    print("cost: reading and keeping what simulated probes printed", flush=True)
    simulated = [_shown(_step("simulated", n)) for n in _SIMULATED]
    whole = _whole()
    print(f"cost: a whole `nettune capacity` of {whole['whole']} pairs: {whole['memory_mb']} MB at most", flush=True)
    for line in judged(real, simulated, whole):
        told("  " + line)
    return [*real, *simulated, whole]


def _step(kind: str, n: int) -> Row:
    argv = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", "benchmarks.capacity.steps", kind, str(n))
    done = Local().run(Command(argv, deadline_s=_DEADLINE_S)).require()
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def _shown(row: Row) -> Row:
    print("  " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def together(steps: Sequence[Row]) -> Row:
    """Steps of one number of pairs: medians of what they took, and the worst of what has a bound."""
    middle = {key: statistics.median(_number(row, key) for row in steps)
              for key in ("up_s", "beside_s", "ms_a_pair", "down_s")}  # fmt: skip
    worst = {key: max((_number(row, key) for row in steps), key=_worse) for key in ("skew_s", "left", "memory_mb")}
    return {
        "pairs": steps[0]["pairs"],
        "status": ", ".join(dict.fromkeys(str(row["status"]) for row in steps)),
        **{key: round(value, 3) for key, value in middle.items()},
        "up_most_s": max(_number(row, "up_s") for row in steps),
        **{key: None if math.isnan(value) else value for key, value in worst.items()},
    }


def _worse(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _whole() -> Row:
    """The most memory that the command or one of its tools had: three trials each of 1 … 32 pairs, model and page."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "plan.yaml").write_text(_PLAN, encoding="utf-8")
        own = (f"PYTHONPATH={ROOT}", f"NETTUNE_STATE={folder / 'state'}", f"NETTUNE_STORE={folder / 'kept.db'}")
        verb = (sys.executable, "-P", "-m", "nettune", "capacity", str(folder / "plan.yaml"), "--out", str(folder))
        argv = ("env", *own, sys.executable, "-c", _MOST, *verb, "--slo", "goodput>=5Mbit per vm")
        said = Local().run(Command(argv, deadline_s=_DEADLINE_S)).require().stdout
    return {"whole": _GOAL_PAIRS, "memory_mb": round(int(said.splitlines()[-1]) / 1024)}


def judged(real: Sequence[Row], simulated: Sequence[Row], whole: Row) -> list[str]:
    """Each goal with what was measured, in words. A step that did not end, or left something, is told as well."""
    (goal,) = (row for row in real if row["pairs"] == _GOAL_PAIRS)
    done = [row["status"] for row in (*real, *simulated)]
    left = sum(_number(row, "left") for row in real)
    lines = [
        _goal(f"{_GOAL_PAIRS} pairs up", _number(goal, "up_most_s"), STAND_GOAL_S, "s"),
        _goal(f"{_GOAL_PAIRS} pairs begun within", _number(goal, "skew_s"), SKEW_GOAL_S, "s"),
        _goal(f"the controller of {_GOAL_PAIRS} pairs", _number(whole, "memory_mb"), MEMORY_GOAL_MB, "MB"),
    ]
    for word, rows, key in (("real", real, "pairs"), ("simulated", simulated, "simulated pairs")):
        each = [_number(row, "ms_a_pair") for row in rows]
        lines.append(
            _goal(f"ms a pair, {word}: most over least", max(each) / min(each), ALIKE, "")
            + f" (cost grows as pairs^{_slope(rows, key, _beside(rows, key)):.2f})"
        )
    for key, word in (("up_s", "up"), ("down_s", "down")):  # a part of them is the same for any number
        grows = _slope(real, "pairs", [_number(row, key) for row in real])
        lines.append(_goal(f"seconds {word} grow as pairs to the power of", grows, LINEAR, ""))
    lines.append(f"namespaces left behind: {left:.0f}: {judgement(not left)}")
    return [*lines, f"steps that ended well: {done.count('done')} of {len(done)}: {judgement(set(done) == {'done'})}"]


def _goal(what: str, value: float, most: float, unit: str) -> str:
    return f"{what}: {value:.3g} of {most:g} {unit}".rstrip() + f": {judgement(value <= most)}"


def _number(row: Row, key: str) -> float:
    """NaN where there is none, which is within no goal."""
    return math.nan if row[key] is None else float(str(row[key]))


def _beside(rows: Sequence[Row], key: str) -> list[float]:
    """What each step costs beside its traffic, in ms."""
    return [_number(row, "ms_a_pair") * _number(row, key) for row in rows]


def _slope(rows: Sequence[Row], key: str, each: Sequence[float]) -> float:
    """Of the log of what a step costs over that of its pairs, least squares; 1 is linear."""
    places = [math.log(_number(row, key)) for row in rows]
    costs = [math.log(max(value, 1e-3)) for value in each]
    middle, mean = math.fsum(places) / len(rows), math.fsum(costs) / len(rows)
    up = math.fsum((x - middle) * (y - mean) for x, y in zip(places, costs, strict=True))
    return up / math.fsum((x - middle) ** 2 for x in places)
