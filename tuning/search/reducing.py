"""After the race: the smallest values that do, and the settings that count."""

from collections.abc import Generator, Mapping

from tuning.search import combine, refine
from tuning.search.course import Course
from tuning.search.race import Chosen
from tuning.search.stages import Config, Measured, Stage, config, worded


def reduced(course: Course, own: Config, chosen: Chosen, known: combine.Known) -> Generator[Stage, Measured, Config]:
    """The configuration with the smallest values that do, and without passengers."""
    wanted = combine.blocks(course.sd, course.margin)
    inside = {setting: each for setting, each in chosen.items() if set(each[0].config(each[1])) <= set(own)}
    why = "the smallest value that does as well"
    smaller = refine.arms(own, inside)
    measured = yield from course.fits("refine", smaller, wanted, refine.BLOCKS[0], why)
    if smaller and measured is None:
        course.told.append("The budget has no room to look for smaller values that do as well.")
    for factor, value in refine.refined(measured, inside) if measured is not None else ():
        course.told.append(f"Refined: {worded(factor)} {value} does as well as {inside[worded(factor)][1]}.")
        course.leading = own = config(*own, *factor.config(value))
    return (yield from _without_passengers(course, own, known))


def _without_passengers(course: Course, own: Config, known: combine.Known) -> Generator[Stage, Measured, Config]:
    """Rounds of all settings together and without each one of them."""
    for _ in range(combine.ROUNDS_MOST):
        if len(own) > combine.SETTINGS_MOST:
            course.told.append(f"{len(own)} settings are too many to look for passengers: all of them stay together.")
        if not 2 <= len(own) <= combine.SETTINGS_MOST:
            break
        round_ = yield from _round(course, combine.arms(own), "together, and without each: who is only a passenger")
        if round_ is None:
            course.told.append("The budget has no room to look for passengers.")
            break
        left = combine.left(round_, course.margin, known)
        course.leading = own = left.kept
        course.told.extend(f"{left.why}: {worded(each)} {each.value}." for each in left.out)
        if left.idle:
            course.leading = own = yield from _without_idle(course, own, left.idle)
        if not left.again:
            break
    return own


def _without_idle(course: Course, own: Config, idle: Config) -> Generator[Stage, Measured, Config]:
    """Without the settings that are idle beside each other, as far as the others give the same.

    Of two of which either does, each is idle while the other is there: what all of them give together is measured once
    more without all idle ones, and where that is less, with each of them alone.
    """
    kept = tuple(each for each in own if each not in idle)
    arms = combine.without_idle(own, idle)
    enough = False
    if arms:
        round_ = yield from _round(course, arms, "without all that are idle: whether one was so beside another")
        if round_ is None:
            return _only_the_idlest(course, own, idle)
        enough = not combine.lacks(round_, combine.REST, course.margin)
    while not enough and len(kept) < len(own) - 1:
        arms = combine.with_one(own, kept)
        round_ = yield from _round(course, arms, "which of the idle ones it takes")
        if round_ is None:
            return _only_the_idlest(course, own, idle)
        arm = combine.nearest(round_)
        kept, enough = arms[arm], not combine.lacks(round_, arm, course.margin)
    for each in own:
        if each not in kept:
            course.told.append(f"A passenger, left out: {worded(each)} {each.value}.")
        elif each in idle:
            course.told.append(
                f"{worded(each)} {each.value} does nothing beside all the others, and stays for one of them."
            )
    return kept


def _only_the_idlest(course: Course, own: Config, idle: Config) -> Config:
    """Where the budget does not tell idle settings from those that stand in for each other: one of them may go."""
    names = ", ".join(worded(each) for each in idle[1:])
    course.told.append(f"A passenger, left out: {worded(idle[0])} {idle[0].value}.")
    course.told.append(f"The budget has no room to look whether one stands in for another: {names}; they stay.")
    return tuple(each for each in own if each != idle[0])


def _round(course: Course, arms: Mapping[str, Config], why: str) -> Generator[Stage, Measured, Measured | None]:
    """A round of so many blocks as the noise asks for; None where the budget has no room."""
    wanted = combine.blocks(course.sd, course.margin)
    return (yield from course.fits("combine", arms, wanted, combine.BLOCKS[0], why))
