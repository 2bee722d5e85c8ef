"""Paths against each other: what current gives on one topology and on another, paired by block.

Topologies of a run are measured in rounds, in a random order within each block, so block k of one path stands beside
block k of another. No setting can win here: a path is not a knob, so nothing is recommended from these lines.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.looks import ALPHA, WORDS, judged
from results.pairs import CompleteBlock, Pairs, complete_blocks
from results.records import CURRENT_ARMS, Design, Trial, VerdictWord
from results.statistics import estimate, holm, percent


@dataclass(frozen=True, slots=True)
class PathDifference:
    """Current on `topology` against current on `against`; percentages are of the value on `against`."""

    topology: str
    against: str
    metric: str
    primary: bool
    verdict: VerdictWord
    effect_pct: float | None  # None below two blocks that both have
    ci_low_pct: float | None  # 95 % t interval on the mean paired log ratio
    ci_high_pct: float | None
    p_holm: float | None  # over the topologies, for the primary metric only
    blocks: int
    effects: tuple[tuple[int, float], ...]


def path_differences(design: Design, trials: Sequence[Trial]) -> tuple[PathDifference, ...]:
    """Every topology against the plan's first that was measured, by metric; empty for fewer than two of them."""
    blocks = complete_blocks(trials)
    there = [name for name in design.topologies if name in blocks]
    if len(there) < 2:
        return ()
    first, others = there[0], there[1:]
    pairs = {
        (metric, other): _paired(blocks[other], blocks[first], metric) for metric in design.metrics for other in others
    }
    family = [estimate(pairs[design.primary, other].logs) for other in others]
    adjusted = dict(zip(others, holm([None if e is None else e.p for e in family]), strict=True))
    return tuple(
        _difference(design, other, first, metric, pairs[metric, other], adjusted[other])
        for metric in (design.primary, *(m for m in design.metrics if m != design.primary))
        for other in others
    )


def _difference(
    design: Design, topology: str, against: str, metric: str, pairs: Pairs, p_holm: float
) -> PathDifference:
    primary = metric == design.primary
    found = estimate(pairs.logs)
    p = None if found is None else p_holm if primary else found.p
    finding = judged(found, pairs, metric, design.margin_pct, significant=p is not None and p < ALPHA)
    return PathDifference(
        topology=topology,
        against=against,
        metric=metric,
        primary=primary,
        verdict=WORDS[finding],
        effect_pct=None if found is None else percent(found.mean),
        ci_low_pct=None if found is None else percent(found.low),
        ci_high_pct=None if found is None else percent(found.high),
        p_holm=p_holm if primary and found is not None else None,
        blocks=len(pairs.values),
        effects=pairs.effects,
    )


def _paired(there: Sequence[CompleteBlock], here: Sequence[CompleteBlock], metric: str) -> Pairs:
    """As results.pairs has it for an arm against current: here the mean of both current arms on either path."""
    ours = _currents(here, metric)
    both = [(number, theirs, ours[number]) for number, theirs in _currents(there, metric).items() if number in ours]
    if any(min(*one, *other) == 0.0 for _, one, other in both):
        means = tuple((number, sum(one) / len(one), sum(other) / len(other)) for number, one, other in both)
        differences = tuple((number, one - other) for number, one, other in means)
        return Pairs((), differences, means, (), sum(min(*one, *other) == 0.0 for _, one, other in both))
    logs = [(number, _mean_log(one), _mean_log(other)) for number, one, other in both]
    values = tuple((number, math.exp(one), math.exp(other)) for number, one, other in logs)
    differences = tuple((number, one - other) for number, one, other in values)
    return Pairs(tuple((number, one - other) for number, one, other in logs), differences, values, (), 0)


def _currents(blocks: Sequence[CompleteBlock], metric: str) -> Mapping[int, tuple[float, ...]]:
    found: dict[int, tuple[float, ...]] = {}
    for block in blocks:
        trials = [block.trials[arm] for arm in CURRENT_ARMS]
        values = tuple(v for t in trials if t.status == "done" and (v := t.value(metric)) is not None)
        if len(values) == len(CURRENT_ARMS):
            found[block.number] = values
    return found


def _mean_log(values: Sequence[float]) -> float:
    return math.fsum(map(math.log, values)) / len(values)
