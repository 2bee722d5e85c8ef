"""From standings to configurations: the smallest value that does, the settings that count, the named picks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from results.records import Design, Goal
from results.statistics import Estimate
from tuning.search.stages import Config, Factor, Measured, PickName
from tuning.search.standing import Standing, contribution, objectives

WITHOUT = "without-"  # arms of the combine stage
ALL = "all"


def smallest(found: Mapping[str, Standing], values: Mapping[str, str], metric: str) -> str | None:
    """Of arms that are one factor at several values (arm -> value, weakest first) the weakest within one error.

    One-standard-error rule: Breiman et al. 1984, Classification and Regression Trees, section 3.4.3. A flat optimum is
    to be had for less. None where no arm gave a number.
    """
    there = {arm: found[arm].gains[metric] for arm in values if arm in found and metric in found[arm].gains}
    if not there:
        return None
    best = max(there.values(), key=lambda each: each.mean)
    least = best.mean - _error(best)
    return next(values[arm] for arm in values if arm in there and there[arm].mean >= least)


def passenger(measured: Measured, margin: float) -> str:
    """The setting that the combination misses least, where it misses it by less than half the margin; else "".

    What a setting adds is the combination against the arm that lacks it, in the same blocks. Less than half the margin
    is not worth a change that somebody has to remember.
    """
    least, out = margin / 2.0, ""
    for arm, settings in measured.stage.arms.items():
        adds = contribution(measured, ALL, arm) if arm.startswith(WITHOUT) else None
        if adds is not None and adds.mean < least:
            (gone,) = set(measured.stage.arms[ALL]) - set(settings)
            least, out = adds.mean, gone.setting
    return out


@dataclass(frozen=True, slots=True)
class Picked:
    """A configuration that is worth confirming, under its names, and the one metric that it is picked for."""

    names: tuple[PickName, ...]
    config: Config
    metric: str


def picks(pool: Mapping[str, Standing], design: Design, margin: float) -> dict[str, Picked]:
    """The named picks of what was measured, by the name of their arm; that of the design's goal comes first.

    An arm that another one beats in one objective, and is no worse than in all, is picked by nobody.
    """
    metrics = {"throughput": design.primary, "balanced": design.primary, **objectives(design)}
    front = {arm: each for arm, each in pool.items() if not any(dominates(other, each) for other in pool.values())}
    chosen: dict[str, Picked] = {}
    for name in _names(design.goal):
        metric = metrics.get(name, "")
        able = [arm for arm, each in front.items() if metric and _able(name, each, metric, design.primary, margin)]
        if not able:
            continue
        best = max(able, key=lambda arm: (front[arm].gain(metric), -len(front[arm].config)))
        if best not in chosen:
            chosen[best] = Picked((name,), front[best].config, metric)
        elif chosen[best].metric == metric:
            chosen[best] = replace(chosen[best], names=(*chosen[best].names, name))
    return chosen


def dominates(one: Standing, other: Standing) -> bool:
    """Better in one objective beyond its interval, and in every other one no worse within its."""
    if one is other or not one.gains.keys() & other.gains.keys():
        return False
    pairs = [(one.gains[metric], other.gains[metric]) for metric in one.gains if metric in other.gains]
    return any(a.low90 > b.mean for a, b in pairs) and all(a.mean >= b.mean or a.high90 >= b.mean for a, b in pairs)


def grid(factor: Factor, most: int) -> tuple[str, ...]:
    """The candidates of a numeric factor, weakest first: those of the catalogue, thinned to `most` on a log grid."""
    if len(factor.values) <= most:
        return factor.values
    at = {round(index * (len(factor.values) - 1) / (most - 1)) for index in range(most)}
    return tuple(factor.values[index] for index in sorted(at))


def _names(goal: Goal) -> tuple[PickName, ...]:
    """The pick of the plan's goal first."""
    own: PickName = goal
    rest: tuple[PickName, ...] = ("balanced", "throughput", "latency", "efficient")
    return (own, *(name for name in rest if name != own))


def _able(name: PickName, each: Standing, metric: str, primary: str, margin: float) -> bool:
    if metric == primary:
        better = each.comparison.verdict == "better" and not each.harmed
        return better and (name == "throughput" or each.clean)
    found, kept = each.gains.get(metric), each.gains.get(primary)
    if found is None or kept is None or found.low90 <= 0.0 or found.mean < margin or kept.low90 <= -margin:
        return False
    return all(guard.word == "ok" for guard in each.guards if guard.metric != metric)


def _error(found: Estimate) -> float:
    return found.sd / math.sqrt(found.n)
