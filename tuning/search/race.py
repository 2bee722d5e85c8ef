"""The race: whole configurations and published anchors against current; losers leave at the looks of results.looks.

Current never leaves. What wins here is worth confirming and nothing more.
"""

from collections.abc import Mapping, Sequence

from tuning.search.model import PASS_ALPHA
from tuning.search.stages import Config, Factor, Measured, Question, config, named, together, worded
from tuning.search.standing import Standing, advantage

ALL = "all"
BLOCKS = (20, 12, 6)  # at most, after the looks of a sequential design

Chosen = Mapping[str, tuple[Factor, str]]  # by what stages.worded says of the factor: it, and its value


def alone(factors: Sequence[Factor], question: Question) -> dict[str, Config]:
    """The arms of a few factors: every one alone, all of them at once, and the anchors that set something else."""
    arms: dict[str, Config] = {}
    for factor in factors:
        for value in factor.tried:
            arms[named(factor, value, arms)] = factor.config(value)
    if len(factors) > 1:
        chosen = together((each, each.tried[-1]) for each in factors)
        arms[ALL] = config(*(spec for factor, value in chosen.values() for spec in factor.config(value)))
    return arms | anchors(question, arms)


def anchors(question: Question, arms: Mapping[str, Config]) -> dict[str, Config]:
    """The anchors that none of the arms is."""
    known = set(arms.values())
    return {name: settings for name, settings in question.anchors.items() if settings and settings not in known}


def winners(pool: Mapping[str, Standing], factors: Sequence[Factor]) -> dict[str, tuple[Factor, str]]:
    """The factors that win or promise to, each at the better of its values; where all together win, all that gain.

    Such a gain may be too small to be sure of one by one. Leaving one out tells whether it counts.
    """
    whole = ALL in pool and pool[ALL].comparison.candidate
    columns = {factor.config(value): (factor, value) for factor in factors for value in factor.values}
    able = [
        each
        for each in pool.values()
        if each.config in columns
        and not each.harmed
        and not each.failed
        and (each.comparison.candidate or whole or _promises(each))
        and each.gain(each.comparison.metric) > 0.0
    ]
    able.sort(key=lambda each: -each.gain(each.comparison.metric))
    kept = together(columns[each.config] for each in able)
    return {word: kept[word] for each in factors if (word := worded(each)) in kept}


def _promises(each: Standing) -> bool:
    """Whether an undecided arm passes as a screened one does: Holm at PASS_ALPHA over the arms."""
    found = each.comparison
    return found.verdict == "inconclusive" and found.p_holm is not None and found.p_holm < PASS_ALPHA


def leader(
    race: Measured, pool: Mapping[str, Standing], own: Config, question: Question, margin: float
) -> tuple[Config, str]:
    """The configuration to go on with, and which anchor it is ("" for our own); () where nothing is worth it.

    An anchor leads where it beats our own within the same blocks, or where our own lost or is none.
    """
    metric = race.design.primary
    there = {name: pool[name] for name in race.stage.arms if name in question.anchors and name in pool}
    able = {name: each for name, each in there.items() if each.comparison.candidate}
    best = max(able, key=lambda name: (able[name].gain(metric), -len(able[name].config))) if able else ""
    mine = standing_for(race, pool, own, question)
    if own and mine:
        each = pool[mine]
        if (
            each.harmed
            or each.comparison.verdict == "worse"
            or metric not in each.gains
            or each.gains[metric].high90 < margin
        ):
            own = ()
        elif best and (ahead := advantage(race, best, mine, metric)) is not None and ahead.low90 > 0.0:
            return able[best].config, best
    if own:
        return own, ""
    return (able[best].config, best) if best else ((), "")


def standing_for(race: Measured, pool: Mapping[str, Standing], own: Config, question: Question) -> str:
    """The arm that is the configuration, or the best of those that share a setting with it; "" without any."""
    metric = race.design.primary
    ours = {name: settings for name, settings in race.stage.arms.items() if name in pool and set(settings) & set(own)}
    exact = next((name for name, settings in ours.items() if settings == own), "")
    own_arms = [name for name in ours if name not in question.anchors]
    return exact or max(own_arms, key=lambda name: pool[name].gain(metric), default="")
