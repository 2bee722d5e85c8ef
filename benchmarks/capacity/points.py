"""Held-out points of forecasts, and what all of them together show: none is left out for having no number."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.scaling.curve import Curve, NoModel, Step

HELD_OUT = (8, 10, 12)
GOAL_ERROR, GOAL_COVER = 0.10, 0.90
LEAST_REPEATS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """What was forecast of `n` pairs and what a trial of them gave; None where a model was refused, or no number came.

    Either is a point that is not covered, off by more than any number.
    """

    n: int
    seen: float | None
    forecast: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float:
        """Relative to what was seen; infinite where there is none."""
        return abs(self.forecast / self.seen - 1) if self.forecast and self.seen else math.inf

    @property
    def covered(self) -> bool:
        """Whether the interval holds the trial."""
        if self.seen is None or self.low is None or self.high is None:
            return False
        return self.low <= self.seen <= self.high

    def __str__(self) -> str:
        told = [f"{value / 1e6:.1f}" if value else "none" for value in (self.forecast, self.low, self.high, self.seen)]
        return "{}: {} [{}, {}] came {}".format(self.n, *told)


def points(seen: Mapping[int, Sequence[float]]) -> tuple[str, tuple[Point, ...]]:
    """By the model of what was not held out, its name or why there is none, a point of each N that was.

    `seen` has the values of each N that came; a held-out one without any is a point all the same.
    """
    came = {n: next(iter(seen.get(n, ())), None) for n in HELD_OUT}
    try:
        curve = Curve([Step(n, tuple(values)) for n, values in seen.items() if n not in HELD_OUT and values])
    except NoModel as error:
        return f"refused: {error}", tuple(Point(n, value) for n, value in came.items())
    told = {n: curve.forecast(n) for n in HELD_OUT}
    return curve.chosen.name, tuple(Point(n, came[n], each.value, each.low, each.high) for n, each in told.items())


def median_error(found: Sequence[Point]) -> float:
    """Of all points together."""
    return statistics.median(each.error for each in found)


def coverage(found: Sequence[Point]) -> float:
    """The share of all points whose interval holds them."""
    return sum(each.covered for each in found) / len(found)


def word(repeats: Sequence[Sequence[Point]]) -> str:
    """Whether repeats, each with its points, hold what was promised; of fewer than 20 with all points, no verdict."""
    if len(repeats) < LEAST_REPEATS or any(len(each) < len(HELD_OUT) for each in repeats):
        return f"not judged, it takes {LEAST_REPEATS} repeats with {len(HELD_OUT)} points each"
    every = [point for each in repeats for point in each]
    return "held" if median_error(every) <= GOAL_ERROR and coverage(every) >= GOAL_COVER else "MISSED"


def shown(repeats: Sequence[Sequence[Point]]) -> str:
    """The figures of all points together, in words."""
    every = [point for each in repeats for point in each]
    if not every:
        return "no repeats"
    refused = sum(all(point.forecast is None for point in each) for each in repeats)
    lost = sum(point.seen is None for point in every)
    largest = max((point.error for point in every if math.isfinite(point.error)), default=math.nan)
    return (f"{len(repeats)} repeats, {len(every)} held-out points: median error {median_error(every):.1%}, in the "
            f"interval {coverage(every):.1%}, largest error {largest:.1%}; {refused} refused, {lost} points without "
            "a number")  # fmt: skip
