"""How many fit: the largest N up to which every bound of a service level holds, with its interval; pure.

Goodput is forecast by a model, up to twice the largest N. No model says how latency, loss and CPU go on, so they are
answered within what was measured, along the nearest curve that never falls (never rises, for fairness).

A value may have no end: a p99 among the lost probes is later than any that came, and infinite here. So is the mean of
such a trial with others, and whatever lies beyond it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from results.scaling.curve import REACH, SEED, Between, Curve, NoModel, Step, picks, resampled, widening
from results.scaling.models import Array
from results.scaling.slo import KINDS, RATES, Term

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One trial with `n` pairs at once: what KINDS has of all of them together, in base units, as far as known.

    What has no end, and so holds no bound, is infinite on the bad side: a time inf, a rate -inf.
    """

    n: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Count:
    """A number of VMs and its 95 % interval; `open`: the bound lies at the edge of what can be said, or beyond."""

    value: int
    low: int
    high: int
    open: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one bound alone allows. `unknown` says why nothing can be told of it, "" where it can."""

    term: Term
    most: Count
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What `n` pairs do, measured or forecast; a metric that nothing is known of is left out."""

    n: int
    seen: float | None  # mean goodput of the trials; None where this N was not measured
    goodput: Between | None  # as the curve has it, with the interval of one more trial
    values: Mapping[str, float]  # the means over trials of the other KINDS
    holds: bool | None  # None: not known
    headroom: float | None = None  # share of the goodput that the level leaves; None without a bound on it


@dataclass(frozen=True, slots=True)
class Answer:
    """The count, the terms that end it, and the curve behind it (None with `no_model` saying why).

    Without terms of which something is known there is no count.
    """

    most: Count | None
    allowed: tuple[Allowed, ...]
    limited_by: tuple[Term, ...]  # those that do not hold at one more
    rows: tuple[Row, ...]
    curve: Curve | None
    measured: int  # the largest N
    no_model: str = ""
    failed: int = 0  # the least N whose trials all failed, which ends the count; 0: there is none

    @property
    def ended_by_failing(self) -> bool:
        """Whether it is not a bound that ends the count, but that with one more every trial failed."""
        return not self.limited_by and self.most is not None and 0 < self.failed == self.most.value + 1

    @property
    def headroom(self) -> float | None:
        """That of the row of the count."""
        return next((row.headroom for row in self.rows if self.most is not None and row.n == self.most.value), None)


@dataclass(slots=True)
class _Told:
    """A metric over N = 1 … reach: its value by the trials, and in every resample."""

    centre: Array  # (reach,)
    drawn: Array  # (DRAWS, reach)

    @property
    def reach(self) -> int:
        return len(self.centre)


@dataclass(slots=True)
class _Known:
    trials: Mapping[int, Sequence[Mapping[str, float]]]
    curve: Curve | None
    seed: int
    kept: dict[str, _Told | None] = field(default_factory=dict)

    def told(self, metric: str) -> _Told | None:
        """None where no trial has it."""
        if metric not in self.kept:
            if metric == "goodput" and self.curve is not None:
                self.kept[metric] = _by_model(self.curve)
            else:
                self.kept[metric] = _by_steps(self.trials, metric, self.seed)
        return self.kept[metric]


def answered(
    terms: Sequence[Term], trials: Sequence[Loaded], *, line_rate: float = math.inf, seed: int = SEED, failed: int = 0,
    asked: Sequence[int] = (),
) -> Answer:  # fmt: skip
    """The answer of these trials; with `failed` pairs, and more, none holds. Raises ValueError without trials.

    `asked`: numbers of pairs that are to have rows, too, as far as anything may be said of them.
    """
    if not trials:
        raise ValueError("an answer takes trials")
    by_n: dict[int, list[Mapping[str, float]]] = {}
    for trial in sorted(trials, key=lambda each: each.n):
        by_n.setdefault(trial.n, []).append(trial.values)
    curve, no_model = _curve(by_n, line_rate, seed)
    known = _Known(by_n, curve, seed)
    reach = REACH * max(by_n)
    allowed, ends = [], list[tuple[Term, Flags, Flags]]()
    for term in terms:
        told = known.told(term.metric)
        if told is None:
            allowed.append(Allowed(term, Count(0, 0, 0, open=True), f"no trial has {term.metric}"))
            continue
        centre, drawn = _holds(term, told.centre[None], reach)[0], _holds(term, told.drawn, reach)
        ends.append((term, centre, drawn))
        allowed.append(Allowed(term, _count(centre, drawn, told.reach)))
    until = min(reach, failed - 1) if failed else reach
    most, limited = _together(ends, [known.told(each[0].metric) for each in ends], until) if ends else (None, ())
    shown = {*_shown(by_n, most.value if most else 0, reach), *([failed] if failed else []),
             *(n for n in asked if 1 <= n <= reach)}  # fmt: skip
    rows = tuple(_row(n, known, terms, by_n, fails=n > until) for n in sorted(shown))
    return Answer(most, tuple(allowed), limited, rows, curve, max(by_n), no_model, failed)


def _curve(by_n: Mapping[int, Sequence[Mapping[str, float]]], line_rate: float, seed: int) -> tuple[Curve | None, str]:
    steps = [Step(n, tuple(each["goodput"] for each in values if "goodput" in each)) for n, values in by_n.items()]
    if nothing := next((step.n for step in steps if 0.0 in step.values), 0):
        return None, f"{nothing} pairs carried nothing in a trial, and no model goes through 0"
    try:
        return Curve([step for step in steps if step.values], line_rate=line_rate, seed=seed), ""
    except NoModel as error:
        return None, str(error)


def _by_model(curve: Curve) -> _Told:
    ns = range(1, REACH * curve.most + 1)
    centre = np.array([curve.mean_at(n).value for n in ns])
    return _Told(centre, np.stack([curve.drawn(n) for n in ns], axis=1))


def _by_steps(trials: Mapping[int, Sequence[Mapping[str, float]]], metric: str, seed: int) -> _Told | None:
    """Along the nearest monotone curve through the means at each N, straight between them.

    In the resamples the means lie about those of the trials, by as much more as Student's t is wider. Where a trial's
    value has no end, their mean has none, nor has, of what can only get worse, anything beyond.
    """
    found = {n: np.array([each[metric] for each in listed if metric in each]) for n, listed in trials.items()}
    ns = [n for n, values in found.items() if len(values)]
    if not ns:
        return None
    picked = {n: picks(n, len(found[n]), seed) for n in ns}
    endless = np.array([[np.isinf(found[n]).any() for n in ns]])
    endless_drawn = np.stack([np.isinf(found[n])[picked[n]].any(axis=1) for n in ns], axis=1)
    most = max((float(value) for values in found.values() for value in values[np.isfinite(values)]), default=0.0)
    found = {n: _finite(values, most) for n, values in found.items()}
    means = np.array([[found[n].mean() for n in ns]])
    drawn = np.stack([resampled(found[n], picked[n]).mean(axis=1) for n in ns], axis=1)
    drawn = np.maximum(means + (drawn - means) * widening(sum(len(found[n]) - 1 for n in ns)), 0.0)
    weights = np.array([len(found[n]) for n in ns], dtype=np.float64)
    rising = KINDS[metric].sense == "<="
    if metric not in RATES:
        means, drawn = (monotone(each, weights, rising=rising) for each in (means, drawn))
        endless, endless_drawn = (np.logical_or.accumulate(each, axis=1) for each in (endless, endless_drawn))
    means[endless] = drawn[endless_drawn] = math.inf if rising else -math.inf
    every = np.arange(1, max(ns) + 1, dtype=np.float64)
    return _Told(_between(every, ns, means)[0], _between(every, ns, drawn))


def _finite(values: Array, most: float) -> Array:
    """Those that have an end, in place of the others their mean; `most` where none has, which pulls nothing down."""
    ends = np.isfinite(values)
    filled: Array = np.where(ends, values, values[ends].mean() if ends.any() else most)
    return filled


def monotone(values: Array, weights: Array, *, rising: bool) -> Array:
    """The least-squares monotone curve through each row: max over i ≤ k of min over j ≥ k of the mean of i … j.

    Barlow, Bartholomew, Bremner & Brunk 1972, Statistical Inference under Order Restrictions, 1.9.
    """
    signed = values if rising else -values
    count = signed.shape[1]
    sums = np.concatenate([np.zeros((len(signed), 1)), np.cumsum(signed * weights, axis=1)], axis=1)
    total = np.concatenate([[0.0], np.cumsum(weights)])
    columns = []
    for k in range(count):
        least = [np.min([(sums[:, j + 1] - sums[:, i]) / (total[j + 1] - total[i]) for j in range(k, count)], axis=0)
                 for i in range(k + 1)]  # fmt: skip
        columns.append(np.max(least, axis=0))
    found: Array = np.stack(columns, axis=1)
    return found if rising else -found


def _between(every: Array, ns: Sequence[int], rows: Array) -> Array:
    """Each row read at every N by straight lines; below the least N as there."""
    places = np.interp(every, ns, np.arange(len(ns), dtype=np.float64))
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(ns) - 1)
    share = places - low
    with np.errstate(invalid="ignore"):  # 0 times what has no end
        line = rows[:, low] * (1 - share) + rows[:, high] * share
    found: Array = np.where(share > 0, line, rows[:, low])
    return found


def _holds(term: Term, values: Array, reach: int) -> Flags:
    """Where a bound holds, shape (draws, reach): up to the first N that fails; beyond what is told of it, not.

    Only what all VMs together must have may be missed by few and reached by more.
    """
    per = values / np.arange(1, values.shape[1] + 1) if term.each else values
    good = per >= term.bound if term.least else per <= term.bound
    begun = np.logical_or.accumulate(good, axis=1) if _in_all(term) else np.ones_like(good)
    found = np.zeros((len(values), reach), dtype=np.bool_)
    found[:, : values.shape[1]] = np.logical_and.accumulate(good | ~begun, axis=1) & begun
    return found


def _in_all(term: Term) -> bool:
    return term.metric in RATES and not term.each


def _largest(flags: Flags) -> NDArray[np.int64]:
    """The largest N of each row that is true; 0 where none is."""
    found: NDArray[np.int64] = np.where(flags.any(axis=1), flags.shape[1] - np.argmax(flags[:, ::-1], axis=1), 0)
    return found


def _count(centre: Flags, drawn: Flags, reach: int) -> Count:
    value, every = int(_largest(centre[None])[0]), _largest(drawn)
    low = int(np.quantile(every, 0.025, method="lower"))
    high = int(np.quantile(every, 0.975, method="higher"))
    return Count(value, min(low, value), max(high, value), open=value >= reach)


def _together(
    ends: Sequence[tuple[Term, Flags, Flags]], told: Sequence[_Told | None], until: int
) -> tuple[Count, tuple[Term, ...]]:
    """The count of all bounds, `until` at most, and the terms that end it."""
    within = np.arange(1, ends[0][1].size + 1) <= until
    centre = np.logical_and.reduce([within, *(each for _, each, _ in ends)])
    drawn = np.logical_and.reduce([np.broadcast_to(within, ends[0][2].shape), *(each for _, _, each in ends)])
    known = min(each.reach for each in told if each is not None)
    edge = known if known < until or within.all() else len(within) + 1  # where it fails beyond, nothing is open
    most = _count(centre, drawn, edge)
    # The place of one more; where no N will do, that at which all of them together have what is asked, and the first.
    places = {most.value}
    if not most.value:
        every = [flags for term, flags, _ in ends if _in_all(term)]
        places.add(int(np.argmax(np.logical_and.reduce(every))) if every else 0)
    limited = tuple(
        term
        for (term, flags, _), each in zip(ends, told, strict=True)
        if each is not None and any(place < each.reach and not flags[place] for place in places)
    )
    # Where a bound that is known stops it there, the edge of what is known of another is no matter.
    return (Count(most.value, most.low, most.high) if limited else most), limited


def _shown(by_n: Mapping[int, object], most: int, reach: int) -> list[int]:
    """The measured N, and of others those about the answer and the ends of what can be said."""
    others = {n for n in (most, most + 1, max(by_n) * 3 // 2, reach) if 1 <= n <= reach}
    return sorted({*by_n, *others})


def _row(
    n: int, known: _Known, terms: Sequence[Term], by_n: Mapping[int, Sequence[Mapping[str, float]]], *, fails: bool
) -> Row:
    values = {}
    for metric in KINDS:
        told = known.told(metric) if metric != "goodput" and (n in by_n or not fails) else None
        if told is not None and n <= told.reach:
            values[metric] = float(told.centre[n - 1])
    found: list[bool | None] = []
    for term in terms:
        told = known.told(term.metric)
        value = None if told is None or n > told.reach else float(told.centre[n - 1]) / (n if term.each else 1)
        found.append(None if value is None else term.holds(value))
    holds = False if fails or False in found else None if None in found or not found else True
    seen = [each["goodput"] for each in by_n.get(n, ()) if "goodput" in each]
    mean = math.fsum(seen) / len(seen) if seen else None
    return Row(n, mean, _goodput(known, n), values, holds, _headroom(terms, known, n))


def _goodput(known: _Known, n: int) -> Between | None:
    """None where nothing is known: the largest N may have no goodput, and then the curve ends before REACH times it."""
    told = known.told("goodput")
    if told is None or n > told.reach:
        return None
    if known.curve is not None:
        return known.curve.forecast(n)
    low, high = np.quantile(told.drawn[:, n - 1], (0.025, 0.975))
    return Between(float(told.centre[n - 1]), float(low), float(high))


def _headroom(terms: Sequence[Term], known: _Known, n: int) -> float | None:
    told = known.told("goodput")
    bounds = [term.bound * (n if term.each else 1) for term in terms if term.metric == "goodput"]
    if not bounds or told is None or not 1 <= n <= told.reach:
        return None
    if known.curve is not None:
        return known.curve.headroom(n, demand=max(bounds))
    carried = float(told.centre[n - 1])
    return 1.0 - max(bounds) / carried if carried else None
