"""Whether current stood where it was while a search ran.

An effect is of one block, and stands a level that moves; but a path that others began to load in between is another one
than that which was explored.
"""

import math
from collections.abc import Sequence

from results.metrics import METRICS
from results.pairs import complete_blocks, current_against_itself
from results.statistics import Estimate, estimate
from results.units import quantity, scale
from tuning.search.stages import Measured


def moved(stages: Sequence[Measured], metric: str, least: float) -> tuple[str, ...]:
    """A sentence where current's level in a later stage is apart from the first one's, of the stage that is farthest.

    Apart: by more than both 95 % intervals of the mean over blocks reach, and by `least` (a log ratio) or more.
    """
    if not stages or (first := _level(stages[0], metric)) is None:
        return ()
    apart: list[tuple[float, str, float]] = []
    for each in stages[1:]:
        level = _level(each, metric)
        if level is None:
            continue
        distance = abs(level.mean - first.mean)
        if distance >= least and distance > (first.high - first.low + level.high - level.low) / 2.0:
            apart.append((distance, each.stage.purpose, level.mean))
    if not apart:
        return ()
    _, purpose, mean = max(apart)
    unit = METRICS[metric.rpartition(".")[2]].unit
    values = [math.exp(first.mean), math.exp(mean)]
    used = scale(metric, unit, values)
    before, after = (quantity(metric, unit, value, to=used) for value in values)
    return (f"Current moved from {before} to {after} ({metric}, {purpose}) while the search ran: other load?",)


def _level(measured: Measured, metric: str) -> Estimate | None:
    """The mean log of both current arms, a value a block; None below two blocks, or where one gave 0."""
    blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
    values = current_against_itself(blocks, metric).values
    if any(min(one, other) <= 0.0 for _, one, other in values):
        return None
    return estimate([(math.log(one) + math.log(other)) / 2.0 for _, one, other in values])
