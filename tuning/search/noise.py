"""How much two equal arms differ, and what follows: the smallest gain that can be seen, and the blocks that it takes.

`sd` is always that of the effect of one block: an arm against the mean of both current arms, variance 1 + 1/2 of that
of a trial; a current arm against the other has 1 + 1.
"""

import math
from collections.abc import Mapping, Sequence

from results.looks import ALPHA
from results.pairs import complete_blocks, current_against_itself
from results.records import Design
from results.statistics import blocks_needed, percent, smallest_visible, t_quantile
from tuning.search.stages import Measured

BLOCKS = 8
CONFIRM_BLOCKS = (12, 100)  # at least, at most
LIMIT_PCT = 200.0  # a search whose whole budget sees no smaller gain is not begun; bbr over cubic can be tenfold
GUARD_POWER = 0.98  # with which a guard is resolved where nothing changed
TRIAL = 1.0 / 1.5  # the variance of a trial, of that of an effect
_OF_SAME_ARMS = 1.5 / 2.0


def spread(stages: Sequence[Measured], metric: str) -> float | None:
    """`sd` in a metric, from the current arms of all these stages; None below three blocks.

    About 0 and not about their mean: equal arms differ by nothing.
    """
    logs: list[float] = []
    for measured in stages:
        blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
        logs += current_against_itself(blocks, metric).logs
    if len(logs) < 3:
        return None
    return math.sqrt(math.fsum(x * x for x in logs) / len(logs) * _OF_SAME_ARMS)


def spreads(stages: Sequence[Measured], metrics: Sequence[str]) -> dict[str, float]:
    """`sd` by metric, of those that have one."""
    return {metric: sd for metric in metrics if (sd := spread(stages, metric)) is not None}


def visible(sd: float, blocks: int, hypotheses: int = 1) -> float:
    """The smallest gain, as a log ratio, that so many blocks show of one of so many hypotheses (80 % power)."""
    found = smallest_visible(sd, blocks, ALPHA / max(1, hypotheses))
    return math.inf if found is None else found


def confirming(design: Design, sds: Mapping[str, float], expected: float = 0.0) -> int:
    """The blocks of a confirmation that show the margin, or 5 %, and resolve every guard where nothing changed.

    Where more is `expected` (a log ratio) half of it need be shown. Without the guards that are absolute: what they
    count is 0 nearly always. Within CONFIRM_BLOCKS.
    """
    least, most = CONFIRM_BLOCKS
    effect = max(math.log1p(design.margin_pct / 100.0), math.log(1.05), expected / 2.0)
    needed = [blocks_needed(sds[design.primary], effect, ALPHA) or most] if design.primary in sds else []
    there = [guard for guard in design.guards if not guard.absolute and guard.metric in sds]
    needed += [_resolving(sds[guard.metric], math.log1p(guard.limit), most) for guard in there]
    return min(most, max(least, *needed)) if needed else least


def trials_needed(sd: float, used: int) -> int | None:
    """The least budget that sees LIMIT_PCT of one arm beside what was used, or None where no budget does."""
    blocks = blocks_needed(sd, math.log1p(LIMIT_PCT / 100.0), ALPHA)
    return None if blocks is None else used + 3 * max(CONFIRM_BLOCKS[0], blocks)


def told(sd: float, blocks: int) -> str:
    """What so much noise means for so many blocks, in words."""
    return (
        f"The effect of a block scatters by {percent(sd):.1f} %: {blocks} blocks show a gain of "
        f"{percent(visible(sd, blocks)):.1f} % or more."
    )


def _resolving(sd: float, limit: float, most: int) -> int:
    """The fewest blocks whose 90 % interval stays within `limit` with GUARD_POWER, where nothing changed."""
    for n in range(3, most):
        if (t_quantile(0.95, n - 1) + t_quantile(GUARD_POWER, n - 1)) * sd / math.sqrt(n) <= limit:
            return n
    return most
