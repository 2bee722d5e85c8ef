"""Slopes: how much one more of something costs, where treatments set the same setting to several numbers.

Per block a straight line is laid through the levels (current's own among them) by least squares; the slope of each
block is one effect, and their mean has a t interval, as every other effect of a run. Only times get a slope: a cost
per rule or per packet adds to a time, while a rate is its reciprocal and no straight line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.pairs import CompleteBlock, complete_blocks
from results.records import CURRENT_ARMS, Run, Trial
from results.statistics import estimate

_LEVELS = 3  # with two, a line says nothing that the comparison does not


@dataclass(frozen=True, slots=True)
class Slope:
    """`metric` grows by `per_unit` (its own unit) with each one more of `setting`."""

    topology: str
    metric: str
    setting: str
    levels: tuple[float, ...]  # current's first
    per_unit: float
    low: float  # 95 % t interval over blocks
    high: float
    blocks: int
    line_r2: float  # share of the spread of the level means that a straight line explains


def slopes(run: Run, trials: Sequence[Trial]) -> tuple[Slope, ...]:
    """Every slope that the run's settings allow, by topology, setting and metric."""
    blocks = complete_blocks(trials)
    units = {sample.name: sample.unit for trial in trials for sample in trial.samples}
    timed = [metric for metric in run.design.metrics if units.get(metric) == "s"]
    found = (
        _slope(blocks.get(topology, ()), topology, metric, setting, levels, base)
        for topology in run.design.topologies
        for (setting, base), levels in _ladders(run).items()
        for metric in timed
    )
    return tuple(each for each in found if each is not None)


def _ladders(run: Run) -> Mapping[tuple[str, float], Mapping[str, float]]:
    """(setting, current's number) -> {treatment: number}, of treatments that set nothing else."""
    found: dict[tuple[str, float], dict[str, float]] = {}
    for treatment, rows in run.settings.items():
        if len(rows) != 1:
            continue
        number, base = _number(rows[0].get("value", "")), _number(rows[0].get("was", ""))
        if number is not None and base is not None:
            found.setdefault((f"{rows[0].get('setting')} ({rows[0].get('target')})", base), {})[treatment] = number
    return {key: levels for key, levels in found.items() if len({key[1], *levels.values()}) >= _LEVELS}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _slope(
    blocks: Sequence[CompleteBlock],
    topology: str,
    metric: str,
    setting: str,
    levels: Mapping[str, float],
    base: float,
) -> Slope | None:
    xs = (base, *levels.values())
    rows = [ys for block in blocks if (ys := _values(block, metric, tuple(levels))) is not None]
    mean = estimate([_line(xs, ys) for ys in rows])
    if mean is None:
        return None
    means = [math.fsum(column) / len(column) for column in zip(*rows, strict=True)]
    return Slope(topology, metric, setting, xs, mean.mean, mean.low, mean.high, mean.n, _explained(xs, means))


def _values(block: CompleteBlock, metric: str, arms: Sequence[str]) -> tuple[float, ...] | None:
    """Current's mean, then each arm's value; None where one is missing."""
    trials = [block.trials.get(arm) for arm in (*CURRENT_ARMS, *arms)]
    values = [t.value(metric) if t is not None and t.status == "done" else None for t in trials]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    n = len(CURRENT_ARMS)
    return (math.fsum(known[:n]) / n, *known[n:])


def _line(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The least-squares slope."""
    x_mean, y_mean = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread = math.fsum((x - x_mean) ** 2 for x in xs)
    return math.fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread


def _explained(xs: Sequence[float], ys: Sequence[float]) -> float:
    """R² of the line through the level means; 1 where they do not differ at all."""
    slope, x_mean, y_mean = _line(xs, ys), math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    total = math.fsum((y - y_mean) ** 2 for y in ys)
    left = math.fsum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in zip(xs, ys, strict=True))
    return 1.0 if total == 0 else 1.0 - left / total
