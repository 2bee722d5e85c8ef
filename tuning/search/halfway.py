"""How a search stands that was stopped: what of it was measured, what leads, what comes next. It measures nothing.

What leads is a candidate: an estimate of screening or of a race, which chose it for that very estimate. It may be
written down as such and never as confirmed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.plan import SettingSpec
from results.pairs import complete_blocks
from tuning.search.course import Course
from tuning.search.noise import CONFIRM_BLOCKS
from tuning.search.pipeline import followed
from tuning.search.stages import Answer, Config, Measured, Question, Stage
from tuning.search.standing import gained

LEAST_BLOCKS = 2  # of a stage that was cut short: below, no arm has an estimate
_ERRORS = 1.96  # of the normal law: screening's errors have hundreds of degrees of freedom


@dataclass(frozen=True, slots=True)
class Shown:
    """What a stage says of a setting: a log ratio with its 95 % interval. Not confirmed, and biased upwards."""

    mean: float
    low: float
    high: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Leading:
    """The configuration that would be confirmed now, and the last stage that says something of it.

    `arm` holds it, or it and more; "" where screening alone tells, whose arms hold half of all settings each.
    """

    config: Config
    measured: Measured
    arm: str
    shown: Mapping[SettingSpec, Shown]  # with an arm that of the whole, else what the setting adds


@dataclass(frozen=True, slots=True)
class Halfway:
    """A search as it stands. Its answer is open, and `following` the stage to measure, where it is not over."""

    answer: Answer
    following: Stage | None
    done: tuple[Measured, ...]
    begun: Measured | None  # of the stage that follows, where some of it was measured
    leading: Leading | None


def halfway(
    question: Question, there: Callable[[Stage, int], tuple[Measured, bool] | None], *, explored: bool
) -> Halfway:
    """How the search stands. `there` gives what was measured of a stage, and whether it is over.

    Before the path is `explored` nobody knows what follows after the noise.
    """
    done: list[Measured] = []
    begun: Measured | None = None
    course = Course(question)
    step = followed(course, done)
    while isinstance(step, Stage) and begun is None and (explored or not done):
        found = there(step, len(done))
        if found is None:
            break
        measured, over = found
        if over:
            done.append(measured.as_far_as_it_goes())
            course = Course(question)
            step = followed(course, done)
        else:
            begun = measured.as_far_as_it_goes()
    if not explored and done:
        answer = course.answer("open", "Next: the knobs of the path are looked for.")
        return Halfway(answer, None, tuple(done), None, None)
    leads = leading(question, done, begun)
    if isinstance(step, Answer):
        return Halfway(step, None, tuple(done), None, leads)
    answer = course.answer("open", f"Next: {step.purpose}: {step.why}.")
    return Halfway(answer, step, tuple(done), begun, leads)


def leading(question: Question, done: Sequence[Measured], begun: Measured | None = None) -> Leading | None:
    """What leads after these stages, and the one that was begun; None where nothing does, or it was confirmed or not.

    Of a confirmation that was begun nothing is looked at: it makes its claim when it is over.
    """
    stages = [*done]
    if begun is not None and begun.stage.purpose != "confirm" and begun.blocks >= LEAST_BLOCKS:
        stages.append(begun)
    course = Course(question)
    followed(course, stages)
    tried = [each for each in stages if each.stage.purpose == "confirm" and each.blocks >= CONFIRM_BLOCKS[0]]
    return None if tried or not course.leading else _of_an_arm(course) or _of_screening(course)


def _of_an_arm(course: Course) -> Leading | None:
    """By the last stage with an arm that holds it: the arm with the fewest settings beside it."""
    whole = course.leading
    for measured in reversed(course.over):
        arms = {
            name: settings
            for name, settings in measured.stage.arms.items()
            if measured.stage.purpose not in {"screen", "confirm"} and set(whole) <= set(settings)
        }
        blocks = complete_blocks(measured.trials).get(measured.design.topologies[0], ())
        for arm in sorted(arms, key=lambda name: len(arms[name])):
            if (gain := gained(blocks, arm, measured.design.primary)) is not None:
                shown = Shown(gain.mean, gain.low, gain.high, gain.n)
                return Leading(whole, measured, arm, dict.fromkeys(whole, shown))
    return None


def _of_screening(course: Course) -> Leading | None:
    """By the model of the screening, where it knows every setting."""
    rounds = [each for each in course.over if each.stage.purpose == "screen"]
    if not rounds or not set(course.leading) <= set(course.known):
        return None
    blocks = sum(each.blocks for each in rounds)
    shown = {}
    for spec in course.leading:
        mean, error = course.known[spec]
        shown[spec] = Shown(mean, mean - _ERRORS * error, mean + _ERRORS * error, blocks)
    return Leading(course.leading, rounds[-1], "", shown)
