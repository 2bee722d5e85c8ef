"""Whether a curve may have one peak: throughput that falls and rises again follows no scaling model; pure."""

import math
from collections.abc import Sequence

from results.statistics import t_quantile

_LEAST = 0.05  # a dip below 5 % forbids no model
_ALPHA = 0.01  # that a curve with one peak is refused, over all its steps


def dips(steps: Sequence[tuple[int, Sequence[float]]]) -> tuple[tuple[int, int, int], ...]:
    """(N, smaller N, larger N) where both others carry more than N, by 5 % and beyond the noise; the deepest first.

    `steps` are (N, values of its trials), values above 0. The noise is that of the logs within N, pooled; t with
    Bonferroni over the steps that may be a dip.
    """
    means = [(n, math.fsum(map(math.log, values)) / len(values), len(values)) for n, values in sorted(steps)]
    df = sum(count - 1 for _, _, count in means)
    if df < 1 or len(means) < 3:
        return ()
    squares = math.fsum(
        (math.log(value) - mean) ** 2 for (_, mean, _), (_, values) in zip(means, sorted(steps), strict=True)
        for value in values
    )  # fmt: skip
    spread = math.sqrt(squares / df)
    reach = t_quantile(1 - _ALPHA / (len(means) - 2), df)
    found = []
    for place, (n, mean, count) in enumerate(means[1:-1], start=1):
        before, after = (max(side, key=lambda each: each[1]) for side in (means[:place], means[place + 1 :]))
        depth = min(before[1], after[1]) - mean
        error = spread * math.sqrt(1 / count + 1 / min(before[2], after[2]))
        if depth > math.log1p(_LEAST) and depth > reach * error:
            found.append((depth, (n, before[0], after[0])))
    return tuple(each for _, each in sorted(found, reverse=True))
