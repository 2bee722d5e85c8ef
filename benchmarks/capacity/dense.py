"""Forecasts between real namespaces: 8, 10 and 12 pairs from 1 … 6, under an uplink whose rate nobody is told.

Each repeat stands its own pairs under an uplink of another rate, paces them so that two to five fill it, measures three
trials each of 1 … 6 pairs, and one each of those that are held out.
"""

import random
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.capacity import dense, step
from bench.capacity.plan import DensityPlan, parse
from bench.document import from_plain
from bench.hosts.local import Local
from benchmarks.capacity import kept
from results.scaling.arms import PROBE
from results.scaling.curve import Curve, NoModel, Step

_HELD_OUT, _TRIALS = (8, 10, 12), 3
GOAL_ERROR, GOAL_COVER = 0.10, 0.90


def live(asked: kept.Asked) -> list[kept.Row]:
    """A row per repeat: uplink, pace, model, and for each held-out N what was forecast and what came."""
    found = kept.rows("live", asked, lambda number: _repeat(random.Random(f"dense {number}")))
    judged("live", found)
    return found


def judged(part: str, rows: list[kept.Row]) -> None:
    """Print each row's forecasts, and whether all of them together hold what was promised."""
    errors, held = list[float](), list[bool]()
    for number, row in enumerate(rows):
        told = row["told"]
        assert isinstance(told, list)
        errors += [abs(each["forecast"] / each["seen"] - 1) for each in told]
        held += [each["low"] <= each["seen"] <= each["high"] for each in told]
        words = ", ".join(f"{e['n']}: {e['forecast'] / 1e6:.1f} [{e['low'] / 1e6:.1f}, {e['high'] / 1e6:.1f}] "
                          f"came {e['seen'] / 1e6:.1f}" for e in told)  # fmt: skip
        planted = ", ".join(
            f"{key} {row[key]}" for key in ("uplink", "quota", "pace", "without a number") if key in row
        )
        print(f"  {number + 1}: {planted}: {row['model']}; {words}", flush=True)
    if errors:
        error, share = statistics.median(errors), sum(held) / len(held)
        word = "held" if error <= GOAL_ERROR and share >= GOAL_COVER else "MISSED"
        print(f"{part}: {len(rows)} repeats, {len(errors)} held-out trials: median error {error:.1%}, in the interval "
              f"{share:.1%}, largest error {max(errors):.1%}: {word}")  # fmt: skip


def _repeat(dice: random.Random) -> dict[str, object]:
    uplink = dice.randrange(100, 301, 5)
    pace = round(uplink * 0.956 / dice.uniform(2.0, 5.0), 1)
    plan = parse(from_plain({
        "name": "live", "layout": "across", "uplink_mbit": uplink, "rate_mbit": pace, "duration_s": 1.4,
        "warmup_s": 0.6, "latency_interval_s": 0.002, "pairs": [1, 2, 3, 4, 5, 6], "repeats": _TRIALS,
    }, "a benchmark"))  # fmt: skip
    order = [*[n for n in plan.pairs for _ in range(_TRIALS)], *_HELD_OUT]
    dice.shuffle(order)
    seen: dict[int, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        dense.standing(max(_HELD_OUT), layout=plan.layout, uplink_mbit=uplink, leases_folder=Path(folder)) as lab,
    ):
        for number, n in enumerate(order):
            value = goodput(lab, n, plan, number)
            if not value:
                raise SystemExit("three trials in a row gave no number")
            seen.setdefault(n, []).append(value)
    return {"uplink": uplink, "pace": pace, **told_of(seen, _HELD_OUT)}


def told_of(seen: Mapping[int, Sequence[float]], held_out: Sequence[int]) -> kept.Row:
    """The model of what was not held out, and of the rest what it forecasts."""
    try:
        curve = Curve([Step(n, tuple(values)) for n, values in seen.items() if n not in held_out])
    except NoModel as error:
        return {"model": f"refused: {error}", "told": []}
    told = []
    for n in held_out:
        if not seen.get(n):
            continue
        found = curve.forecast(n)
        told.append({"n": n, "forecast": found.value, "low": found.low, "high": found.high, "seen": seen[n][0]})
    return {"model": curve.chosen.name, "told": told}


def goodput(lab: dense.Dense, n: int, plan: DensityPlan, number: int) -> float:
    """Of trial `number`; one that gave no number is measured again. 0 where three in a row gave none."""
    for again in range(3):
        base = 20000 + 40 * number + 10 * again
        made = step.trial(lab, n, plan, step.Ports(base, base + 10000, base + 5, base + 20000), Local())
        if made.status == "done":
            return next(each.value for each in made.samples if each.name == f"{PROBE}.goodput")
        print(f"    {n} pairs: {made.cause}", file=sys.stderr)
    return 0.0
