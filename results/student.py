"""Student's t distribution: its cumulative probability and its quantile, without scipy.

scipy's own take 0.3 s to import, a third of what `nettune show` may take in all; these two functions are all that was
used of it (docs/adr/0012-student.md). They are compared with scipy's over the whole range that is used in
tests/unit/results/test_student.py.
"""

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300  # in place of a 0 in the continued fraction (Lentz's method)
_PRECISION = 1e-15
_STEPS = 10_000  # the fraction needs O(sqrt(df)) of them; 10^6 degrees of freedom take about 1,000


def t_probability(df: float, t: float) -> float:
    """The chance that Student's t with `df` degrees of freedom (> 0, not only whole ones) is at most `t`.

    Half the regularised incomplete beta function I_x(df/2, 1/2) at x = df / (df + t²) is the tail beyond |t|: NIST
    DLMF 8.17. Relative error of a tail below 1e-9 for df up to 10^4. Raises ValueError for df ≤ 0 or NaN.
    """
    if not df > 0.0 or math.isnan(t):
        raise ValueError(f"no t distribution: df = {df}, t = {t}")
    square = t * t
    if math.isinf(square):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * _incomplete_beta(df / 2.0, 0.5, df / (df + square), square / (df + square))
    return tail if t < 0 else 1.0 - tail


def t_quantile_of(df: float, probability: float) -> float:
    """The t below which `probability` (0 … 1, both excluded) lies; the inverse of `t_probability`.

    Newton's method from the normal quantile. In the upper tail the distribution function is concave and the normal
    quantile lies below the root, so that the steps only rise towards it and need no bracket.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"no probability of a quantile: {probability}")
    if probability == 0.5:
        return 0.0
    tail = min(probability, 1.0 - probability)
    t = -_NORMAL.inv_cdf(tail)
    for _ in range(200):
        beyond = t_probability(df, -t)
        step = (beyond - tail) / _density(df, t)
        t += step
        if step <= 4e-16 * t:
            break
    return t if probability > 0.5 else -t


def _density(df: float, t: float) -> float:
    log = math.lgamma((df + 1.0) / 2.0) - math.lgamma(df / 2.0) - 0.5 * math.log(df * math.pi)
    return math.exp(log - (df + 1.0) / 2.0 * math.log1p(t * t / df))


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b), with `rest` = 1 - x given apart, since x may be too near to 1 for that difference."""
    if x <= 0.0 or rest <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, rest, x)
    logs = math.log(x) if x < 0.5 else math.log1p(-rest), math.log(rest) if rest < 0.5 else math.log1p(-x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * logs[0] + b * logs[1]
    return math.exp(front) / a / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of DLMF 8.17.22, 1 + d1/(1 + d2/(1 + …)), by the modified method of Lentz (1976)."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, _STEPS):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + term * d or _TINY)
        c = 1.0 + term / c or _TINY
        value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            return value
    raise ValueError(f"no incomplete beta function of a = {a}, b = {b}, x = {x}: the fraction does not converge")
