"""The road of a search: what to measure next, or the answer. A pure function of the question and of what is over.

    noise -> screen (5 factors or more) -> race -> refine -> combine -> confirm

Each stage is decided by what all before it gave, and nothing else, so a search that was cut short asks the same next
stage again. Only the confirmation's fresh blocks make a claim; what came before only says what is worth confirming.
The reserve for it is never spent on anything else.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from results.errors import WrongInput
from tuning.search import closing, combine, noise, race, reducing, screened
from tuning.search.confirming import against
from tuning.search.course import PAIR, RESERVE_SHARE, Course, least_trials
from tuning.search.race import Chosen
from tuning.search.stages import Answer, Config, Factor, Measured, Question, Stage, config, nothing_left
from tuning.search.standing import Standing, standings

ALONE_MOST = 4  # factors that are raced without screening

Road = Generator[Stage, Measured, Answer]


def next_step(question: Question, done: Sequence[Measured]) -> Stage | Answer:
    """The stage to measure next, or the answer. `done` has the stages that are over, in order.

    Raises WrongInput where `done` is not what this question asked for.
    """
    return followed(Course(question), done)


def so_far(question: Question, done: Sequence[Measured]) -> Answer:
    """The answer, or what there is to say while the search is not over: a claim is made by its end alone."""
    course = Course(question)
    step = followed(course, done)
    return step if isinstance(step, Answer) else course.answer("open", f"Next: {step.purpose}: {step.why}.")


def followed(course: Course, done: Sequence[Measured]) -> Stage | Answer:
    """Where the road leads once `done` is over; `course`, a new one, then knows all that was decided on it."""
    road = _road(course)
    try:
        step = next(road)
        for each in done:
            if (each.stage.purpose, each.stage.arms, each.stage.blocks) != (step.purpose, step.arms, step.blocks):
                raise WrongInput(
                    f"this search would now {step.purpose} {', '.join(step.arms) or 'current'} ({step.blocks} blocks); "
                    f"measured was {each.stage.purpose} {', '.join(each.stage.arms) or 'current'}",
                    hint="its knobs, anchors or budget changed, or nettune did: start the search anew",
                )
            step = road.send(each)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    return step


def _road(course: Course) -> Road:
    """The whole search."""
    question = course.question
    if question.trials_most < least_trials(1):
        return _refused(course, least_trials(1))
    why = "how much two equal arms differ"
    first = yield from course.ask(Stage("noise", {}, noise.BLOCKS, why=why))
    ended = weighed(course, first)
    return ended if ended is not None else (yield from _searched(course))


def weighed(course: Course, first: Measured) -> Answer | None:
    """Take in what the noise stage says: how many blocks are kept back. The answer where there is no search to make."""
    question = course.question
    sds = noise.spreads([first], question.base.judged)
    sd = sds.get(question.base.primary)
    if sd is None:
        return course.answer("refused", "The current arms gave too few numbers: the noise is not known.")
    most = int(RESERVE_SHARE * course.most / (PAIR + 1))
    course.sds = sds
    course.confirming = max(noise.CONFIRM_BLOCKS[0], min(noise.confirming(question.base, sds), most))
    course.told.append(noise.told(sd, course.confirming))
    if question.full:
        return course.answer("nothing", nothing_left(question.full))
    needed = noise.trials_needed(sd, int(course.used))
    if needed is None or needed > course.most:
        return _refused(course, needed)
    if not question.factors and not question.anchors:
        return course.answer("nothing", nothing_left(question.full))
    return None


def _searched(course: Course) -> Road:
    """Everything after the noise."""
    question, primary = course.question, course.question.base.primary
    factors = _payable(course)
    if not factors and not question.anchors:
        return _refused(course, math.ceil(course.used + min(_least(course, each) for each in question.factors)))
    known: combine.Known = {}
    pool: dict[str, Standing] = {}
    chosen: Chosen = {}
    seen: screened.Screened | None = None
    measured: Measured | None = None
    if len(factors) > ALONE_MOST:
        later = combine.BLOCKS[0] * (PAIR + ALONE_MOST)
        seen = yield from screened.screened(course, factors, course.sd, course.reserve + later)
        if seen is None:
            course.told.append(f"The first {ALONE_MOST} are raced.")
            factors = factors[:ALONE_MOST]
    if seen is not None:
        course.sds = {**course.sds, **seen.sds}
        known, chosen = seen.known, seen.chosen[primary]
        arms = seen.arms
        course.leading, course.known = seen.config(primary), known
        arms |= race.anchors(question, arms)
        raced = len(arms) > 1 or not chosen or bool(set(arms) & set(question.anchors))
    else:
        arms = race.alone(factors, question)
        raced = True
    if not arms:
        return course.nothing("Nothing that was screened is worth changing.", seen.visible_pct if seen else None)
    own, anchor = seen.config(primary) if seen is not None else (), ""
    expected = math.fsum(mean for mean, _ in known.values())
    if raced:
        measured = yield from _raced(course, arms)
        if measured is None and not own:
            return _refused(course, int(course.used) + least_trials(1) - noise.BLOCKS * PAIR)
    if measured is not None:
        course.sds = {**noise.spreads(course.over, question.base.judged), **(seen.sds if seen is not None else {})}
        pool = standings(measured)
        course.told.extend(
            f"Race: {name}: {each.comparison.verdict}: {each.comparison.reason}" for name, each in pool.items()
        )
        if seen is None:
            chosen = race.winners(pool, factors)
            own = config(*(spec for factor, value in chosen.values() for spec in factor.config(value)))
        own, anchor = race.leader(measured, pool, own, question, course.margin)
        course.leading = own
        first = race.standing_for(measured, pool, own, question) if own else ""
        expected = pool[first].gain(primary) if first else 0.0
        rivals = [name for name in question.anchors if name in pool and name != first]
        course.told.extend(f"Race: {said}" for said in (against(measured, rivals, first) if first else ()))
    kept = (yield from reducing.reduced(course, own, chosen, known)) if own else ()
    return (yield from closing.closed(course, kept, pool, anchor, expected))


def _payable(course: Course) -> tuple[Factor, ...]:
    """The knobs that the budget could race and confirm at all; what is too costly is told."""
    found, dear = list[Factor](), list[Factor]()
    for each in course.question.factors:
        (found if course.left - course.set_up >= _least(course, each) else dear).append(each)
    if dear:
        words = ", ".join(f"{each.setting} (a {each.cost} in every block)" for each in dear)
        course.told.append(f"The budget has no room to race and to confirm {words}.")
    return tuple(found)


def _least(course: Course, factor: Factor) -> float:
    """What the shortest race and confirmation of a knob alone take."""
    return (race.BLOCKS[-1] + noise.CONFIRM_BLOCKS[0]) * course.price({factor.knob: factor.config(factor.values[0])})


def _raced(course: Course, arms: Mapping[str, Config]) -> Generator[Stage, Measured, Measured | None]:
    """The race over as many blocks as a sequential design may have; arms that the budget has no room for are told."""
    live = dict(arms)
    if course.room(live, course.reserve_for(live)) < race.BLOCKS[-1]:
        course.confirming = noise.CONFIRM_BLOCKS[0]
    while live and course.room(live, course.reserve_for(live)) < race.BLOCKS[-1]:
        prices = {name: course.price({name: settings}) for name, settings in live.items()}
        del live[max(reversed(live), key=lambda name: prices[name])]
    if len(live) < len(arms):
        course.told.append(f"The budget has no room to race {', '.join(name for name in arms if name not in live)}.")
    if not live:
        return None
    blocks = next(n for n in race.BLOCKS if n <= course.room(live, course.reserve_for(live)))
    stage = Stage("race", live, blocks, sequential=True, why="each against current; losers leave at the looks")
    return (yield from course.ask(stage))


def _refused(course: Course, needed: int | None) -> Answer:
    """The answer where no claim can be made with the budget."""
    asked = f"A budget of {course.most} trials{' in that time' if course.pace else ''} is too small for any claim"
    more = "measure longer, or on a quieter path" if needed is None else f"{needed} are needed at least"
    refused = course.answer("refused", f"{asked}: {more}.")
    return replace(refused, trials_needed=needed)
