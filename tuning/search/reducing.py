"""After the race: the smallest values that do, and the settings that count."""

from collections.abc import Generator

from tuning.search import combine, refine
from tuning.search.course import Course
from tuning.search.race import Chosen
from tuning.search.stages import Config, Measured, Stage, config, worded


def reduced(course: Course, own: Config, chosen: Chosen, known: combine.Known) -> Generator[Stage, Measured, Config]:
    """The configuration with the smallest values that do, and without passengers."""
    wanted = combine.blocks(course.sd, course.margin)
    inside = {setting: each for setting, each in chosen.items() if each[0].at(each[1]) in own}
    why = "the smallest value that does as well"
    measured = yield from course.fits("refine", refine.arms(own, inside), wanted, refine.BLOCKS[0], why)
    for factor, value in refine.refined(measured, inside) if measured is not None else ():
        course.told.append(f"Refined: {worded(factor)} {value} does as well as {inside[worded(factor)][1]}.")
        own = config(*own, factor.at(value))
    return (yield from _without_passengers(course, own, known))


def _without_passengers(course: Course, own: Config, known: combine.Known) -> Generator[Stage, Measured, Config]:
    """Rounds of all settings together and without each one of them."""
    for _ in range(combine.ROUNDS_MOST):
        if len(own) > combine.SETTINGS_MOST:
            course.told.append(f"{len(own)} settings are too many to look for passengers: all of them stay together.")
        if not 2 <= len(own) <= combine.SETTINGS_MOST:
            break
        wanted = combine.blocks(course.sd, course.margin)
        why = "together, and without each: who is only a passenger"
        round_ = yield from course.fits("combine", combine.arms(own), wanted, combine.BLOCKS[0], why)
        if round_ is None:
            course.told.append("The budget has no room to look for passengers.")
            break
        left = combine.left(round_, course.margin, known)
        own = left.kept
        course.told.extend(f"A passenger, left out: {worded(each)} {each.value}." for each in left.out)
        if not left.again:
            break
    return own
