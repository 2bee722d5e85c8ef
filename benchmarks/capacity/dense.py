"""Forecasts between real namespaces: 8, 10 and 12 pairs from 1 … 6, under an uplink whose rate nobody is told.

Each repeat stands its own pairs under an uplink of another rate, paces them so that two to five fill it, measures three
trials each of 1 … 6 pairs, and one each of those that are held out.
"""

import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.capacity import dense, step
from bench.capacity.plan import DensityPlan, parse
from bench.document import from_plain
from bench.hosts.local import Local
from benchmarks.capacity import kept
from benchmarks.capacity.points import HELD_OUT, Point, points, shown, word
from benchmarks.capacity.verdicts import told as verdict
from results.scaling.arms import PROBE

_TRIALS = 3
AGAIN = "measured again"  # trials that gave no number, which may be those in which the path was full
EDGES = (5.0, 5.5, 6.0)  # pairs that fill the uplink, where six are the most that are measured


def live(asked: kept.Asked) -> list[kept.Row]:
    """A row per repeat: uplink, pace, model, and for each held-out N what was forecast and what came."""
    found = kept.rows("live", asked, lambda number: _repeat(random.Random(f"dense {number}")))
    judged("live", found)
    return found


def edge(asked: kept.Asked) -> list[kept.Row]:
    """The same where 5, 5.5 and 6 pairs fill the uplink, in turn: at and beyond what is measured. No goal is theirs."""
    found = kept.rows(
        "edge", asked, lambda number: _repeat(random.Random(f"edge {number}"), EDGES[number % len(EDGES)])
    )
    for limit in EDGES:
        if rows := [row for row in found if row["filled by"] == limit]:
            told(f"edge, filled by {limit:g} pairs", rows)
    return found


def judged(part: str, rows: Sequence[kept.Row]) -> None:
    """Print each row's forecasts, and whether all of them together hold what was promised."""
    verdict(f"{part}: {word(told(part, rows))}")


def told(part: str, rows: Sequence[kept.Row]) -> list[list[Point]]:
    """Print each row's forecasts and what all show together; the rows' points."""
    found = [_points(row) for row in rows]
    for number, (row, each) in enumerate(zip(rows, found, strict=True)):
        planted = ", ".join(
            f"{key} {row[key]}"
            for key in ("uplink", "quota", "pace", "filled by", "without a number", AGAIN)
            if key in row
        )
        print(f"  {number + 1}: {planted}: {row['model']}; {', '.join(map(str, each))}", flush=True)
    again = sum(int(str(row.get(AGAIN, 0))) for row in rows)
    print(f"{part}: {shown(found)}; {again} trials without a number were measured again")
    return found


def _points(row: kept.Row) -> list[Point]:
    found = row["told"]
    assert isinstance(found, list)
    return [Point(**each) for each in found]


def _repeat(dice: random.Random, filled_by: float = 0.0) -> kept.Row:
    """`filled_by`: so many pairs fill the uplink; 0: two to five, dealt."""
    uplink = dice.randrange(100, 301, 5)
    filled_by = filled_by or dice.uniform(2.0, 5.0)
    pace = round(uplink * 0.956 / filled_by, 1)
    plan = parse(from_plain({
        "name": "live", "layout": "across", "uplink_mbit": uplink, "rate_mbit": pace, "duration_s": 1.4,
        "warmup_s": 0.6, "latency_interval_s": 0.002, "pairs": [1, 2, 3, 4, 5, 6], "repeats": _TRIALS,
    }, "a benchmark"))  # fmt: skip
    order = [*[n for n in plan.pairs for _ in range(_TRIALS)], *HELD_OUT]
    dice.shuffle(order)
    seen: dict[int, list[float]] = {}
    lost = list[int]()
    again = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        dense.standing(max(HELD_OUT), layout=plan.layout, uplink_mbit=uplink, leases_folder=Path(folder)) as lab,
    ):
        for number, n in enumerate(order):
            value, failed = goodput(lab, n, plan, number)
            again += failed
            if value:
                seen.setdefault(n, []).append(value)
            else:
                lost.append(n)
    filled = round(filled_by, 2)
    return {"uplink": uplink, "pace": pace, "filled by": filled, **told_of(seen), "without a number": lost,
            AGAIN: again}  # fmt: skip


def told_of(seen: Mapping[int, Sequence[float]]) -> kept.Row:
    """The model of what was not held out, and of each that was what it forecasts and what came, as a row keeps it."""
    model, found = points(seen)
    return {"model": model, "told": [asdict(each) for each in found]}


def goodput(lab: dense.Dense, n: int, plan: DensityPlan, number: int) -> tuple[float, int]:
    """Of trial `number`, and how many before gave no number: it is measured again. 0 where three in a row gave none."""
    for again in range(3):
        base = 20000 + 40 * number + 10 * again
        made = step.trial(lab, n, plan, step.Ports(base, base + 10000, base + 5, base + 20000), Local())
        if made.status == "done":
            return next(each.value for each in made.samples if each.name == f"{PROBE}.goodput"), again
        print(f"    {n} pairs: {made.cause}", file=sys.stderr)
    return 0.0, 3
