"""Forecasts of 8, 10 and 12 pairs from 1 … 6, on curves and noise that are made."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping

from benchmarks.capacity.kept import Asked, Row
from benchmarks.capacity.points import HELD_OUT, Point, coverage, median_error, points, shown, word
from benchmarks.capacity.verdicts import told

_REPEATS = 3
_SPREADS = (0.01, 0.03, 0.08)  # CV of single trials: a shaped path, a quiet host, a noisy one


def _usl(n: float, sigma: float, kappa: float) -> float:
    return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


# The last: contention below a shaper, which no model of five has as it is written.
CURVES: Mapping[str, Callable[[float], float]] = {
    "line": float,
    "ceiling at 2.5 pairs": lambda n: min(n, 2.5),
    "ceiling at 3.3 pairs": lambda n: min(n, 3.3),
    "ceiling at 4 pairs": lambda n: min(n, 4.0),
    "Amdahl, σ .05": lambda n: _usl(n, 0.05, 0.0),
    "Amdahl, σ .3": lambda n: _usl(n, 0.3, 0.0),
    "USL, σ .1, κ .01": lambda n: _usl(n, 0.1, 0.01),
    "USL, σ .02, κ .02": lambda n: _usl(n, 0.02, 0.02),
    "Amdahl under a ceiling": lambda n: min(_usl(n, 0.05, 0.0), 3.2),
    "a soft ceiling": lambda n: (n**-8 + 3.3**-8) ** (-1 / 8),
    "paced, ceiling at 2.5 pairs": lambda n: min(n, 2.5),
    "paced, ceiling at 4 pairs": lambda n: min(n, 4.0),
}
_STEADY = 0.002  # the spread below the ceiling where pairs are paced: they get what they ask for


# A limit at or beyond the largest N is seen by few of the trials, or none: no goal is theirs.
EDGES: Mapping[str, Callable[[float], float]] = {
    "ceiling at 5 pairs": lambda n: min(n, 5.0),
    "ceiling at 5.5 pairs": lambda n: min(n, 5.5),
    "ceiling at 6 pairs": lambda n: min(n, 6.0),
}


def forecast(asked: Asked) -> list[Row]:
    """A row per curve and noise: n, refused, median error, its 90th percentile, coverage, width, models chosen."""
    rows: list[Row] = []
    print(f"forecast: {_REPEATS} trials each of 1 … 6 pairs; {HELD_OUT} held out; {asked.replays} curves a row; "
          "one that is refused is off by more than any number, and not held")  # fmt: skip
    print(f"  {'curve':<26}{'CV':>5}{'refused':>9}{'median':>8}{'p90':>7}{'held':>7}{'width':>7}  chosen")
    verdicts = []
    for spread in _SPREADS:
        every = list[tuple[Point, ...]]()
        for name, truth in CURVES.items():
            row, found = _row(name, truth, spread, asked.replays)
            rows.append(row)
            every += found
        verdicts.append(f"  CV {spread:.0%}: {shown(every)}: {word(every)}")
    for line in verdicts:
        told(line)
    least, largest = min(_number(row, "held") for row in rows), max(_number(row, "median") for row in rows)
    print(f"  least coverage of a row {least:.1%}, largest median error {largest:.1%}")
    print("  and apart, limits at the edge of what is measured and beyond it:")
    return rows + [_row(name, truth, spread, asked.replays)[0] for spread in _SPREADS for name, truth in EDGES.items()]


def _number(row: Row, key: str) -> float:
    return float(str(row[key]))


def _row(
    name: str, truth: Callable[[float], float], spread: float, replays: int
) -> tuple[Row, list[tuple[Point, ...]]]:
    """What is printed of so many curves, and the points of each."""
    dice = random.Random(f"{name} {spread}")

    def trial(n: int) -> float:
        steady = name.startswith("paced") and truth(float(n)) == n
        return 1e9 * truth(float(n)) * math.exp(dice.gauss(0.0, _STEADY if steady else spread))

    chosen: Counter[str] = Counter()
    each_of = list[tuple[Point, ...]]()
    for _ in range(replays):
        seen = {n: [trial(n) for _ in range(_REPEATS)] for n in range(1, 7)} | {n: [trial(n)] for n in HELD_OUT}
        model, came = points(seen)
        chosen["refused" if model.startswith("refused") else model] += 1
        each_of.append(came)
    found = [point for each in each_of for point in each]
    ordered = sorted(each.error for each in found)
    widths = [each.high / each.low for each in found if each.high and each.low]
    row: Row = {
        "curve": name, "spread": spread, "n": len(found), "refused": chosen.pop("refused", 0),
        "median": median_error(found), "p90": ordered[int(0.9 * len(ordered))], "held": coverage(found),
        "width": statistics.median(widths) if widths else math.nan,
        "chosen": ", ".join(f"{name} {count}" for name, count in chosen.most_common()),
    }  # fmt: skip
    print(f"  {name:<26}{spread:>5.0%}{row['refused']:>9}{row['median']:>8.1%}{row['p90']:>7.1%}"
          f"{row['held']:>7.1%}{row['width']:>6.2f}×  {row['chosen']}", flush=True)  # fmt: skip
    return row, each_of
