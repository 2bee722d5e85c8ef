"""A measured curve: which model it follows, what it would carry at another N, and how sure that is; pure.

The model is chosen by AICc. Intervals come from resampling whole trials at each N and choosing anew in every resample,
each model in proportion to its Akaike weight: what the choice does not know is in the interval. Where trials at a
ceiling scatter otherwise than below it, as those of paced pairs do, a forecast scatters as those of its own side.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from results.errors import NotAble
from results.scaling import models
from results.scaling.models import Array, Fitted, Parameters
from results.scaling.unimodal import dips
from results.statistics import t_quantile

LEAST_NS, LEAST_TRIALS = 6, 3  # values of N, and trials at each; ADR 0031
REACH = 2  # times the largest N that was measured: no forecast beyond
DRAWS, SEED = 1000, 20_160_731
_FLOOR = 0.01  # what a window of seconds may be off by: an error below it is worth no parameter, and none is told
_FULL = 0.95  # of the most that a curve reaches: from there on it is called full
_ABOVE = 1.1  # of a line rate: a step that carries more disproves it


class NoModel(NotAble):
    """The trials cannot carry a model; what was measured stands."""


@dataclass(frozen=True, slots=True)
class Step:
    """The trials with `n` pairs at once: one value each, in the order of measurement."""

    n: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model as it fits the trials: parameters as in models.Parameters, and its Akaike weight among all."""

    name: str
    gamma: float
    sigma: float
    kappa: float
    ceiling: float  # infinite where it has none
    aicc: float
    weight: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """Of single trials around a curve: a deviation in logs, of so many degrees of freedom."""

    sigma: float
    df: int


class Curve:
    """Throughput over N with a model through it. Raises NoModel, saying what is missing.

    `line_rate`: the goodput that a link is known to carry. No forecast goes beyond it, and one step near it is a
    ceiling, where else it takes two. What a ceiling is they show: what is said of a link may be off by its headers.
    """

    def __init__(self, steps: Sequence[Step], *, line_rate: float = math.inf, seed: int = SEED) -> None:
        self.steps = tuple(sorted(steps, key=lambda step: step.n))
        self.line_rate = line_rate
        _check(self.steps, line_rate)
        self._ns = np.array([step.n for step in self.steps], dtype=np.float64)
        self._logs = [np.log(np.array(step.values)) for step in self.steps]
        self._counts = np.array([len(each) for each in self._logs], dtype=np.float64)
        self._fit(seed)

    @property
    def most(self) -> int:
        """The largest N that was measured."""
        return self.steps[-1].n

    @property
    def chosen(self) -> Candidate:
        """The model with the least AICc."""
        return max(self.candidates, key=lambda each: each.weight)

    def forecast(self, n: int) -> Between:
        """What all of `n` pairs carry together, and where 95 % of single trials with it lie.

        Raises NoModel beyond REACH times the largest N.
        """
        self._within(n)
        centre = float(self._at(self._best, [n])[0, 0])
        scatter = self._full if self._best.full([n])[0, 0] else self._below
        # Under a shaper trials scatter by next to nothing (seen: 0.3 %), while windows that begin and end with the
        # machine's other work are off by more.
        noise = math.hypot(scatter.sigma, _FLOOR) * self._normal
        return _spread(centre, np.log(self._drawn[:, n - 1]) + noise, widening(scatter.df))

    def mean_at(self, n: int) -> Between:
        """The same for the mean of many trials: the interval of the curve itself."""
        self._within(n)
        return _spread(float(self._at(self._best, [n])[0, 0]), np.log(self._drawn[:, n - 1]), self._student)

    @cached_property
    def saturation(self) -> Between | None:
        """The least N that reaches 95 % of what the curve reaches at most; None where it still rises at REACH."""
        return self._place(_first_full)

    @cached_property
    def knee(self) -> Between | None:
        """The N that uses the pairs best: most C(N)²/N, Kleinrock's power; None where more is still better at REACH."""
        return self._place(lambda values: np.argmax(values**2 / self._every, axis=1) + 1.0)

    @cached_property
    def peak(self) -> Between | None:
        """The N with the most throughput, where coherency makes it fall again and κ's interval is above 0."""
        if self.chosen.name != "usl" or float(np.quantile(self._kappas, 0.025)) <= 1e-9:
            return None
        return self._place(lambda values: np.argmax(values, axis=1) + 1.0)

    def headroom(self, n: int, *, demand: float) -> float:
        """The share of what `n` pairs carry that a demand leaves free; negative where it asks for more."""
        return 1.0 - demand / self.mean_at(n).value

    def drawn(self, n: int) -> Array:
        """What `n` pairs carry in every resample, shape (DRAWS,), about `mean_at` and as wide."""
        self._within(n)
        centre = float(self._at(self._best, [n])[0, 0])
        widened: Array = centre * (self._drawn[:, n - 1] / centre) ** self._student
        return widened

    def _within(self, n: int) -> None:
        if not 1 <= n <= REACH * self.most:
            raise NoModel(
                f"{n} pairs are beyond {REACH} times the {self.most} that were measured: no forecast",
                hint=f"measure up to {math.ceil(n / REACH)} pairs or more",
            )

    @cached_property
    def _every(self) -> Array:
        return np.arange(1, REACH * self.most + 1, dtype=np.float64)

    def _fit(self, seed: int) -> None:
        means = np.array([[each.mean() for each in self._logs]])
        within = np.array([[float(((each - each.mean()) ** 2).sum()) for each in self._logs]])
        found = self._fitted(means)
        scores = self._scores(found, means, within)
        weights = _weights(scores)[:, 0]
        self.candidates = tuple(
            _candidate(name, found[name].parameters, float(score), float(weight))
            for name, score, weight in zip(models.NAMES, scores[:, 0], weights, strict=True)
        )
        self._best = found[self.chosen.name].parameters
        self._scattered(self._squares(self._best, means, within))
        dice = np.random.default_rng(seed)
        self._normal = dice.standard_normal(DRAWS)  # of a single trial that is still to come
        self._resample(dice, seed)

    def _scattered(self, squares: Array) -> None:
        """How trials scatter about the best model, by its squares at each N: below its ceiling and at it."""
        k, n = models.COUNTS[self.chosen.name], int(self._counts.sum())
        df = max(1, n - k)
        pooled = Scatter(math.sqrt(float(squares.sum()) / df), df)
        self._student = widening(df)
        self._below = self._full = pooled
        one, two = self._ways(self._best, squares, k)
        if two[0] < one[0]:
            full = self._best.full(self._ns)[0]
            at = int(self._counts[full].sum())
            self._below, self._full = (
                Scatter(math.sqrt(float(squares[:, part].sum()) / df), df)
                for part, df in ((~full, max(1, n - at - k + 1)), (full, max(1, at - 1)))
            )

    def _fitted(self, means: Array) -> dict[str, Fitted]:
        return {name: models.fitted(name, self._ns, means, self._counts, self.line_rate) for name in models.NAMES}

    def _resample(self, dice: np.random.Generator, seed: int) -> None:
        means = np.empty((DRAWS, len(self._ns)))
        within = np.empty((DRAWS, len(self._ns)))
        for place, (step, logs) in enumerate(zip(self.steps, self._logs, strict=True)):
            again = resampled(logs, picks(step.n, len(logs), seed))
            means[:, place] = again.mean(axis=1)
            within[:, place] = ((again - means[:, place, None]) ** 2).sum(axis=1)
        found = self._fitted(means)
        weights = _weights(self._scores(found, means, within))
        picked = (np.cumsum(weights, axis=0) < dice.random(DRAWS)[None, :]).sum(axis=0)
        values = np.empty((DRAWS, len(self._every)))
        for place, name in enumerate(models.NAMES):
            rows = picked == place
            values[rows] = self._at(found[name].parameters, self._every)[rows]
        self._drawn, self._kappas = values, found["usl"].parameters.kappa

    def _squares(self, found: Parameters, means: Array, within: Array) -> Array:
        """Squared logs of all trials at each N about a model, shape (draws, values of N)."""
        off = means - np.log(found.values(self._ns))
        return np.asarray(off**2 * self._counts + within)

    def _scores(self, found: Mapping[str, Fitted], means: Array, within: Array) -> Array:
        """AICc of every model in every draw; with a ceiling trials may scatter in two ways, or in one."""
        rows = []
        for name in models.NAMES:
            each = found[name]
            ways = self._ways(each.parameters, self._squares(each.parameters, means, within), models.COUNTS[name])
            rows.append(np.where(np.isfinite(each.distance), np.minimum(*ways), np.inf))  # else too few N for it
        return np.array(rows)

    def _ways(self, found: Parameters, squares: Array, parameters: int) -> tuple[Array, Array]:
        """AICc where all trials scatter alike, and where those at the ceiling do otherwise; infinite without both.

        A variance is a parameter too: Hurvich & Tsai 1989, Biometrika 76:297.
        """
        n = float(self._counts.sum())
        full = found.full(self._ns)
        at = full @ self._counts
        one = _fit_term(squares.sum(axis=1), n) + _paid(n, parameters + 1)
        below = _fit_term(np.where(full, 0.0, squares).sum(axis=1), n - at)
        two = below + _fit_term(np.where(full, squares, 0.0).sum(axis=1), at) + _paid(n, parameters + 2)
        return one, np.where((at > 0) & (at < n), two, np.inf)

    def _at(self, found: Parameters, ns: Sequence[float] | Array) -> Array:
        most = np.where(np.isfinite(found.ceiling), np.maximum(found.ceiling, self.line_rate), self.line_rate)
        return np.minimum(found.values(ns), most[:, None])

    @cached_property
    def _rises(self) -> bool:
        """Whether the chosen model goes on rising as a line to the end of its reach."""
        values = self._at(self._best, [self.most, REACH * self.most])[0]
        return bool(values[1] > values[0] * (1 + _FULL * (REACH - 1)))

    def _place(self, found: Callable[[Array], Array]) -> Between | None:
        if self._rises:
            return None
        centre = float(found(self._at(self._best, self._every))[0])
        if centre >= REACH * self.most:
            return None
        low, high = np.quantile(found(self._drawn), (0.025, 0.975))
        return Between(centre, min(centre, float(low)), max(centre, float(high)))


def _fit_term(squares: Array, n: Array | float) -> Array:
    """−2 log-likelihood of `n` trials by their squares, without its constant."""
    return np.asarray(n * np.log(squares / np.maximum(n, 1.0) + _FLOOR**2))


def _paid(n: float, k: int) -> float:
    return 2 * k + 2 * k * (k + 1) / max(n - k - 1, 1e-9)


def _spread(centre: float, logs: Array, student: float) -> Between:
    """A 95 % interval of drawn logs about a centre, widened as Student's t is wider than the normal."""
    low, high = np.quantile(logs, (0.025, 0.975)) - math.log(centre)
    widened = (math.exp(math.log(centre) + student * float(end)) for end in (min(low, 0.0), max(high, 0.0)))
    return Between(centre, *widened)


def _candidate(name: str, found: Parameters, aicc: float, weight: float) -> Candidate:
    gamma, sigma, kappa, ceiling = (float(each[0]) for each in (found.gamma, found.sigma, found.kappa, found.ceiling))
    return Candidate(name, gamma, sigma, kappa, ceiling, aicc, weight)


def picks(n: int, trials: int, seed: int = SEED) -> NDArray[np.int64]:
    """Which trials with `n` pairs are drawn, with replacement, shape (DRAWS, trials).

    The same for every metric: what was measured together stays together.
    """
    return np.random.default_rng((seed, n)).integers(0, trials, size=(DRAWS, trials))


def widening(df: int) -> float:
    """How much wider a 95 % interval is by Student's t than by the normal."""
    return t_quantile(0.975, max(1, df)) / 1.959964


def resampled(values: Array, picked: NDArray[np.int64]) -> Array:
    """The trials that were picked, DRAWS rows.

    Deviations from their mean are made larger by √(n/(n−1)): without it the mean of n resampled trials scatters too
    little, by that factor (Davison & Hinkley 1997, Bootstrap Methods, 2.3); with three trials that is 22 %.
    """
    n = len(values)
    drawn = values[picked]
    if n < 2:
        return drawn
    middle = values.mean()
    again: Array = middle + (drawn - middle) * math.sqrt(n / (n - 1))
    return again


def _weights(scores: Array) -> Array:
    """Akaike weights over the models, shape as the scores: Burnham & Anderson 2002, 2.9."""
    against = np.exp(-0.5 * (scores - scores.min(axis=0, keepdims=True)))
    weights: Array = against / against.sum(axis=0, keepdims=True)
    return weights


def _first_full(values: Array) -> Array:
    most = values.max(axis=1, keepdims=True)
    first: Array = np.argmax(values >= _FULL * most, axis=1) + 1.0
    return first


def too_few(trials: Mapping[int, int]) -> str:
    """Why so many trials by number of pairs carry no model, "" where they do."""
    counted = [n for n, count in trials.items() if count >= LEAST_TRIALS]
    if len(counted) >= LEAST_NS:
        return ""
    short = [str(n) for n in sorted(trials) if n not in counted]
    also = f"; fewer than {LEAST_TRIALS} trials at {', '.join(short)} pairs" if short else ""
    return f"{len(counted)} numbers of pairs are too few: it takes {LEAST_NS}, with {LEAST_TRIALS} trials each{also}"


def _check(steps: Sequence[Step], line_rate: float) -> None:
    if len({step.n for step in steps}) != len(steps):
        raise ValueError("two steps of one N")
    if any(not (math.isfinite(value) and value > 0) for step in steps for value in step.values):
        raise ValueError("throughputs must be above 0")
    if why := too_few({step.n: len(step.values) for step in steps}):
        raise NoModel(why, hint="more values under `pairs:`, or more `repeats:`; what was measured stands")
    most = max(steps, key=lambda step: float(np.mean(step.values)))
    if (reached := float(np.mean(most.values))) > _ABOVE * line_rate:
        raise NoModel(
            f"{most.n} pairs carry {reached / 1e6:.0f} Mbit/s, more than the {line_rate / 1e6:.0f} Mbit/s of the line",
            hint="--line-rate: the goodput that the link carries, or leave it out",
        )
    if found := dips(tuple((step.n, step.values) for step in steps)):
        n, before, after = found[0]
        raise NoModel(
            f"the curve is not monotonic: {n} pairs carry less than {before} and than {after}, beyond the noise",
            hint="no model has two peaks; was something else running? measure these again",
        )
