"""Models of throughput over the number of pairs, and their least-squares fits in logs; pure.

C(N) = γN / (1 + σ(N−1) + κN(N−1)): γ is one pair alone, σ contention, κ coherency (Gunther 1993; Universal Scalability
Law). κ = 0 is Amdahl's law, σ = κ = 0 a straight line. A ceiling cuts the line or Amdahl's curve off: a link or shaper
that is full is no contention, and would be taken for one.

Errors are relative (throughput scatters in proportion), so fits are of logs. A fit sees of the trials at each N their
mean log and their number only, so that a thousand resamples are fitted at once: arrays have shape (draws, values of N).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NAMES = ("linear", "amdahl", "usl", "linear-ceiling", "amdahl-ceiling")  # from the simplest on
COUNTS = {"linear": 1, "amdahl": 2, "usl": 3, "linear-ceiling": 2, "amdahl-ceiling": 3}  # parameters of each
LEAST_AT_CEILING = 2  # values of N; one alone is as well the noise of that step, unless it is at a known line's rate
_NEAR_LINE = 0.05
_ROUNDS = 5  # of Gauss-Newton; the start is the solution of the linear problem, off by the noise squared
_LEAST_LINE = 1e-3  # of what was measured: keeps the logs of a bad start finite
_RIDGE = 1e-12  # keeps a system solvable whose columns fall together


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of one model in each draw, shape (draws,): γ in the values' unit, σ, κ, and the ceiling (infinite: none)."""

    gamma: Array
    sigma: Array
    kappa: Array
    ceiling: Array

    def values(self, ns: Sequence[float] | Array) -> Array:
        """C(N), shape (draws, values of N)."""
        return np.minimum(self._smooth(ns), self.ceiling[:, None])

    def full(self, ns: Sequence[float] | Array) -> NDArray[np.bool_]:
        """Whether the ceiling is what C(N) is, shape (draws, values of N)."""
        return np.asarray(self._smooth(ns) >= self.ceiling[:, None])

    def _smooth(self, ns: Sequence[float] | Array) -> Array:
        n = np.asarray(ns, dtype=np.float64)[None, :]
        slowed = 1.0 + self.sigma[:, None] * (n - 1.0) + self.kappa[:, None] * n * (n - 1.0)
        smooth: Array = self.gamma[:, None] * n / slowed
        return smooth

    def where(self, chosen: NDArray[np.bool_], other: "Parameters") -> "Parameters":
        """These where `chosen`, else the other's."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("gamma", "sigma", "kappa", "ceiling"))
        return Parameters(*(np.where(chosen, mine, theirs) for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model's parameters and its weighted squared distance in logs from the means, shape (draws,)."""

    parameters: Parameters
    distance: Array


def fitted(name: str, ns: Array, means: Array, counts: Array, line: float = math.inf) -> Fitted:
    """One of NAMES laid through mean logs `means` of shape (draws, values of N), each the mean of `counts` trials.

    `line` is a rate that is known to be a ceiling, about: a value of N within 5 % of it may be one alone.

    Where a model needs more values of N than there are, its distance is infinite.
    """
    if len(ns) < COUNTS[name]:
        return _nothing(len(means))
    if name == "usl":
        return _best([_smooth(columns, ns, means, counts) for columns in _SUBSETS], ns, means, counts)
    curve, _, ceiling = name.partition("-")
    columns = _SUBSETS[0] if curve == "linear" else _SUBSETS[1]
    if not ceiling:
        return _best([_smooth(columns, ns, means, counts)], ns, means, counts)
    cut = []
    least = 1 if math.isfinite(line) else LEAST_AT_CEILING
    for below in range(len(columns) + (len(columns) > 1), len(ns) - least + 1):
        under, over = counts.copy(), counts.copy()
        under[below:], over[:below] = 0.0, 0.0
        found = _smooth(columns, ns, means, under)
        full = np.exp(means @ over / over.sum())
        if len(ns) - below < LEAST_AT_CEILING:
            full[np.abs(np.log(full / line)) > _NEAR_LINE] = np.nan  # no fit
        cut.append(Parameters(found.gamma, found.sigma, found.kappa, full))
    return _best(cut, ns, means, counts) if cut else _nothing(len(means))


def _nothing(draws: int) -> Fitted:
    """A fit that nothing chooses."""
    return Fitted(Parameters(*(np.full(draws, value) for value in (1.0, 0.0, 0.0, np.inf))), np.full(draws, np.inf))


# Columns of 1, N−1 and N(N−1) that take part: those that come out negative are left out, the rest fitted again.
_SUBSETS = ((0,), (0, 1), (0, 2), (0, 1, 2))


def _smooth(columns: tuple[int, ...], ns: Array, means: Array, weights: Array) -> Parameters:
    """γ, σ, κ of these columns. N / C(N) is linear in 1/γ, σ/γ and κ/γ; Gauss-Newton makes its errors relative."""
    rows = np.stack([np.ones_like(ns), ns - 1.0, ns * (ns - 1.0)], axis=1)[:, list(columns)]
    logs = np.log(ns)[None, :] - means  # of N / C(N)
    taken = np.exp(logs)
    theta = _solved(rows[None] / taken[:, :, None], np.ones_like(means), weights)
    for _ in range(_ROUNDS):
        line = np.maximum(theta @ rows.T, _LEAST_LINE * taken)
        slopes = rows[None] / line[:, :, None]
        theta = theta + _solved(slopes, logs - np.log(line), weights)
    whole = np.zeros((len(means), 3))
    whole[:, list(columns)] = theta
    whole[:, 0] = np.maximum(whole[:, 0], _LEAST_LINE * taken[:, 0])
    share = np.maximum(whole[:, 1:], 0.0) / whole[:, :1]
    no_ceiling = np.full(len(means), np.inf)
    return Parameters(1.0 / whole[:, 0], np.minimum(share[:, 0], 1.0), share[:, 1], no_ceiling)


def _solved(rows: Array, goals: Array, weights: Array) -> Array:
    """Weighted least squares in every draw: rows (draws, N, columns), goals (draws, N) -> (draws, columns)."""
    weighted = rows * weights[None, :, None]
    normal = np.einsum("dnc,dne->dce", weighted, rows)
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None] * _RIDGE
    sides = np.einsum("dnc,dn->dc", weighted, goals)
    size = normal.shape[-1]
    return np.asarray(np.linalg.solve(normal + scale * np.eye(size)[None], sides[:, :, None])[:, :, 0])


def _best(candidates: Sequence[Parameters], ns: Array, means: Array, counts: Array) -> Fitted:
    """In every draw the candidate that is nearest to the means."""
    chosen = candidates[0]
    least = _distance(chosen, ns, means, counts)
    for each in candidates[1:]:
        distance = _distance(each, ns, means, counts)
        better = distance < least
        chosen, least = each.where(better, chosen), np.where(better, distance, least)
    return Fitted(chosen, least)


def _distance(found: Parameters, ns: Array, means: Array, counts: Array) -> Array:
    off = means - np.log(found.values(ns))
    distance: Array = np.where(np.isfinite(off).all(axis=1), (off**2) @ counts, np.inf)
    return distance
