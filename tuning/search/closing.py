"""The end of a search: which configurations are confirmed on fresh blocks, beside which anchor, and the answer."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from results.judgement import run_visible
from results.records import Judgement
from results.statistics import percent
from tuning.search import noise
from tuning.search.confirming import against, confirmed
from tuning.search.course import Course
from tuning.search.pareto import Picked, others, own_names
from tuning.search.stages import Answer, Config, Measured, Question, Stage, worded
from tuning.search.standing import Standing

PICKS_MOST = 3
SPARE_BLOCKS = 2  # where the budget has them: a trial whose tool crashed gives no number, and a claim rests on 12


def closed(
    course: Course, own: Config, pool: Mapping[str, Standing], leading: str, expected: float
) -> Generator[Stage, Measured, Answer]:
    """Fresh blocks for all picks at once, and beside them the best anchor that is none of them."""
    question = course.question
    picked = [Picked(own_names(question.base), own, question.base.primary)] if own else []
    for each in others(pool, question.base, course.margin):
        if len(picked) < PICKS_MOST:
            picked.append(each)
    if not picked:
        return course.nothing("Nothing that was raced is worth changing.", _seen(course, pool))
    beside = _rival(pool, question, leading) if own else {}
    arms = _arms(picked) | beside
    blocks = max(noise.CONFIRM_BLOCKS[0], noise.confirming(question.base, course.sds, expected))
    while course.room(arms) < blocks and len(arms) > 1:
        if beside:
            beside = {}
        elif course.room(arms) < noise.CONFIRM_BLOCKS[0]:
            course.told.append(f"The budget has no room to confirm {', '.join(picked.pop().names)}.")
        else:
            break
        arms = _arms(picked) | beside
    if course.room(arms) < noise.CONFIRM_BLOCKS[0]:
        picked[0] = _cheaper(course, picked[0])
        arms = _arms(picked)
    blocks = min(blocks + SPARE_BLOCKS, course.room(arms))
    if blocks < noise.CONFIRM_BLOCKS[0]:
        return course.nothing("The budget ended before a confirmation: nothing is claimed.", _seen(course, pool))
    stage = Stage("confirm", arms, blocks, why="fresh blocks, which alone make a claim")
    confirm = yield from course.ask(stage)
    if confirm.blocks < noise.CONFIRM_BLOCKS[0]:
        return course.nothing("The time ended before its confirmation did: nothing is claimed.", _seen(course, pool))
    held, said = confirmed(confirm, picked)
    if own:
        said += against(confirm, tuple(beside), next(iter(arms)))
    seen = percent(noise.visible(course.sd, blocks, len(picked)))
    if not held:
        course.told.extend(said)
        return course.nothing("Nothing was confirmed on fresh blocks: change nothing.", seen)
    return Answer("confirmed", held, (*course.told, *course.drift, *said), course.trials, seen)


def _cheaper(course: Course, pick: Picked) -> Picked:
    """The pick without what takes a restart, then a relink, where 12 blocks with it are more than is left; told."""
    rest = pick.config
    for cost in ("restart", "relink"):
        gone = [each for each in course.question.factors if each.cost == cost]
        out = [each for factor in gone for value in factor.values for each in factor.config(value) if each in rest]
        rest = tuple(each for each in rest if each not in out)
        if out and rest and course.room({"": rest}) >= noise.CONFIRM_BLOCKS[0]:
            left = ", ".join(worded(each) for each in pick.config if each not in rest)
            course.told.append(f"The budget has no room to confirm {left}, which takes a {cost} in every block.")
            return replace(pick, config=rest)
    return pick


def _seen(course: Course, pool: Mapping[str, Standing]) -> float | None:
    """The smallest change (%) that the race could see; None without one."""
    race = next((each for each in reversed(course.over) if each.stage.purpose == "race"), None)
    comparisons = tuple(each.comparison for each in pool.values())
    return None if race is None else run_visible(race.design, Judgement(comparisons, (), ()))[0]


def _arms(picked: Sequence[Picked]) -> dict[str, Config]:
    """The picks as arms; what is picked twice is one."""
    found: dict[str, Config] = {}
    for each in picked:
        if each.config not in found.values():
            found[f"pick-{each.names[0]}"] = each.config
    return found


def _rival(pool: Mapping[str, Standing], question: Question, leading: str) -> dict[str, Config]:
    """The best anchor of the race that does not lead, where it gained; {} where none did."""
    metric = question.base.primary
    able = [name for name in question.anchors if name in pool and name != leading and pool[name].comparison.candidate]
    best = max(able, key=lambda name: pool[name].gain(metric), default="")
    return {best: question.anchors[best]} if best else {}
