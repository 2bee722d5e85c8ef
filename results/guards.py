"""Guards: what a winner must not harm. One result per guard of the design, by its 90 % interval."""

import math
from collections.abc import Sequence

from results.pairs import CompleteBlock, Pairs, against_current, better
from results.records import Goal, Guard, GuardResult, GuardWord
from results.statistics import LARGEST_LOG, Estimate, estimate, smallest_visible

OF_CURRENT = 0.1  # of what a path drops under current: as much as the relative guards allow (docs/adr/0038)
ALPHA = 0.10  # two-sided: each end of the 90 % interval is a one-sided 95 % bound


def guarded(guards: Sequence[Guard], blocks: Sequence[CompleteBlock], arm: str) -> tuple[GuardResult, ...]:
    """How each guard came out for `arm` over `blocks`."""
    return tuple(_result(guard, blocks, arm) for guard in guards)


def forbids(guards: Sequence[GuardResult], goal: Goal) -> bool:
    """Whether these results stop a win: a harmed one always, an unresolved one unless the goal is throughput."""
    if goal == "throughput":
        return any(guard.word == "harmed" for guard in guards)
    return any(guard.word != "ok" for guard in guards)


def _result(guard: Guard, blocks: Sequence[CompleteBlock], arm: str) -> GuardResult:
    """Harmed: the near end of the interval is beyond the limit; ok: the far end is not."""
    pairs = against_current(blocks, arm, guard.metric)
    if guard.absolute or pairs.all_zero:  # 0 on both sides throughout is no change, in any unit
        found = estimate([difference for _, difference in pairs.differences])
    else:
        found = estimate(pairs.logs)
    if found is None:
        return GuardResult(guard.metric, "not resolved", None, None, None, guard.limit, guard.absolute, None)
    limit = _limit(guard, pairs)
    change, low, high, visible = _in_units(found, relative=not guard.absolute)
    if better(guard.metric) == "lower":
        nearest, farthest = low, high
    else:
        nearest, farthest = -high, -low
    word: GuardWord = "not resolved"
    if nearest > limit:
        word = "harmed"
    elif farthest <= limit:
        word = "ok"
    return GuardResult(guard.metric, word, change, low, high, limit, guard.absolute, visible)


def _limit(guard: Guard, pairs: Pairs) -> float:
    """A path that loses one packet in a hundred by itself cannot be held to one in ten thousand more."""
    if not guard.absolute or guard.metric.rpartition(".")[2] != "drops":
        return guard.limit
    current = [value for _, _, value in pairs.values]
    return max(guard.limit, OF_CURRENT * math.fsum(current) / len(current)) if current else guard.limit


def _in_units(found: Estimate, *, relative: bool) -> tuple[float, float, float, float | None]:
    """Change, low, high and smallest visible change: relative changes from log ratios, differences as they are."""
    visible = smallest_visible(found.sd, found.n, ALPHA)
    if not relative:
        return found.mean, found.low90, found.high90, visible
    change, low, high = (math.expm1(min(x, LARGEST_LOG)) for x in (found.mean, found.low90, found.high90))
    return change, low, high, None if visible is None else math.expm1(min(visible, LARGEST_LOG))
