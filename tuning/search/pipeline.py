"""The road of a search: what to measure next, or the answer. A pure function of the question and of what is over.

    noise -> screen (5 factors or more) -> race -> refine -> combine -> confirm

Each stage is decided by what all before it gave, and nothing else, so a search that was cut short asks the same next
stage again. Only the confirmation's fresh blocks make a claim; what came before only says what is worth confirming.
The reserve for it is never spent on anything else.
"""

import math
from collections.abc import Sequence

from results.looks import EARLY_LOOKS
from results.statistics import percent
from tuning.search import choosing, screening
from tuning.search.closing import closed
from tuning.search.course import CONFIRM_BLOCKS, NOISE_BLOCKS, PAIR, Course, least_trials
from tuning.search.stages import Answer, Config, Factor, Measured, Question, Stage, config, named
from tuning.search.standing import spread, visible

RACE_BLOCKS = (20, 12, 6)  # the most that the budget has room for; the looks of a sequential design
ALONE_MOST = 4  # factors that are raced without screening
SURVIVORS_MOST = 6
SCREEN_BLOCKS = 3  # at most
SCREEN_SHARE = 0.4  # of the budget
NOISE_LIMIT_PCT = 200.0  # beyond this the confirmation would see nothing below a threefold gain


def next_step(question: Question, done: Sequence[Measured]) -> Stage | Answer:
    """The stage to measure next, or the answer. `done` has the stages that are over, in order."""
    course = Course(question, done)
    if question.trials_most < least_trials(1):
        return course.refused()
    noise = course.stage("noise")
    if noise is None:
        return Stage("noise", {}, NOISE_BLOCKS, why="how much two equal arms differ")
    return _heard(course, spread(noise))


def _heard(course: Course, sd: float | None) -> Stage | Answer:
    """What follows once the noise is known: `sd` of the effect of a block."""
    question = course.question
    if sd is None:
        return course.answer("refused", "The current arms gave too few numbers: the noise is not known.")
    seen_pct = percent(visible(sd, CONFIRM_BLOCKS))
    course.told.append(f"The effect of a block scatters by {percent(sd):.1f} %: {CONFIRM_BLOCKS} blocks show a gain of "
                       f"{seen_pct:.1f} % or more.")  # fmt: skip
    if seen_pct > NOISE_LIMIT_PCT:
        return course.answer("refused", f"That is above {NOISE_LIMIT_PCT:g} %: measure longer, or on a quieter path.")
    if not question.factors and not question.anchors:
        return course.answer("nothing", "No knob that may help here is left to try.")
    factors = _screened(course, sd)
    if isinstance(factors, Stage):
        return factors
    race = course.stage("race")
    arms = raced(factors, question)
    return _race(course, arms) if race is None else closed(course, race, factors, arms)


def raced(factors: Sequence[Factor], question: Question) -> dict[str, Config]:
    """The arms of the race by name: every factor alone, all of them at once, anchors that set something else."""
    arms: dict[str, Config] = {}
    for factor in factors:
        for value in factor.values[-1:] if factor.numeric else factor.values:
            arms[named(factor, value, arms)] = config(factor.at(value))
    if len(factors) > 1:
        arms[choosing.ALL] = config(*(each.at(each.values[-1]) for each in factors))
    known = set(arms.values())
    return arms | {name: settings for name, settings in question.anchors.items() if settings and settings not in known}


def _screened(course: Course, sd: float) -> tuple[Factor, ...] | Stage:
    """The factors to race: all of a few, of many those that screening lets through; or the screening to be done."""
    factors = course.question.factors
    if len(factors) <= ALONE_MOST:
        return factors
    taken, left = factors[: screening.MOST], factors[screening.MOST :]
    if left:
        course.told.append(f"Knobs beyond {screening.MOST} were not tried: {', '.join(x.setting for x in left)}.")
    screen = course.stage("screen")
    if screen is None and course.stage("race") is not None:
        course.told.append(f"The budget has no room to screen {len(taken)} knobs: the first {ALONE_MOST} are raced.")
        return factors[:ALONE_MOST]
    if screen is None:
        arms = screening.arms(taken)
        blocks = _screen_blocks(course, len(arms), sd)
        return Stage("screen", arms, blocks, why=f"{len(taken)} knobs at once") if blocks else factors[:ALONE_MOST]
    found = screening.effects(screen, taken)
    # Half the margin: of two knobs that harm each other each shows half of what it does alone. The race tells more.
    promising = sorted((x for x in found if x.mean + 1.5 * x.error >= course.margin / 2), key=lambda x: -x.mean)
    course.told.extend(
        f"Screened: {each.factor.setting} {percent(each.mean):+.1f} % "
        f"[{percent(each.low90):+.1f}, {percent(each.high90):+.1f}]."
        for each in promising[:SURVIVORS_MOST]
    )
    if not promising:
        course.told.append(f"Screened: none of {len(taken)} knobs moves it by {course.question.base.margin_pct:g} %.")
    return tuple(each.factor for each in promising[:SURVIVORS_MOST])


def _screen_blocks(course: Course, arms: int, sd: float) -> int:
    """As many as know an effect to a quarter of the margin, in a share of the budget that leaves a race; 0 for none."""
    cost = arms + PAIR
    error = 2.0 * sd / math.sqrt(1.5 * cost)  # of one effect after one block
    wanted = math.ceil((error / (course.margin / 4.0)) ** 2)
    room = course.question.trials_most - least_trials(3)
    share = int(SCREEN_SHARE * course.question.trials_most)
    return max(0, min(wanted, SCREEN_BLOCKS, share // cost, room // cost))


def _race(course: Course, arms: dict[str, Config]) -> Stage | Answer:
    """The arms against current, as many as the budget has room for."""
    if not arms:
        return course.answer("nothing")
    left = course.left - CONFIRM_BLOCKS * (1 + PAIR)
    most = left // EARLY_LOOKS[0][0] - PAIR
    if most < 1:
        return course.refused()
    arms = dict(list(arms.items())[:most])
    blocks = next((n for n in RACE_BLOCKS if n * (len(arms) + PAIR) <= left), RACE_BLOCKS[-1])
    return Stage("race", arms, blocks, sequential=True, why="each against current; losers leave at the looks")
