"""After the race: the smallest values that do, the settings that count, the picks, and their confirmation."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from results.looks import ALPHA
from results.statistics import blocks_needed, percent
from tuning.search import choosing
from tuning.search.choosing import Picked
from tuning.search.confirming import confirmed
from tuning.search.course import CONFIRM_BLOCKS, PAIR, Course
from tuning.search.stages import Answer, Config, Factor, Measured, Stage, Status, config, named
from tuning.search.standing import Standing, spread, standings, visible

REFINE_BLOCKS, GRID_MOST = 6, 5
COMBINE_BLOCKS = (8, 24)  # at least, at most
ROUNDS_MOST = 3  # of leaving one out
CONFIRM_MOST = 40  # blocks
PICKS_MOST = 3
KEPT = "kept"  # in the pool: what refining and combining made of the winners

Chosen = Mapping[str, tuple[Factor, str]]  # setting -> factor and its value


def closed(course: Course, race: Measured, factors: Sequence[Factor], arms: Collection[str]) -> Stage | Answer:
    """What follows the race: a stage, or the answer. `arms` are those that it would have had with a larger budget."""
    pool = dict(standings(race))
    if left := [name for name in arms if name not in race.stage.arms]:
        course.told.append(f"Not raced, the budget had no room: {', '.join(left)}.")
    course.told.extend(
        f"Race: {name}: {each.comparison.verdict}: {each.comparison.reason}" for name, each in pool.items()
    )
    won = _winners(pool, factors)
    refine = course.stage("refine") or course.fits(
        "refine", _values(won), REFINE_BLOCKS, "the smallest value that does as well"
    )
    if isinstance(refine, Stage):
        return refine
    chosen = dict(won)
    if refine is not None:
        chosen |= _refined(course, refine, won)
    combined = _combined(course, chosen)
    if isinstance(combined, Stage):
        return combined
    if chosen:
        pool = _with_kept(pool, refine, combined, chosen)
    picked = dict(list(choosing.picks(pool, course.question.base, course.margin).items())[:PICKS_MOST])
    if not picked:
        return course.answer("nothing", "Nothing that was raced is worth changing.")
    confirm = course.stage("confirm")
    if confirm is None:
        return _confirm(course, race, {name: each.config for name, each in picked.items()})
    return _claimed(course, confirm, picked)


def _winners(pool: Mapping[str, Standing], factors: Sequence[Factor]) -> Chosen:
    """The factors that win alone, each at the better of its values; where all together win, also what gains alone.

    Such a gain may be too small to be sure of one by one. Leaving one out tells whether it counts.
    """
    together = choosing.ALL in pool and pool[choosing.ALL].comparison.candidate
    found: dict[str, tuple[Factor, str]] = {}
    best: dict[str, float] = {}
    for each in pool.values():
        metric = each.comparison.metric
        helps = together and each.gain(metric) > 0.0 and not each.harmed
        if len(each.config) != 1 or not (each.comparison.candidate or helps):
            continue
        (spec,) = each.config
        factor = next((one for one in factors if spec.value in one.values and one.at(spec.value) == spec), None)
        if factor is not None and each.gain(metric) > best.get(factor.setting, 0.0):
            found[factor.setting], best[factor.setting] = (factor, spec.value), each.gain(metric)
    return found


def _values(won: Chosen) -> dict[str, Config]:
    """Every numeric winner at each of its candidates."""
    arms: dict[str, Config] = {}
    for factor, _ in won.values():
        for value in choosing.grid(factor, GRID_MOST) if factor.numeric and len(factor.values) > 1 else ():
            arms[named(factor, value, arms)] = config(factor.at(value))
    return arms


def _refined(course: Course, refine: Measured, won: Chosen) -> Chosen:
    """The winners whose smaller value does as well, at that."""
    found = standings(refine)
    chosen = {}
    for setting, (factor, value) in won.items():
        own = {arm: specs[0].value for arm, specs in refine.stage.arms.items() if specs[0].setting == setting}
        least = choosing.smallest(found, own, refine.design.primary)
        if least is not None and least != value:
            course.told.append(f"Refined: {setting} {least} does as well as {value}.")
            chosen[setting] = (factor, least)
    return chosen


@dataclass(frozen=True, slots=True)
class _Combined:
    """What is left of the winners when passengers are gone, and the last round that said so; None without a round."""

    kept: Chosen
    last: Measured | None


def _combined(course: Course, chosen: Chosen) -> _Combined | Stage:
    """Rounds of all winners together and without each one of them; the least of the passengers leaves, one a round.

    One, because of two that stand in each other's way the other is worth all of it once the first is gone.
    """
    kept, last = dict(chosen), None
    for measured in [each for each in course.done if each.stage.purpose == "combine"]:
        last = measured
        out = choosing.passenger(measured, course.margin)
        if not out:
            return _Combined(kept, last)
        course.told.append(f"A passenger, left out: {out}.")
        kept.pop(out, None)
    rounds = sum(each.stage.purpose == "combine" for each in course.done)
    if len(kept) < 2 or rounds == ROUNDS_MOST:
        return _Combined(kept, last)
    specs = [factor.at(value) for factor, value in kept.values()]
    arms = {choosing.ALL: config(*specs)}
    for number, each in enumerate(specs, 1):
        arms[f"{choosing.WITHOUT}{number}"] = config(*(other for other in specs if other is not each))
    why = "together, and without each: who is only a passenger"
    blocks = _combine_blocks(course)
    return course.fits("combine", arms, blocks, why) or _Combined(kept, last)


def _combine_blocks(course: Course) -> int:
    """As many as know to a third of the margin what a setting adds: two trials of a block against each other."""
    noise = course.stage("noise")
    sd = (spread(noise) if noise is not None else None) or 0.0
    least, most = COMBINE_BLOCKS
    return min(max(least, math.ceil(2.0 / 1.5 * (sd / (course.margin / 3.0)) ** 2)), most)


def _with_kept(
    pool: Mapping[str, Standing], refine: Measured | None, combined: _Combined, chosen: Chosen
) -> dict[str, Standing]:
    """The pool with what refining and combining made of the winners, in place of them where nothing speaks against it.

    Where just that was not an arm itself, it stands as the combination did that it is a part of.
    """
    measured = dict(pool)
    for stage in (refine, combined.last):
        if stage is not None:
            measured |= {f"{stage.stage.purpose}-{name}": each for name, each in standings(stage).items()}
    kept = config(*(factor.at(value) for factor, value in combined.kept.values()))
    same = [each for each in measured.values() if each.config == kept]
    whole = measured.get(f"combine-{choosing.ALL}") or pool.get(choosing.ALL)
    standing = same[-1] if same else whole
    if standing is None or not kept:
        return dict(pool)
    others = {
        name: each
        for name, each in pool.items()
        if not standing.clean or not {spec.setting for spec in each.config} <= set(chosen)
    }
    return {KEPT: replace(standing, config=kept), **others}


def _confirm(course: Course, race: Measured, arms: dict[str, Config]) -> Stage:
    """Fresh blocks for all picks at once: at least 12, and as many as the margin needs where the budget has them."""
    while len(arms) > 1 and CONFIRM_BLOCKS * (len(arms) + PAIR) > course.left:
        arms.popitem()
    sd = spread(race)
    needed = None if sd is None else blocks_needed(sd, course.margin, ALPHA / len(arms))
    room = course.left // (len(arms) + PAIR)
    blocks = max(CONFIRM_BLOCKS, min(needed or CONFIRM_MOST, room, CONFIRM_MOST))
    return Stage("confirm", arms, blocks, why="fresh blocks, which alone make a claim")


def _claimed(course: Course, confirm: Measured, picked: Mapping[str, Picked]) -> Answer:
    held, said = confirmed(confirm, {arm: picked[arm] for arm in confirm.stage.arms})
    sd = spread(confirm)
    seen = None if sd is None else percent(visible(sd, confirm.stage.blocks, len(confirm.stage.arms)))
    words = () if held else ("Nothing was confirmed on fresh blocks: change nothing.",)
    status: Status = "confirmed" if held else "nothing"
    return Answer(
        status, held, (*course.told, *said, *words), course.used, None if seen is None or math.isinf(seen) else seen
    )
