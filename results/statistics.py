"""Formulas of the judgement: pure, without knowledge of trials, arms or metrics.

An effect is a paired log ratio of one block (or, for shares that may be 0, a paired difference); effects of
different blocks are taken as independent. Every formula names its source; docs/adr/0002-judgement.md says why
these were chosen, and benchmarks/false_winners.py and benchmarks/power.py show how they hold on recorded trials.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from results.student import t_probability, t_quantile_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POWER = 0.8  # the chance with which "visible" and "would decide" promise to find an effect
MOST_BLOCKS = 1000  # beyond this, "n blocks would decide" helps nobody
BOOTSTRAP_FROM = 10  # blocks; below, the studentised resamples are too few to say anything
RESAMPLES = 1999
BOOTSTRAP_SEED = 20_151_005  # fixed, so that one run always gives one report
SAME = 1e-12  # spread below this, relative to the values, is rounding: the effects are all one number
LARGEST_LOG = 50.0  # e^50: an interval end beyond it is printed as that, and stays a finite number


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of n effects with its t intervals, in the unit of the effects; `p` tests a mean of 0."""

    n: int
    mean: float
    sd: float
    low: float  # 95 %
    high: float
    low90: float
    high90: float
    p: float


def estimate(effects: Sequence[float]) -> Estimate | None:
    """Mean, 95 % and 90 % t intervals and two-sided p; None for fewer than two effects.

    One-sample t on paired log ratios: Student 1908, Biometrika 6:1; coverage 0.95-0.97 in our simulations for
    n = 5-20. Where all effects are one number (a counter, a shaped path) the spread cannot be estimated: the
    intervals shrink to that number and p is the sign-flip test's 2^(1-n), the least that n blocks can show.
    Raises ValueError for an effect that is not finite.
    """
    n = len(effects)
    if not all(map(math.isfinite, effects)):
        raise ValueError(f"effects must be finite: {list(effects)}")
    if n < 2:
        return None
    mean = math.fsum(effects) / n
    sd = math.sqrt(math.fsum((e - mean) ** 2 for e in effects) / (n - 1))
    if sd <= SAME * max(1.0, *map(abs, effects)):
        p = 1.0 if abs(mean) <= SAME else 2.0 ** (1 - n)
        return Estimate(n, mean, 0.0, mean, mean, mean, mean, p)
    error = sd / math.sqrt(n)
    half, half90 = t_quantile(0.975, n - 1) * error, t_quantile(0.95, n - 1) * error
    p = min(1.0, 2.0 * t_probability(n - 1, -abs(mean) / error))
    return Estimate(n, mean, sd, mean - half, mean + half, mean - half90, mean + half90, p)


def welch(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """The mean of `second` minus that of `first`, unpaired, with t intervals; None for fewer than two on a side.

    Unequal variances and Satterthwaite's degrees of freedom: Welch 1947, Biometrika 34:28. Where no side has any
    spread, the intervals shrink to the difference and p is the permutation test's least, 2 / C(n1 + n2, n1).
    Raises ValueError for a value that is not finite.
    """
    return _unpaired(first, second, pooled=False)


def student(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """The same with one spread for both sides: Student 1908, Biometrika 6:1.

    For a side of three whose spread is that of a longer one: Welch's two degrees of freedom would see little there.
    """
    return _unpaired(first, second, pooled=True)


def _unpaired(first: Sequence[float], second: Sequence[float], *, pooled: bool) -> Estimate | None:
    if not all(map(math.isfinite, (*first, *second))):
        raise ValueError(f"values must be finite: {list(first)}, {list(second)}")
    sizes = len(first), len(second)
    if min(sizes) < 2:
        return None
    means = [math.fsum(side) / len(side) for side in (first, second)]
    difference, n = means[1] - means[0], sum(sizes)
    squares = [math.fsum((x - mean) ** 2 for x in side) for side, mean in zip((first, second), means, strict=True)]
    sd = math.sqrt(math.fsum(squares) / (n - 2))
    parts = [square / (size - 1) / size for square, size in zip(squares, sizes, strict=True)]
    error = sd * math.sqrt(1 / sizes[0] + 1 / sizes[1]) if pooled else math.sqrt(math.fsum(parts))
    if error <= SAME * max(1.0, *map(abs, (*first, *second))):
        p = 1.0 if abs(difference) <= SAME else min(1.0, 2.0 / math.comb(n, sizes[0]))
        return Estimate(n, difference, 0.0, difference, difference, difference, difference, p)
    satterthwaite = math.fsum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    freedom = n - 2 if pooled else error**4 / satterthwaite
    half, half90 = (t_quantile_of(freedom, level) * error for level in (0.975, 0.95))
    p = min(1.0, 2.0 * t_probability(freedom, -abs(difference) / error))
    return Estimate(
        n, difference, sd, difference - half, difference + half, difference - half90, difference + half90, p
    )


def a_side_needed(sd: float, effect: float, alpha: float) -> int | None:
    """The fewest runs on each side that find a difference of `effect` with a chance of 80 %; None beyond MOST_BLOCKS.

    As `smallest_visible`, for the difference of two means with one spread: its error is sd * sqrt(2 / n).
    """

    def enough(n: int) -> bool:
        reach = t_quantile(1.0 - alpha / 2.0, 2 * n - 2) + t_quantile(POWER, 2 * n - 2)
        return reach * sd * math.sqrt(2.0 / n) <= effect

    return _first(2, MOST_BLOCKS, enough)


@lru_cache(maxsize=8192)
def t_quantile(probability: float, df: int) -> float:
    """Quantile of Student's t distribution."""
    return t_quantile_of(df, probability)


def bootstrap_t(effects: Sequence[float]) -> tuple[float, float] | None:
    """95 % bootstrap-t interval of the mean; None below BOOTSTRAP_FROM effects or without spread.

    Studentised bootstrap: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5. Not the
    percentile bootstrap, which covers 0.83-0.91 of its nominal 0.95 at n = 10.
    """
    n = len(effects)
    found = estimate(effects) if n >= BOOTSTRAP_FROM else None
    if found is None or found.sd == 0.0:
        return None
    import numpy as np  # noqa: PLC0415 - 0.1 s of a start, for runs of ten blocks or more alone

    centred = np.asarray(effects, dtype=np.float64) - found.mean
    counts = _resamples(n)
    means = counts @ centred / n
    variances = np.maximum(counts @ centred**2 - n * means**2, 0.0) / (n - 1)
    usable = variances > (SAME * found.sd) ** 2  # a resample of one effect n times has no spread
    studentised = means[usable] / np.sqrt(variances[usable] / n)
    lower, upper = _quantiles(np.sort(studentised), (0.025, 0.975))
    error = found.sd / math.sqrt(n)
    return found.mean - upper * error, found.mean - lower * error


def _quantiles(ordered: "NDArray[np.float64]", shares: Sequence[float]) -> tuple[float, ...]:
    """Linearly between neighbours, as numpy.quantile's default (Hyndman & Fan 1996, type 7) at a third of its time."""
    places = [(len(ordered) - 1) * share for share in shares]
    return tuple(
        float(ordered[int(at)] + (ordered[min(int(at) + 1, len(ordered) - 1)] - ordered[int(at)]) * (at % 1.0))
        for at in places
    )


@lru_cache(maxsize=64)
def _resamples(n: int) -> "NDArray[np.float64]":
    """The one fixed set of resamples: RESAMPLES rows, each saying how often each of n effects was drawn."""
    import numpy as np  # noqa: PLC0415 - as above

    drawn = np.random.default_rng(BOOTSTRAP_SEED + n).multinomial(n, [1.0 / n] * n, size=RESAMPLES)
    return drawn.astype(np.float64)


def holm(ps: Sequence[float | None]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given; None (not measured) counts as 1 and keeps its place.

    Holm 1979, Scand. J. Statist. 6:65-70. Raises ValueError for a p outside 0 … 1.
    """
    filled = [1.0 if p is None else p for p in ps]
    if not all(0.0 <= p <= 1.0 for p in filled):
        raise ValueError(f"not p-values: {filled}")
    adjusted = [1.0] * len(filled)
    so_far = 0.0
    for rank, index in enumerate(sorted(range(len(filled)), key=filled.__getitem__)):
        so_far = max(so_far, min(1.0, (len(filled) - rank) * filled[index]))
        adjusted[index] = so_far
    return tuple(adjusted)


def smallest_visible(sd: float, n: int, alpha: float) -> float | None:
    """The effect that n blocks find with a chance of 80 %, in the unit of `sd`; None for n < 2.

    (t[1-alpha/2, n-1] + t[0.8, n-1]) * sd / sqrt(n): Bloom 1995, Evaluation Review 19:547, for a two-sided test.
    """
    if n < 2:
        return None
    return (t_quantile(1.0 - alpha / 2.0, n - 1) + t_quantile(POWER, n - 1)) * sd / math.sqrt(n)


def blocks_needed(sd: float, effect: float, alpha: float) -> int | None:
    """The fewest blocks whose smallest visible effect is at most `effect`; None beyond MOST_BLOCKS."""

    def enough(n: int) -> bool:
        visible = smallest_visible(sd, n, alpha)
        return visible is not None and visible <= effect

    return _first(2, MOST_BLOCKS, enough)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The first integer of low … high for which `holds`, which stays true from there on; None if it never does."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def equivalent(low90: float, high90: float, margin: float) -> bool:
    """Whether the 90 % interval lies inside ±margin: two one-sided tests at 5 %.

    Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680.
    """
    return -margin < low90 and high90 < margin


def percent(log_ratio: float) -> float:
    """A log ratio as percentage change of the raw value."""
    return 100.0 * math.expm1(min(log_ratio, LARGEST_LOG))
