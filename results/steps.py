"""Steps and modes of one series of run values in time order: where its level changed, and whether it has two.

jumpavg proposes the levels: the partition of the series that takes the fewest bits to write down, each level as a
normal distribution (FD.io CSIT's trend rule). Three runs, the margin and a t test then decide which of them are
named, as MDL alone sets a lone odd run apart in up to 30 % of histories without a change. It also takes every level
as unimodal, so a series that jumps between two modes is found first, by the dip test and the order of its modes.
benchmarks/trend.py has the figures of both rules.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from diptest import diptest
from jumpavg import classify

from results.statistics import Estimate, student

LEAST_RUNS = 3  # of a level; of two, a spread is a guess
MODES_FROM = 12  # values; of ten, up, down and up again passes for two modes in one history of six
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """The level changes with the value number `at`, counted from 0; `found` is the log ratio of after to before."""

    at: int
    found: Estimate
    p: float  # of `found`, times the places where a step could have been and the series that were looked at


@dataclass(frozen=True, slots=True)
class Levels:
    """A series in levels: where each step is, and which values jumpavg sets apart in groups of less than three."""

    steps: tuple[Step, ...]
    apart: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Modes:
    """Two modes between which a series jumps: the mean log and the number of values of each."""

    low: float
    high: float
    n_low: int
    n_high: int
    p: float  # of one mode


def levels(logs: Sequence[float], *, margin_log: float, family: int = 1) -> Levels:
    """The levels of a series of logs; a step is at least `margin_log`, and p < .05 over all places and `family` series.

    Neighbours that differ less are joined, the least different first, and what is joined is looked at again. Student's
    t with one spread: a fresh level of three runs has none of its own to speak of.
    """
    if not logs:
        return Levels((), ())
    top = max(logs)
    # To the largest value, so that the unit does not matter; jumpavg's resolution is 1/8191 of it.
    sizes = [len(group) for group in classify([math.exp(log - top) for log in logs])]
    edges = [0, *itertools.accumulate(sizes)]
    short = [(start, end) for start, end in itertools.pairwise(edges) if end - start < LEAST_RUNS]
    apart = tuple(at for start, end in short for at in range(start, end)) if len(sizes) > 1 else ()
    _join_short(logs, edges)
    while len(edges) > 2:
        steps = [_step(logs, edges[at - 1 : at + 2], family) for at in range(1, len(edges) - 1)]
        standing = [step.p if abs(step.found.mean) >= margin_log else math.inf for step in steps]
        if max(standing) < ALPHA:
            return Levels(tuple(steps), apart)
        del edges[1 + standing.index(max(standing))]
    return Levels((), apart)


def _join_short(logs: Sequence[float], edges: list[int]) -> None:
    """Each group of less than three joins the neighbour whose mean is nearer, the shortest first."""
    while len(edges) > 2:
        sizes = [end - start for start, end in itertools.pairwise(edges)]
        at = sizes.index(min(sizes))
        if sizes[at] >= LEAST_RUNS:
            return
        means = [math.fsum(logs[start:end]) / (end - start) for start, end in itertools.pairwise(edges)]
        near = min((n for n in (at - 1, at + 1) if 0 <= n < len(sizes)), key=lambda n: abs(means[n] - means[at]))
        del edges[max(at, near)]


def _step(logs: Sequence[float], edges: Sequence[int], family: int) -> Step:
    start, at, end = edges
    found = student(logs[start:at], logs[at:end])
    assert found is not None  # noqa: S101 - both sides have three values
    places = end - start - 2 * LEAST_RUNS + 1
    return Step(at, found, min(1.0, found.p * places * family))


def modes(logs: Sequence[float]) -> Modes | None:
    """The two modes of a series that goes back and forth between them; None for one mode, for a step, for too few.

    One mode is rejected by the dip test (Hartigan & Hartigan 1985, Ann. Statist. 13:70). A step has two clusters as
    well, but each in one piece: where the order has fewer runs of one mode than chance gives (p < .05), it is no mode.
    """
    if len(logs) < MODES_FROM:
        return None
    p = float(diptest(np.asarray(logs, dtype=np.float64))[1])
    if not p < ALPHA:
        return None
    border = _border(logs)
    high = [log > border for log in logs]
    if runs_p(high) < ALPHA:
        return None
    sides = [[log for log, above in zip(logs, high, strict=True) if above is side] for side in (False, True)]
    means = [math.fsum(side) / len(side) for side in sides]
    return Modes(means[0], means[1], len(sides[0]), len(sides[1]), p)


def _border(logs: Sequence[float]) -> float:
    """The number between two clusters that leaves the least sum of squares within them (two means, exact)."""
    ordered = np.sort(np.asarray(logs, dtype=np.float64))
    counts = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    # The sum of squares within is the whole less what lies between, so the largest between is the least within.
    between = sums[:-1] ** 2 / counts + (sums[-1] - sums[:-1]) ** 2 / (len(ordered) - counts)
    at = int(np.argmax(between))
    return float(ordered[at] + ordered[at + 1]) / 2


def runs_p(marks: Sequence[bool]) -> float:
    """How likely a random order of these marks has as few runs of equal ones: Wald & Wolfowitz 1940, exact.

    Ann. Math. Statist. 11:147; 1 where all marks are the same.
    """
    ones = sum(marks)
    others = len(marks) - ones
    if not ones or not others:
        return 1.0
    runs = 1 + sum(first != second for first, second in itertools.pairwise(marks))
    return sum(_orders(ones, others, n) for n in range(2, runs + 1)) / math.comb(len(marks), ones)


def _orders(ones: int, others: int, runs: int) -> int:
    """In how many orders the marks form exactly `runs` runs."""
    half, odd = divmod(runs, 2)
    if not odd:
        return 2 * math.comb(ones - 1, half - 1) * math.comb(others - 1, half - 1)
    pairs = ((ones, others), (others, ones))
    return sum(math.comb(more - 1, half) * math.comb(fewer - 1, half - 1) for more, fewer in pairs)
